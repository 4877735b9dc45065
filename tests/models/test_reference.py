# SPDX-License-Identifier: Apache-2.0
"""Coarse to fine: where coarse points lie, what the decoder makes of it, and that training starts from them."""

import jax
import jax.numpy as jnp
import numpy as np

from barrel_jax.models.barrelnet import BarrelNet
from barrel_jax.models.positions import point_positions, sine_positions

SMALL = {"backbone": "resnet10_w16", "width": 32, "heads": 4, "feedforward": 48, "dropout": 0.0}


def test_a_point_in_the_middle_of_a_cell_is_encoded_as_the_cell():
    height, width = 3, 5
    row, column = np.divmod(np.arange(height * width), width)
    middles = np.stack([(column + 0.5) / width, (row + 0.5) / height], axis=-1).astype(np.float32)
    found = point_positions(middles[None], height, width, 16)[0]
    np.testing.assert_allclose(found, sine_positions(height, width, 16), atol=1e-5)


def test_training_starts_from_the_coarse_points_and_a_gradient_moves_them():
    model = BarrelNet(num_landmarks=5, reference_points=True, **SMALL)
    images = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
    variables = jax.jit(lambda key: model.init(key, images, train=False))(jax.random.key(0))
    assert "intermediates" not in variables

    def mean(params):
        points, kept = model.apply({**variables, "params": params}, images, train=False, mutable=["intermediates"])
        return points.mean(), (points, kept["intermediates"]["coarse"][0])

    (_, (points, coarse)), gradient = jax.jit(jax.value_and_grad(mean, has_aux=True))(variables["params"])
    np.testing.assert_array_equal(points[-1], coarse)
    assert np.ptp(coarse) > 0.01
    assert jnp.any(gradient["dqinit"]["dense"]["kernel"]) and jnp.any(gradient["head"]["layer3"]["kernel"])
    assert jnp.any(gradient["offset_head"]["layer3"]["kernel"])


def test_the_decoder_looks_where_the_coarse_points_are():
    """With another head for the coarse points, and the offsets' own the same, the offsets change."""
    model = BarrelNet(num_landmarks=5, reference_points=True, **SMALL)
    images = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)
    variables = jax.jit(lambda key: model.init(key, images, train=False))(jax.random.key(0))
    drawn = jax.random.normal(jax.random.key(1), (32, 2))
    params = variables["params"]
    params["offset_head"]["layer3"]["kernel"] = drawn

    @jax.jit
    def offsets(bias):
        moved = {**params, "head": {**params["head"], "layer3": {**params["head"]["layer3"], "bias": bias}}}
        points, kept = model.apply({**variables, "params": moved}, images, train=False, mutable=["intermediates"])
        coarse = kept["intermediates"]["coarse"][0]
        return jax.scipy.special.logit(points[-1]) - jax.scipy.special.logit(coarse)

    assert np.abs(offsets(jnp.array([0.0, 0.0])) - offsets(jnp.array([1.0, -1.0]))).max() > 1e-3
