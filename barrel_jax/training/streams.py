# SPDX-License-Identifier: Apache-2.0
"""The random numbers of a run, all from its seed, by what they are for.

The seed is an argument of every program that draws: runs that differ in nothing else share their programs.
"""

import enum
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key, UInt32

Seed = UInt32[Array | np.ndarray, " 2"]  # of `seed_data`


class Stream(enum.IntEnum):
    """What numbers are drawn for, beside the initial weights, which are drawn from the seed itself."""

    ORDER = 1  # in which an epoch visits the faces of the first set
    STEP = 2  # augmentation and dropout
    OTHER_SETS = 3  # in which the faces of the further sets come
    MIXTURE = 4  # in which an epoch visits the faces of all sets together


class StepKeys(NamedTuple):
    """The keys of one step."""

    augmentation: Key[Array, ""]
    dropout: Key[Array, ""]


def seed_data(seed: int) -> UInt32[np.ndarray, " 2"]:
    """A seed as programs take it: uint32 [2]."""
    return np.asarray(jax.random.key_data(jax.random.key(seed)))


def seed_key(seed: Seed) -> Key[Array, ""]:
    """The key of `seed_data`, within a program."""
    return jax.random.wrap_key_data(jnp.asarray(seed))


def stream_key(seed: Seed, stream: Stream) -> Key[Array, ""]:
    """The key of one stream, from `seed_data`."""
    return jax.random.fold_in(seed_key(seed), int(stream))


def step_keys(seed: Seed, step: int | Int[Array, ""]) -> StepKeys:
    """The keys of a step's draws: the stream's, folded with the number of steps before it, in as many as have names.

    A name's key depends on its place: a further one belongs behind the others, whose numbers runs go on with.
    """
    key = jax.random.fold_in(stream_key(seed, Stream.STEP), step)
    return StepKeys(*jax.random.split(key, len(StepKeys._fields)))
