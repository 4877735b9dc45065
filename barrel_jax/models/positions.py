# SPDX-License-Identifier: Apache-2.0
"""Positions of tokens: DETR's normalised sine encoding of the grid and of points, learned positions of the queries."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from barrel_jax.arrays import AnyArray


def sine_positions(height: int, width: int, channels: int) -> Float[Array, "S {channels}"]:
    """DETR's two-dimensional sine encoding (PositionEmbeddingSine with normalize=True), float32 [S, D].

    The first half of the channels encodes y, the second x; even channels are sines, odd ones cosines. Coordinates
    start at 1 and are normalised to 2 pi, as in DETR (no image is padded here). S = height * width, row by row.
    """
    half = channels // 2

    def encode(length: int) -> jax.Array:
        return _sines((jnp.arange(length) + 1.0) / (length + 1e-6), half)

    y = jnp.broadcast_to(encode(height)[:, None], (height, width, half))
    x = jnp.broadcast_to(encode(width)[None], (height, width, half))
    return jnp.concatenate([y, x], axis=-1).reshape(height * width, channels)


def point_positions(
    points: Float[AnyArray, "B K 2"], height: int, width: int, channels: int
) -> Float[Array, "B K {channels}"]:
    """The encoding of points [B, K, 2] in crop units: at the middle of a cell of the grid it is that cell's."""
    half = channels // 2
    # The middle of cell i of n is at (i + 1/2) / n, and DETR's coordinate of it is (i + 1) / n.
    x, y = points[..., 0] + 0.5 / width, points[..., 1] + 0.5 / height
    return jnp.concatenate([_sines(y, half), _sines(x, half)], axis=-1)


def _sines(coordinate: AnyArray, channels: int) -> jax.Array:
    """Sines and cosines [..., channels] of coordinates [...], of which 1 is the whole side."""
    frequency = 10000.0 ** (2 * (jnp.arange(channels) // 2) / channels)
    angle = jnp.expand_dims(coordinate * 2 * math.pi, -1) / frequency.reshape((1,) * coordinate.ndim + (channels,))
    return jnp.stack([jnp.sin(angle[..., 0::2]), jnp.cos(angle[..., 1::2])], axis=-1).reshape(angle.shape)


class QueryPositions(nn.Module):
    """Learned positions, one per landmark (DETR's query_embed), float32 [K, D]."""

    num_landmarks: int
    width: int

    @nn.compact
    def __call__(self) -> Float[AnyArray, "K D"]:
        """The positions [K, D]."""
        return self.param("embedding", nn.initializers.normal(1.0), (self.num_landmarks, self.width))
