# SPDX-License-Identifier: Apache-2.0
"""DETR's transformer decoder with one query per landmark (section 3.1) and, if asked, a query-aware memory (3.3)."""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from barrel_jax.arrays import AnyArray
from barrel_jax.models.attention import Attention, FeedForward, layer_norm
from barrel_jax.models.qamem import QAMem


class DecoderLayer(nn.Module):
    """Self-attention among the queries, cross-attention to the memory, feed-forward; post-norm."""

    heads: int
    feedforward: int
    dropout: float
    qamem_layers: int
    qamem_init: str
    qamem_rank: int
    dtype: Any

    @nn.compact
    def __call__(
        self,
        queries: Float[AnyArray, "B K D"],
        memory: Float[AnyArray, "B S D"],
        query_positions: Float[AnyArray, "K D"],
        memory_positions: Float[AnyArray, "S D"],
        reference: Float[AnyArray, "B K D"] | None = None,
        *,
        train: bool,
    ) -> Float[Array, "B K D"]:
        """queries [B, K, D], memory [B, S, D], their positions [K, D] and [S, D] -> [B, K, D].

        `reference` [B, K, D] says where in the image each query is to look first (models/reference.py).
        """
        drop = nn.Dropout(self.dropout, deterministic=not train, name="dropout")
        located = queries + query_positions[None]
        attended = Attention(self.heads, self.dropout, self.dtype, name="self_attention")(
            located, located, queries, train=train
        )
        queries = layer_norm("norm1", self.dtype)(queries + drop(attended))
        located = queries + query_positions[None]
        if reference is not None:
            located = located + reference
        extracted = Attention(self.heads, self.dropout, self.dtype, name="cross_attention")(
            located, memory + memory_positions[None], memory, train=train
        )
        if self.qamem_layers:
            qamem = QAMem(self.qamem_layers, self.qamem_init, self.qamem_rank, self.dtype, name="qamem")
            extracted = qamem(extracted)
        queries = layer_norm("norm2", self.dtype)(queries + drop(extracted))
        transformed = FeedForward(self.feedforward, self.dropout, self.dtype, name="feedforward")(queries, train=train)
        return layer_norm("norm3", self.dtype)(queries + drop(transformed))
