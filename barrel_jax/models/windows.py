# SPDX-License-Identifier: Apache-2.0
"""Max pool and 3x3 convolution, written on CPUs as XLA is quick at them there and plainly everywhere else.

Which of the two a program has is settled when it is lowered, by the platform that it is lowered for: a program made on
a CPU for a TPU has the plain one. A program for one platform holds nothing of the other.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from barrel_jax.arrays import AnyArray


def max_pool(images: Float[AnyArray, "B H W C"]) -> Float[Array, "B _h _w C"]:
    """3x3 maximum at stride 2 with padding 1, [B, H, W, C] -> [B, ceil(H / 2), ceil(W / 2), C]."""
    return jax.lax.platform_dependent(images, cpu=_maxima_of_slices, default=_windowed_maximum)


def _windowed_maximum(images: AnyArray) -> jax.Array:
    return nn.max_pool(images, (3, 3), (2, 2), ((1, 1), (1, 1)))


def _maxima_of_slices(images: AnyArray) -> jax.Array:
    # XLA's CPU backend is quicker at the gradient than at a windowed maximum's (select-and-scatter); a few per cent of
    # a step (benchmarks/results/cpu-step.json).
    height, width = -(-images.shape[1] // 2), -(-images.shape[2] // 2)
    padded = jnp.pad(images, ((0, 0), (1, 2), (1, 2), (0, 0)), constant_values=-jnp.inf)
    rows = [padded[:, i : i + 2 * height : 2] for i in range(3)]
    tallest = jnp.maximum(jnp.maximum(rows[0], rows[1]), rows[2])
    columns = [tallest[:, :, j : j + 2 * width : 2] for j in range(3)]
    return jnp.maximum(jnp.maximum(columns[0], columns[1]), columns[2])


def convolve(
    x: Float[AnyArray, "B H W C"],
    kernel: Float[AnyArray, "3 3 _c D"],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    *,
    rhs_dilation: Sequence[int],
    **rest: Any,
) -> Float[Array, "B _h _w D"]:
    """A 3x3 convolution of [B, H, W, C] whose padding is its dilation, as `nn.Conv` asks for it.

    To be given as its `conv_general_dilated`; arguments are those of `jax.lax.conv_general_dilated`.
    """
    (stride, _), (dilation, _) = strides, rhs_dilation
    asked: dict[str, Any] = {"window_strides": strides, "padding": padding, "rhs_dilation": rhs_dilation} | rest
    if dilation == 1 and not any(_missing(length, stride, dilation) for length in x.shape[1:3]):
        return jax.lax.conv_general_dilated(x, kernel, **asked)
    on_subgrids = partial(_on_subgrids, stride=stride, dilation=dilation, rest=rest)
    plain = partial(jax.lax.conv_general_dilated, **asked)
    return jax.lax.platform_dependent(x, kernel, cpu=on_subgrids, default=plain)


def _missing(length: int, stride: int, dilation: int) -> int:
    """Pixels to put behind an edge, so that sub-grids are equally long and none has two pixels of its output."""
    whole = -(-length // dilation)
    return (whole + stride * (-(-whole // stride) == 2)) * dilation - length


def _on_subgrids(x: AnyArray, kernel: AnyArray, stride: int, dilation: int, rest: Mapping[str, Any]) -> jax.Array:
    # Zeros beyond the far edges are what the convolution's own padding would be, so they change nothing and are
    # cut off again. They fill the last sub-grids, and make three pixels of two: for grids of 2 x 2 (crops of 64 px
    # at stride 32) XLA's CPU convolutions take fifty times as long as for 3 x 3 (benchmarks/README.md).
    # The barriers keep XLA from merging them into the convolution's padding, forward and in the gradient.
    height, width = x.shape[1:3]
    below, beside = _missing(height, stride, dilation), _missing(width, stride, dilation)
    x = jnp.pad(x, ((0, 0), (0, below), (0, beside), (0, 0)))
    x = to_subgrids(jax.lax.optimization_barrier(x), dilation)
    y = jax.lax.conv_general_dilated(x, kernel, (stride, stride), ((1, 1), (1, 1)), rhs_dilation=(1, 1), **rest)
    y = from_subgrids(jax.lax.optimization_barrier(y), dilation)
    return y[:, : -(-height // stride), : -(-width // stride)]


def to_subgrids(x: Shaped[AnyArray, "B H W C"], dilation: int) -> Shaped[AnyArray, "_b _h _w C"]:
    """[B, H, W, C] to its sub-grids of every dilation-th pixel, [B dilation^2, H / dilation, W / dilation, C].

    A dilated convolution is a plain one on each of them, with the same numbers; a little quicker on CPUs
    (benchmarks/results/cpu-step.json).
    """
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // dilation, dilation, width // dilation, dilation, channels)
    return x.transpose(0, 2, 4, 1, 3, 5).reshape(-1, height // dilation, width // dilation, channels)


def from_subgrids(x: Shaped[AnyArray, "B H W C"], dilation: int) -> Shaped[AnyArray, "_b _h _w C"]:
    """The inverse of `to_subgrids`."""
    _, height, width, channels = x.shape
    x = x.reshape(-1, dilation, dilation, height, width, channels).transpose(0, 3, 1, 4, 2, 5)
    return x.reshape(-1, height * dilation, width * dilation, channels)
