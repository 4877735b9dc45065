# SPDX-License-Identifier: Apache-2.0
"""The dropouts of a Flax module as it is called: shapes and rates."""

import contextlib
from collections.abc import Iterator

import flax.linen as nn

from barrel_jax.models.attention import Attention


@contextlib.contextmanager
def noted() -> Iterator[tuple[list[tuple[tuple[int, ...], float]], list[float]]]:
    """Of what is called in here: shape and rate of every dropout, 0 where it is off, and the rates of attention."""
    fallen, inside = [], []

    def note(next_function, args, kwargs, context):
        if isinstance(context.module, nn.Dropout) and context.method_name == "__call__":
            off = context.module.deterministic or kwargs.get("deterministic")
            fallen.append((args[0].shape, 0.0 if off else context.module.rate))
        if isinstance(context.module, Attention):
            inside.append(context.module.dropout)
        return next_function(*args, **kwargs)

    with nn.intercept_methods(note):
        yield fallen, inside
