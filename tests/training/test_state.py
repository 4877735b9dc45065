# SPDX-License-Identifier: Apache-2.0
"""A state's beginning, and whether its numbers are all finite, wherever the one that is not stands."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from barrel_jax.devices.sharding import make_mesh
from barrel_jax.training.state import State, abstract, create, is_finite
from tests.kit import small


def state(**changed):
    statistics, moments = {"m": jnp.full(2, 3e38)}, {"nu": jnp.ones((2, 2))}
    leaves = {"params": {"a": jnp.ones(3)}, "batch_stats": statistics, "opt_state": moments}
    return State(**{"step": jnp.int32(7), "ema": None} | leaves | changed)


def test_large_numbers_and_integers_are_finite():
    assert is_finite(state())


@pytest.mark.parametrize("part", ["params", "batch_stats", "opt_state", "ema"])
@pytest.mark.parametrize("numbers", [(np.nan, 1), (1, np.nan), (np.inf, 1), (1, -np.inf), (np.inf, -np.inf)])
def test_one_that_is_not_is_seen_in_every_part(part, numbers):
    assert not is_finite(state(**{part: {"x": jnp.array(numbers, jnp.float32)}}))


def test_the_model_is_traced_once_for_the_shapes_and_the_numbers_of_every_seed():
    traces = []

    class Model(nn.Module):
        @nn.compact
        def __call__(self, images, *, train):
            traces.append(images.shape)
            return nn.BatchNorm(not train)(nn.Dense(2)(images))

    given = Model(), optax.sgd(1.0), small.config(mesh__data=1)
    like = abstract(*given, make_mesh(given[-1].mesh))
    states = [create(*given[:2], small.config(mesh__data=1, seed=seed), like, {}) for seed in (0, 1)]
    assert traces == [(1, 32, 32, 3)]
    kernels = [state.params["Dense_0"]["kernel"] for state in states]
    assert not np.array_equal(*kernels)
    other = small.config(mesh__data=1, data__image_size=64, optim__ema_decay=0.9)
    assert abstract(*given[:2], other, make_mesh(other.mesh)).ema is not None and traces[1:] == [(1, 64, 64, 3)]
