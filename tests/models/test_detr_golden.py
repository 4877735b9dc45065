# SPDX-License-Identifier: Apache-2.0
"""Encoder and decoder layers against numbers that DETR's own code made (facebookresearch/detr at 29901c5).

`golden/detr_transformer.npz` holds inputs, weights (PyTorch's names and layouts) and outputs of DETR's encoder (one
layer) and decoder (two layers, each one's output after the last norm) in evaluation mode: width 32, 4 heads,
feed-forward 48, 6 queries, a memory of 3 x 4, batch 2. Nothing here needs PyTorch.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from barrel_jax.models.attention import layer_norm
from barrel_jax.models.decoder import DecoderLayer
from barrel_jax.models.encoder import EncoderLayer

with np.load(Path(__file__).parents[1] / "golden" / "detr_transformer.npz") as kept:
    GOLDEN = dict(kept)
HEADS, HIDDEN = int(GOLDEN["heads"]), 48
NAMES = {
    "self_attn": "self_attention", "multihead_attn": "cross_attention", "out_proj": "out", "weight": "kernel",
    "linear1": "feedforward/linear1", "linear2": "feedforward/linear2",
}  # fmt: skip


def weights_of(part):
    """Flax's params of one layer, from PyTorch's tensors below `part` ('encoder.layers.0')."""
    leaves = {}
    for name, tensor in GOLDEN.items():
        if not name.startswith(f"weights/{part}."):
            continue
        *path, leaf = name.removeprefix(f"weights/{part}.").split(".")
        folder = "/".join(NAMES.get(word, word) for word in path)
        if leaf.startswith("in_proj"):  # queries', keys' and values' projections, one below the other
            for kind, third in zip(("query", "key", "value"), np.split(tensor, 3), strict=True):
                leaves[f"{folder}/{kind}/{'kernel' if third.ndim == 2 else 'bias'}"] = third.T
        elif path and path[-1].startswith("norm"):
            leaves[f"{folder}/{'scale' if leaf == 'weight' else 'bias'}"] = tensor
        else:
            leaves[f"{folder}/{NAMES.get(leaf, leaf)}"] = tensor.T
    return {"params": unflatten_dict(leaves, sep="/")}


def tokens(maps):
    """[..., D, h, w] -> [..., S, D], row by row."""
    return np.moveaxis(maps.reshape(*maps.shape[:-2], -1), -1, -2)


MEMORY, POSITIONS = tokens(GOLDEN["memory"]), tokens(GOLDEN["positions"])


def decode(queries):
    """What the decoder's two layers say [L, B, K, D], each after the last norm."""
    norm = {"params": {"scale": GOLDEN["weights/decoder.norm.weight"], "bias": GOLDEN["weights/decoder.norm.bias"]}}
    layer, found = DecoderLayer(HEADS, HIDDEN, 0.1, 0, "identity", 0, jnp.float32), []
    for index in range(2):
        inputs = queries, GOLDEN["encoded"], GOLDEN["query_positions"], POSITIONS
        queries = layer.apply(weights_of(f"decoder.layers.{index}"), *inputs, train=False)
        found.append(layer_norm(None, jnp.float32).apply(norm, queries))
    return np.stack(found)


def test_the_encoder_layer_is_detrs():
    layer = EncoderLayer(HEADS, HIDDEN, 0.1, jnp.float32)
    weights = weights_of("encoder.layers.0")
    shapes = jax.tree.map(np.shape, weights)
    assert shapes == jax.tree.map(np.shape, layer.init(jax.random.key(0), MEMORY, POSITIONS, train=False))
    found = layer.apply(weights, MEMORY, POSITIONS, train=False)
    assert GOLDEN["encoded"].std() > 0.2
    np.testing.assert_allclose(found, GOLDEN["encoded"], atol=1e-5)


@pytest.mark.parametrize(("start", "expected"), [("zero", "decoded_from_zero"), ("queries", "decoded_from_queries")])
def test_the_decoder_layers_are_detrs(start, expected):
    queries = np.zeros_like(GOLDEN["queries"]) if start == "zero" else GOLDEN["queries"]
    assert GOLDEN[expected].std() > 0.2
    np.testing.assert_allclose(decode(queries), GOLDEN[expected], atol=1e-5)


def test_the_two_starts_differ():
    assert np.abs(GOLDEN["decoded_from_zero"] - GOLDEN["decoded_from_queries"]).max() > 0.1
