# SPDX-License-Identifier: Apache-2.0
"""Whether a state's numbers are all finite, wherever the one that is not stands."""

import jax.numpy as jnp
import numpy as np
import pytest

from barrel_jax.training.state import State, is_finite


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
