# SPDX-License-Identifier: Apache-2.0
"""Attention maps for people to see: the decoder's cross-attention of each landmark's query over the crop."""

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from barrel_jax.arrays import AnyArray, ArrayTree
from barrel_jax.models.barrelnet import BarrelNet


def attention_maps(
    model: BarrelNet, variables: ArrayTree, images: UInt8[AnyArray, "B S S 3"]
) -> tuple[Float[Array, "B K 2"], Float[Array, "B K h w"]]:
    """Points of crops and the attention behind them.

    Args:
        model: with a decoder.
        variables: {params, batch_stats}.
        images: RGB crops.

    Returns:
        points float32 [B, K, 2] in crop units; the weights of the last decoder layer's cross-attention over the h x w
        cells of the memory, mean over its heads, float32 [B, K, h, w]: each map sums to 1, its first row is the crop's
        top.

    Raises:
        ValueError: the model has no decoder.
    """
    if not model.decoder_layers:
        raise ValueError("a model without decoder has no cross-attention")
    points, kept = model.apply(variables, images.astype(jnp.float32) / 255.0, train=False, mutable=["intermediates"])
    last = kept["intermediates"][f"decoder{model.decoder_layers - 1}"]
    (weights,) = last["cross_attention"]["attention_weights"]
    batch, _, landmarks, cells = weights.shape
    side = round(cells**0.5)  # crops are squares, and the memory has their shape
    return points[-1], weights.astype(jnp.float32).mean(1).reshape(batch, landmarks, side, side)
