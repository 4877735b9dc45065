# SPDX-License-Identifier: Apache-2.0
"""DETR's transformer encoder over the memory; BarrelNet removes it (section 3.1), Table 2 puts it back."""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from barrel_jax.arrays import AnyArray
from barrel_jax.models.attention import Attention, FeedForward, layer_norm


class EncoderLayer(nn.Module):
    """Self-attention among the memory's tokens and a feed-forward part, post-norm."""

    heads: int
    feedforward: int
    dropout: float
    dtype: Any

    @nn.compact
    def __call__(
        self, memory: Float[AnyArray, "B S D"], positions: Float[AnyArray, "S D"], *, train: bool
    ) -> Float[Array, "B S D"]:
        """memory [B, S, D] and the positions [S, D] of its tokens -> [B, S, D]."""
        drop = nn.Dropout(self.dropout, deterministic=not train, name="dropout")
        located = memory + positions[None]
        attended = Attention(self.heads, self.dropout, self.dtype, name="self_attention")(
            located, located, memory, train=train
        )
        memory = layer_norm("norm1", self.dtype)(memory + drop(attended))
        transformed = FeedForward(self.feedforward, self.dropout, self.dtype, name="feedforward")(memory, train=train)
        return layer_norm("norm2", self.dtype)(memory + drop(transformed))
