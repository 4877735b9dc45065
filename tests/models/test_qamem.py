# SPDX-License-Identifier: Apache-2.0
"""QAMem: equation 2, K memories written out, against equation 3, the module behind the cross-attention."""

from tests.kit.needs_torch import torch

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from barrel_jax.models.decoder import DecoderLayer
from barrel_jax.models.qamem import QAMem
from barrel_jax.pytorch import barrelnet as torch_barrelnet
from barrel_jax.pytorch.weights import to_flax
from tests.kit import torch_reference as reference

B, K, S, D, HEADS = 2, 3, 5, 8, 2


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("rank", [0, 3])
def test_equation_2_is_equation_3(rank):
    """Query i and head n read the memory M V_n O_n T^i with their own attention weights; heads are summed."""
    layer = DecoderLayer(
        heads=HEADS,
        feedforward=16,
        dropout=0.1,
        qamem_layers=1,
        qamem_init="identity",
        qamem_rank=rank,
        dtype=jnp.float32,
    )
    queries, memory = normal(1, B, K, D), normal(2, B, S, D)
    query_positions, memory_positions = normal(3, K, D), normal(4, S, D)
    inputs = queries, memory, query_positions, memory_positions
    variables = jax.eval_shape(lambda key: layer.init(key, *inputs, train=False), jax.random.key(0))
    variables = jax.tree.map(lambda leaf: 0.5 * normal(leaf.size, *leaf.shape), variables)
    _, state = jax.jit(lambda variables: layer.apply(variables, *inputs, train=False, capture_intermediates=True))(
        variables
    )
    names = ("norm1", "cross_attention", "qamem")
    inside = {name: np.asarray(state["intermediates"][name]["__call__"][0]) for name in names}

    params = variables["params"]
    cross, qamem, offsets = params["cross_attention"], params["qamem"], params["qamem"]["bias1"]
    transforms = (
        qamem["kernel1"] if not rank else [np.eye(D) + u @ v.T for u, v in zip(qamem["u1"], qamem["v1"], strict=True)]
    )
    head = D // HEADS
    expected = np.zeros((B, K, D))
    for b in range(B):
        for i in range(K):
            query = (inside["norm1"][b, i] + query_positions[i]) @ cross["query"]["kernel"] + cross["query"]["bias"]
            keys = (memory[b] + memory_positions) @ cross["key"]["kernel"] + cross["key"]["bias"]
            for n in range(HEADS):
                own = slice(n * head, (n + 1) * head)
                scores = keys[:, own] @ query[own] / np.sqrt(head)
                weights = np.exp(scores) / np.exp(scores).sum()
                values = memory[b] @ cross["value"]["kernel"][:, own] + cross["value"]["bias"][own]
                # Biases ride along in every token, since a query's weights sum to one; heads share O's.
                projected = values @ cross["out"]["kernel"][own] + cross["out"]["bias"] / HEADS
                memory_of_query = projected @ transforms[i]
                expected[b, i] += weights @ memory_of_query
            expected[b, i] += offsets[i]
    assert np.abs(expected).max() > 1
    assert np.abs(expected - inside["cross_attention"]).max() > 1
    np.testing.assert_allclose(inside["qamem"], expected, rtol=1e-5, atol=1e-5)


def grouped_convolution(layer):
    """The same dense layers as one 1x1 convolution with K groups, whose channels are the queries' one after another."""
    conv = torch.nn.Conv1d(K * D, K * D, 1, groups=K)
    with torch.no_grad():
        for query in range(K):
            conv.weight[query * D : (query + 1) * D, :, 0] = layer.weight[query].T
        conv.bias.copy_(layer.bias.flatten())
    return conv


@pytest.mark.parametrize("layers", [1, 2])
def test_modules_are_the_papers_grouped_convolution(layers):
    """A 1x1 convolution with one group per query (section 3.3); two of them have a ReLU between."""
    module = reference.randomise(torch_barrelnet.QAMem(K, D, layers), seed=layers)
    extracted = torch.from_numpy(normal(5, B, K, D).astype(np.float32))
    with torch.no_grad():
        expected = grouped_convolution(module.layers[0])(extracted.reshape(B, K * D, 1))
        if layers == 2:
            expected = grouped_convolution(module.layers[1])(expected.relu())
        expected = expected.reshape(B, K, D)
        torch.testing.assert_close(module(extracted), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        QAMem(layers, "identity", 0, jnp.float32).apply(to_flax(module), extracted.numpy()), expected, atol=1e-5
    )


def test_training_starts_from_the_shared_memory():
    extracted = normal(6, B, K, D).astype(np.float32)
    once, variables = QAMem(1, "identity", 0, jnp.float32).init_with_output(jax.random.key(0), extracted)
    np.testing.assert_array_equal(once, extracted)
    assert jax.tree.map(np.shape, variables["params"]) == {"kernel1": (K, D, D), "bias1": (K, D)}
    twice, variables = QAMem(2, "identity", 0, jnp.float32).init_with_output(jax.random.key(0), extracted)
    np.testing.assert_array_equal(twice, np.maximum(extracted, 0))
    assert sorted(variables["params"]) == ["bias1", "bias2", "kernel1", "kernel2"]
    low, variables = QAMem(1, "identity", 3, jnp.float32).init_with_output(jax.random.key(0), extracted)
    np.testing.assert_array_equal(low, extracted)
    assert jax.tree.map(np.shape, variables["params"]) == {"u1": (K, D, 3), "v1": (K, D, 3), "bias1": (K, D)}
    assert 0.5 < np.square(variables["params"]["v1"]).sum(1).mean() < 2


def test_the_other_start_is_what_pytorch_draws_for_a_grouped_convolution():
    """nn.init.xavier_uniform_, which DETR applies to every matrix, on the weight of the paper's convolution."""
    queries, width = 7, 32
    weight = torch.nn.Conv1d(queries * width, queries * width, 1, groups=queries).weight
    torch.nn.init.xavier_uniform_(weight, generator=torch.Generator().manual_seed(0))
    drawn = QAMem(1, "xavier", 0, jnp.float32).init(jax.random.key(0), jnp.zeros((1, queries, width)))["params"]
    kernel = np.asarray(drawn["kernel1"])
    assert kernel.size == weight.numel()
    np.testing.assert_allclose(np.abs(kernel).max(), weight.abs().max().item(), rtol=1e-2)
    np.testing.assert_allclose(kernel.std(), weight.std().item(), rtol=2e-2)
    assert not np.asarray(drawn["bias1"]).any() and len(np.unique(kernel.mean((1, 2)))) == queries


def test_one_layer_has_447m_numbers_at_68_points():
    for layers, count in ((1, 4_473_856), (2, 8_947_712)):
        variables = jax.eval_shape(
            QAMem(layers, "identity", 0, jnp.float32).init, jax.random.key(0), jnp.zeros((1, 68, 256))
        )
        assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == count
