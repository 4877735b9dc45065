# SPDX-License-Identifier: Apache-2.0
"""The encoder layer against DETR's arithmetic in PyTorch, values and gradients; where dropout falls."""

from tests.kit.needs_torch import torch

import jax
import jax.numpy as jnp
import numpy as np

from barrel_jax.models.encoder import EncoderLayer
from barrel_jax.pytorch import transformer as torch_transformer
from barrel_jax.pytorch.weights import to_flax
from tests.kit import dropouts
from tests.kit import torch_reference as reference


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_layer_and_its_gradients_are_detrs():
    layer = reference.randomise(torch_transformer.EncoderLayer(16, 4, 24, 0.1), seed=0)
    memory, positions, weights = normal(1, 2, 6, 16), normal(2, 6, 16), normal(3, 2, 6, 16)
    tensors = [torch.from_numpy(array).requires_grad_() for array in (memory, positions)]
    expected = layer(*tensors)
    (expected * torch.from_numpy(weights)).sum().backward()
    variables = to_flax(layer)
    ours = EncoderLayer(heads=4, feedforward=24, dropout=0.1, dtype=jnp.float32)

    def total(memory, positions):
        output = ours.apply(variables, memory, positions, train=False)
        return (output * weights).sum(), output

    gradients, output = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(memory, positions)
    np.testing.assert_allclose(output, expected.detach(), atol=1e-4)
    for gradient, tensor in zip(gradients, tensors, strict=True):
        scale = float(tensor.grad.abs().max())
        assert scale > 0.1
        np.testing.assert_allclose(gradient, tensor.grad, rtol=0, atol=1e-3 * scale)


def test_dropout_falls_where_detr_has_it():
    """On both parts' outputs, inside the feed-forward part and on attention weights; without training nowhere."""
    layer, memory, positions = EncoderLayer(4, 24, 0.5, jnp.float32), normal(1, 2, 6, 16), normal(2, 6, 16)
    variables = layer.init(jax.random.key(0), memory, positions, train=False)
    with dropouts.noted() as (fallen, inside):
        first = layer.apply(variables, memory, positions, train=True, rngs={"dropout": jax.random.key(1)})
    whole, hidden = ((2, 6, 16), 0.5), ((2, 6, 24), 0.5)
    assert fallen == [whole, hidden, whole] and inside == [0.5]
    assert np.abs(first - layer.apply(variables, memory, positions, train=False)).max() > 0.1
