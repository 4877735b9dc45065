# SPDX-License-Identifier: Apache-2.0
"""Attention and the feed-forward part as DETR has them (torch.nn.MultiheadAttention, post-norm)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from barrel_jax.arrays import AnyArray
from barrel_jax.models.norms import EPSILON

# DETR draws every weight Xavier-uniform; torch holds the query, key and value projections in one [3 D, D] matrix,
# whose fan-out is three times a single projection's: half the variance.
xavier = nn.initializers.xavier_uniform()
xavier_packed = nn.initializers.variance_scaling(0.5, "fan_avg", "uniform")


def layer_norm(name: str | None, dtype: Any) -> nn.LayerNorm:
    """LayerNorm with torch's epsilon."""
    return nn.LayerNorm(epsilon=EPSILON, dtype=dtype, name=name)


class Attention(nn.Module):
    """Multi-head attention with its own inputs for queries, keys and values."""

    heads: int
    dropout: float
    dtype: Any

    @nn.compact
    def __call__(
        self,
        query: Float[AnyArray, "B K D"],
        key: Float[AnyArray, "B S D"],
        value: Float[AnyArray, "B S D"],
        *,
        train: bool,
    ) -> Float[Array, "B K D"]:
        """query [B, K, D], key and value [B, S, D] -> [B, K, D]."""
        batch, targets, width = query.shape
        head = width // self.heads

        def project(x: AnyArray, name: str) -> jax.Array:
            x = nn.Dense(width, kernel_init=xavier_packed, dtype=self.dtype, name=name)(x)
            return x.reshape(*x.shape[:2], self.heads, head)

        q, k, v = project(query, "query"), project(key, "key"), project(value, "value")
        weights = nn.dot_product_attention_weights(
            q,
            k,
            broadcast_dropout=False,
            dropout_rng=self.make_rng("dropout") if train and self.dropout else None,
            dropout_rate=self.dropout,
            deterministic=not train,
            dtype=self.dtype,
            force_fp32_for_softmax=True,  # in bfloat16 the weights of a query would not add up to one
            module=self,  # keeps the weights [B, N, K, S] where 'intermediates' is asked for (attention_maps.py)
        )
        joined = jnp.einsum("bnks,bsnh->bknh", weights.astype(self.dtype), v).reshape(batch, targets, width)
        return nn.Dense(width, kernel_init=xavier, dtype=self.dtype, name="out")(joined)


class FeedForward(nn.Module):
    """Two dense layers with a ReLU between them."""

    hidden: int
    dropout: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[AnyArray, "B S D"], *, train: bool) -> Float[Array, "B S D"]:
        """[B, S, D] -> [B, S, D]."""
        y = nn.relu(nn.Dense(self.hidden, kernel_init=xavier, dtype=self.dtype, name="linear1")(x))
        y = nn.Dropout(self.dropout, name="dropout")(y, deterministic=not train)
        return nn.Dense(x.shape[-1], kernel_init=xavier, dtype=self.dtype, name="linear2")(y)
