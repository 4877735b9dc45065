# SPDX-License-Identifier: Apache-2.0
"""The order in which an epoch visits the faces of one set, or of several: a pure function of (seed, epoch).

Of several sets, an epoch is every face of the first once and as many of the others as their shares ask for, shuffled
together; each of the others goes through all its faces, in an order drawn anew each time, before one comes again.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from barrel_jax.input.crops import FaceCrops
from barrel_jax.training.streams import Stream, seed_data, stream_key


@partial(jax.jit, static_argnums=2)
def shuffled(key: Key[Array, ""], number: int | Int[Array, ""], count: int) -> Int[Array, " {count}"]:
    """The permutation of 0..count-1 with a number, of those that a key gives."""
    return jax.random.permutation(jax.random.fold_in(key, number), count)


def epoch_order(seed: int, epoch: int, count: int) -> Int[Array, " {count}"]:
    """The order [n] in which an epoch visits the faces; what is left after whole batches is left out that time."""
    return shuffled(stream_key(seed_data(seed), Stream.ORDER), epoch, count)


def epoch_length(crops: FaceCrops) -> int:
    """How many faces an epoch visits."""
    return sum(part.visits for part in crops.parts) if crops.parts else len(crops)


def epoch_order_of(seed: int, epoch: int, crops: FaceCrops) -> Int[Array, " n"]:
    """The faces that an epoch visits, in their order, n = `epoch_length`; the last ones fill no batch and are left out.

    With one set this is `epoch_order`.
    """
    first = epoch_order(seed, epoch, crops.parts[0].faces if crops.parts else len(crops))
    if not crops.parts:
        return first
    visited, start = [first], len(first)
    for number, part in enumerate(crops.parts[1:]):
        begin, end = epoch * part.visits, (epoch + 1) * part.visits
        rounds = range(begin // part.faces, (end - 1) // part.faces + 1)
        key = jax.random.fold_in(stream_key(seed_data(seed), Stream.OTHER_SETS), number)
        faces = jnp.concatenate([shuffled(key, round_, part.faces) for round_ in rounds])
        skipped = rounds[0] * part.faces
        visited.append(start + faces[begin - skipped : end - skipped])
        start += part.faces
    together = jnp.concatenate(visited)
    return together[shuffled(stream_key(seed_data(seed), Stream.MIXTURE), epoch, len(together))]
