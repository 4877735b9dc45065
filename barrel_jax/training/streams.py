# SPDX-License-Identifier: Apache-2.0
"""The random numbers of a run, all from its seed, by what they are for.

The seed is an argument of every program that draws: runs that differ in nothing else share their programs.
"""

import enum

import jax
import jax.numpy as jnp
import numpy as np


class Stream(enum.IntEnum):
    """What numbers are drawn for, beside the initial weights, which are drawn from the seed itself."""

    ORDER = 1  # in which an epoch visits the faces of the first set
    STEP = 2  # augmentation and dropout
    OTHER_SETS = 3  # in which the faces of the further sets come
    MIXTURE = 4  # in which an epoch visits the faces of all sets together


def seed_data(seed: int) -> np.ndarray:
    """A seed as programs take it: uint32 [2]."""
    return np.asarray(jax.random.key_data(jax.random.key(seed)))


def seed_key(seed: jax.Array | np.ndarray) -> jax.Array:
    """The key of `seed_data`, within a program."""
    return jax.random.wrap_key_data(jnp.asarray(seed))


def stream_key(seed: jax.Array | np.ndarray, stream: Stream) -> jax.Array:
    """The key of one stream, from `seed_data`."""
    return jax.random.fold_in(seed_key(seed), int(stream))
