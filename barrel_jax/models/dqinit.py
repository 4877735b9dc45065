# SPDX-License-Identifier: Apache-2.0
"""Dynamic query initialisation (section 3.2): the queries start from a coarse look at the whole image."""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from barrel_jax.arrays import AnyArray
from barrel_jax.models.attention import xavier


class DQInit(nn.Module):
    """Q_init = FC(GlobalAvgPool(M)) (equation 1)."""

    num_landmarks: int
    dtype: Any

    @nn.compact
    def __call__(self, memory: Float[AnyArray, "B S D"]) -> Float[Array, "B K D"]:
        """memory [B, S, D] -> queries [B, K, D]."""
        batch, _, width = memory.shape
        dense = nn.Dense(self.num_landmarks * width, kernel_init=xavier, dtype=self.dtype, name="dense")
        return dense(memory.mean(axis=1)).reshape(batch, self.num_landmarks, width)
