# SPDX-License-Identifier: Apache-2.0
"""The decoder layer against DETR's arithmetic in PyTorch, with gradients; where dropout falls; parameter counts."""

from tests.kit.needs_torch import torch

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from barrel_jax.models.decoder import DecoderLayer
from barrel_jax.pytorch import barrelnet as torch_barrelnet
from barrel_jax.pytorch import transformer as torch_transformer
from barrel_jax.pytorch.weights import to_flax
from tests.kit import dropouts
from tests.kit import torch_reference as reference

B, K, S, D, HEADS, HIDDEN = 2, 5, 6, 16, 4, 24


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def decoder_layer(qamem_layers, dropout=0.1):
    qamem = {"qamem_layers": qamem_layers, "qamem_init": "identity", "qamem_rank": 0}
    return DecoderLayer(heads=HEADS, feedforward=HIDDEN, dropout=dropout, **qamem, dtype=jnp.float32)


def inputs():
    """Queries, memory, query positions, memory positions."""
    return normal(1, B, K, D), normal(2, B, S, D), normal(3, K, D), normal(4, S, D)


@pytest.mark.parametrize("qamem_layers", [0, 1, 2])
def test_layer_and_its_gradients_are_detrs(qamem_layers):
    qamem = torch_barrelnet.QAMem(K, D, qamem_layers) if qamem_layers else None
    layer = torch_transformer.DecoderLayer(D, HEADS, HIDDEN, 0.1, qamem)
    reference.randomise(layer, seed=qamem_layers)
    weights = normal(5, B, K, D)
    tensors = [torch.from_numpy(array).requires_grad_() for array in inputs()]
    expected = layer(*tensors)
    (expected * torch.from_numpy(weights)).sum().backward()

    @jax.jit
    def ours(variables, *arrays):
        def total(*arrays):
            output = decoder_layer(qamem_layers).apply(variables, *arrays, train=False)
            return (output * weights).sum(), output

        return jax.grad(total, argnums=(0, 1, 2, 3), has_aux=True)(*arrays)

    gradients, output = ours(to_flax(layer), *inputs())
    np.testing.assert_allclose(output, expected.detach(), atol=1e-4)
    for gradient, tensor in zip(gradients, tensors, strict=True):
        scale = float(tensor.grad.abs().max())
        assert scale > 0.1
        np.testing.assert_allclose(gradient, tensor.grad, rtol=0, atol=1e-3 * scale)


def test_parameter_counts_at_68_points():
    """Section 5 of the paper: 1.6M for a decoder layer, and QAMem's 9M are two layers of 4.47M."""
    counts = []
    for qamem_layers in (0, 1, 2):
        qamem = {"qamem_layers": qamem_layers, "qamem_init": "identity", "qamem_rank": 0}
        layer = DecoderLayer(heads=8, feedforward=2048, dropout=0.1, **qamem, dtype=jnp.float32)
        arrays = jnp.zeros((1, 68, 256)), jnp.zeros((1, 4, 256)), jnp.zeros((68, 256)), jnp.zeros((4, 256))
        variables = jax.eval_shape(lambda key, m=layer, a=arrays: m.init(key, *a, train=False), jax.random.key(0))
        counts.append(sum(leaf.size for leaf in jax.tree.leaves(variables)))
    assert counts == [1_578_752, 1_578_752 + 4_473_856, 1_578_752 + 2 * 4_473_856]


def test_dropout_falls_where_detr_has_it():
    """On each of the three parts' outputs and inside the feed-forward part; attention weights have their own."""
    layer = decoder_layer(0, dropout=0.5)
    variables = jax.eval_shape(lambda key: layer.init(key, *inputs(), train=False), jax.random.key(0))
    variables = jax.tree.map(lambda leaf: normal(leaf.size, *leaf.shape), variables)
    trained = jax.jit(lambda key: layer.apply(variables, *inputs(), train=True, rngs={"dropout": key}))
    with dropouts.noted() as (fallen, inside):
        first, second = (trained(jax.random.key(seed, impl="rbg")) for seed in (1, 2))  # rbg is quicker to compile
    whole, hidden = ((B, K, D), 0.5), ((B, K, HIDDEN), 0.5)
    assert fallen == [whole, whole, hidden, whole] and inside == [0.5, 0.5]  # traced once
    assert np.abs(first - second).max() > 0.1
