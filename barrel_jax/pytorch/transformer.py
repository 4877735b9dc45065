# SPDX-License-Identifier: Apache-2.0
"""DETR's encoder and decoder layers in PyTorch (github.com/facebookresearch/detr, models/transformer.py), post-norm.

Parameters have DETR's names, which are those of torch.nn.TransformerEncoderLayer and TransformerDecoderLayer. Tensors
are batch-first; a position is added to queries and keys, never to values.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


def sine_positions(height: int, width: int, channels: int) -> torch.Tensor:
    """DETR's PositionEmbeddingSine(channels / 2, normalize=True) for images without padding, float32 [S, D].

    The first half of the channels encodes y, the second x; S = height * width, row by row.
    """
    half = channels // 2

    def encode(length: int) -> torch.Tensor:
        return sines(torch.arange(1, length + 1) / (length + 1e-6), half)

    y = encode(height)[:, None].expand(height, width, half)
    x = encode(width)[None].expand(height, width, half)
    return torch.cat((y, x), dim=2).flatten(0, 1)


def sines(coordinate: torch.Tensor, channels: int) -> torch.Tensor:
    """Sines and cosines [..., channels] of coordinates [...], of which 1 is the whole side."""
    frequency = 10000.0 ** (2 * (torch.arange(channels, device=coordinate.device) // 2) / channels)
    angle = (coordinate * 2 * math.pi)[..., None] / frequency
    return torch.stack((angle[..., 0::2].sin(), angle[..., 1::2].cos()), dim=-1).flatten(-2)


def xavier_linear(inputs: int, outputs: int) -> nn.Linear:
    """A dense layer as DETR draws it: Xavier-uniform; the bias starts at zero."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Attention(nn.Module):
    """torch.nn.MultiheadAttention's parameters and numbers, without its checks and averaged weights.

    Args:
        width: D, of queries, keys and values.
        heads: N, a divisor of D.
        dropout: of single attention weights, in training.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = xavier_linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """query [B, K, D], key and value [B, S, D] -> [B, K, D]."""
        width = query.shape[2]
        weight, bias = self.in_proj_weight, self.in_proj_bias
        if query is key:  # self-attention: one product for both
            q, k = F.linear(query, weight[: 2 * width], bias[: 2 * width]).chunk(2, dim=2)
        else:
            q = F.linear(query, weight[:width], bias[:width])
            k = F.linear(key, weight[width : 2 * width], bias[width : 2 * width])
        v = F.linear(value, weight[2 * width :], bias[2 * width :])
        q, k, v = (x.unflatten(2, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))
        joined = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        return self.out_proj(joined.transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    """Self-attention among the memory's tokens and a feed-forward part."""

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads, dropout)
        self.linear1, self.linear2 = xavier_linear(width, feedforward), xavier_linear(feedforward, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, memory: torch.Tensor, pos: torch.Tensor) -> torch.Tensor:
        """memory [B, S, D] and the positions [S, D] of its tokens -> [B, S, D]."""
        located = memory + pos
        memory = self.norm1(memory + self.dropout(self.self_attn(located, located, memory)))
        hidden = self.dropout(F.relu(self.linear1(memory)))
        return self.norm2(memory + self.dropout(self.linear2(hidden)))


class DecoderLayer(nn.Module):
    """Self-attention among the queries, cross-attention to the memory, feed-forward.

    Args:
        width: D.
        heads: N.
        feedforward: hidden width of the feed-forward part.
        dropout: of attention weights, hidden units and each part's output, in training.
        qamem: what the extracted values [B, K, D] pass through before they are added to the queries, or None.
    """

    def __init__(
        self, width: int, heads: int, feedforward: int, dropout: float, qamem: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads, dropout)
        self.multihead_attn = Attention(width, heads, dropout)
        self.qamem = qamem
        self.linear1, self.linear2 = xavier_linear(width, feedforward), xavier_linear(feedforward, width)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        queries: torch.Tensor,
        memory: torch.Tensor,
        query_pos: torch.Tensor,
        pos: torch.Tensor,
        reference: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """queries [B, K, D], memory [B, S, D], their positions [K, D] and [S, D] -> [B, K, D].

        `reference` [B, K, D] is added to what the cross-attention looks with.
        """
        located = queries + query_pos
        queries = self.norm1(queries + self.dropout(self.self_attn(located, located, queries)))
        located = queries + query_pos if reference is None else queries + query_pos + reference
        extracted = self.multihead_attn(located, memory + pos, memory)
        if self.qamem is not None:
            extracted = self.qamem(extracted)
        queries = self.norm2(queries + self.dropout(extracted))
        hidden = self.dropout(F.relu(self.linear1(queries)))
        return self.norm3(queries + self.dropout(self.linear2(hidden)))
