# SPDX-License-Identifier: Apache-2.0
"""Dynamic query initialisation (section 3.2): the queries start from a coarse look at the whole image."""

from typing import Any

import flax.linen as nn
import jax

from barrel_jax.models.attention import xavier


class DQInit(nn.Module):
    """Q_init = FC(GlobalAvgPool(M)) (equation 1)."""

    num_landmarks: int
    dtype: Any

    @nn.compact
    def __call__(self, memory: jax.Array) -> jax.Array:
        """memory [B, S, D] -> queries [B, K, D]."""
        batch, _, width = memory.shape
        dense = nn.Dense(self.num_landmarks * width, kernel_init=xavier, dtype=self.dtype, name="dense")
        return dense(memory.mean(axis=1)).reshape(batch, self.num_landmarks, width)
