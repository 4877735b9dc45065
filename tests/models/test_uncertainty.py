# SPDX-License-Identifier: Apache-2.0
"""The scale of a point's error: 3 % of the crop at the start, in bounds, in full precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from barrel_jax.models.uncertainty import LogScale

QUERIES = np.random.default_rng(0).standard_normal((2, 5, 64)).astype(np.float32)


def drawn(dtype=jnp.float32):
    module = LogScale(64, dtype)
    return module, module.init(jax.random.key(0), QUERIES)["params"]


def test_it_starts_at_3_percent_of_the_crop_for_every_point():
    module, params = drawn()
    np.testing.assert_array_equal(module.apply({"params": params}, QUERIES), np.full((2, 5), -3.5))
    assert np.exp(-3.5) == pytest.approx(0.03, abs=0.001)
    # torch.nn.Linear draws between -1 / sqrt(D) and 1 / sqrt(D).
    largest = np.abs(params["layer1"]["kernel"]).max()
    assert 0.95 / 8 < largest <= 1 / 8


@pytest.mark.parametrize(("towards", "bound"), [(-1000.0, -9.0), (1000.0, 1.0)])
def test_it_stays_where_its_exponential_is_of_use(towards, bound):
    module, params = drawn()
    params["layer2"]["bias"] = jnp.array([towards])
    np.testing.assert_array_equal(module.apply({"params": params}, QUERIES), np.full((2, 5), bound))


def test_its_last_layer_is_computed_in_full():
    """Sixty-four numbers of bfloat16 times weights that bfloat16 cannot say."""
    module, params = drawn(jnp.bfloat16)
    weights = np.random.default_rng(1).uniform(0.02, 0.03, (64, 1)).astype(np.float32)
    params["layer2"]["kernel"] = jnp.asarray(weights)
    found = module.apply({"params": params}, QUERIES)
    assert found.dtype == jnp.float32
    one, two = (jnp.asarray(part, jnp.bfloat16) for part in (QUERIES, params["layer1"]["kernel"]))
    hidden = np.maximum(np.asarray(one @ two, np.float32), 0)
    np.testing.assert_allclose(found, (hidden @ weights)[..., 0] - 3.5, rtol=1e-5)
