# SPDX-License-Identifier: Apache-2.0
"""Coarse to fine: the coarse points that DQInit's queries stand for tell each query where to look first.

The paper calls Q_init a coarse estimate (section 3.2) and leaves it to training what that is. Here the shared head
reads coarse points from Q_init; where they lie is added to the queries of the cross-attention, as conditional DETR
(Meng et al. 2021) and DAB-DETR (Liu et al. 2022) do with their reference points, and the decoder's head says how far
from them the points are.
"""

from typing import Any

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from barrel_jax.arrays import AnyArray
from barrel_jax.models.attention import xavier
from barrel_jax.models.positions import point_positions


class ReferencePositions(nn.Module):
    """What is added to a query whose coarse point is known: its sine position through two dense layers."""

    width: int
    dtype: Any

    @nn.compact
    def __call__(self, coarse: Float[AnyArray, "B K 2"], grid: tuple[int, int]) -> Float[Array, "B K D"]:
        """Points [B, K, 2] in crop units and the memory's (height, width) -> [B, K, D].

        No gradient goes back to the points: sines of 128 frequencies would give them noise.
        """
        positions = point_positions(jax.lax.stop_gradient(coarse), *grid, self.width).astype(self.dtype)
        hidden = nn.relu(nn.Dense(self.width, kernel_init=xavier, dtype=self.dtype, name="layer1")(positions))
        return nn.Dense(self.width, kernel_init=xavier, dtype=self.dtype, name="layer2")(hidden)
