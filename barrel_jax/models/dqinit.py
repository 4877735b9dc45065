# SPDX-License-Identifier: Apache-2.0
"""Dynamic query initialisation (section 3.2): the queries start from a coarse look at the whole image.

The dense layer of equation 1 has K D^2 weights, 4.46M at 68 points. As a product of two, Dense(D -> r) and
Dense(r -> K D), it has r D (K + 1): 0.14M at r = 8.
"""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from barrel_jax.arrays import AnyArray
from barrel_jax.models.attention import xavier


class DQInit(nn.Module):
    """Q_init = FC(GlobalAvgPool(M)) (equation 1); `rank` limits that of the layer's weights; 0 does not."""

    num_landmarks: int
    rank: int
    dtype: Any

    @nn.compact
    def __call__(self, memory: Float[AnyArray, "B S D"]) -> Float[Array, "B K D"]:
        """memory [B, S, D] -> queries [B, K, D]."""
        batch, _, width = memory.shape
        pooled = memory.mean(axis=1)
        if self.rank:
            pooled = nn.Dense(self.rank, use_bias=False, kernel_init=xavier, dtype=self.dtype, name="reduce")(pooled)
        dense = nn.Dense(self.num_landmarks * width, kernel_init=xavier, dtype=self.dtype, name="dense")
        return dense(pooled).reshape(batch, self.num_landmarks, width)
