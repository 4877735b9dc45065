# SPDX-License-Identifier: Apache-2.0
"""Attention against torch.nn.MultiheadAttention; Xavier bounds as PyTorch draws; dropout on single weights."""

from tests.kit.needs_torch import torch

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from barrel_jax.models.attention import Attention, FeedForward, layer_norm
from barrel_jax.pytorch import transformer as torch_transformer
from barrel_jax.pytorch.weights import to_flax
from tests.kit import torch_reference as reference


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_attention_is_pytorchs():
    mha = reference.randomise(torch.nn.MultiheadAttention(16, 4, batch_first=True), seed=0)
    query, key, value = normal(1, 2, 5, 16), normal(2, 2, 7, 16), normal(3, 2, 7, 16)
    with torch.no_grad():
        expected, _ = mha(*map(torch.from_numpy, (query, key, value)))
    same = torch_transformer.Attention(16, 4, 0.1)
    same.load_state_dict(mha.state_dict())
    ours = Attention(heads=4, dropout=0.1, dtype=jnp.float32).apply(to_flax(same), query, key, value, train=False)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_in_bfloat16_the_weights_of_a_query_add_up_to_one():
    query, key = (normal(seed, 2, 64, 16) for seed in (1, 2))
    attention = Attention(heads=4, dropout=0.0, dtype=jnp.bfloat16)
    variables = attention.init(jax.random.key(0), query, key, key, train=False)
    _, kept = attention.apply(variables, query, key, key, train=False, mutable=["intermediates"])
    (weights,) = jax.tree.leaves(kept)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)


def test_xavier_bounds_are_pytorchs():
    """torch has query, key and value in one [3 D, D] matrix: bound sqrt(6 / (3 D + D)); others sqrt(6 / (in + out))."""
    width, hidden = 96, 160
    x = jnp.zeros((1, 2, width))
    attention = Attention(heads=4, dropout=0.0, dtype=jnp.float32)
    forward = FeedForward(hidden, dropout=0.0, dtype=jnp.float32)
    draw = jax.jit(
        lambda key: attention.init(key, x, x, x, train=False)["params"] | forward.init(key, x, train=False)["params"]
    )
    bounds = {name: np.sqrt(6 / (4 * width)) for name in ("query", "key", "value")} | {"out": np.sqrt(6 / (2 * width))}
    bounds |= {name: np.sqrt(6 / (width + hidden)) for name in ("linear1", "linear2")}
    params = draw(jax.random.key(0))
    assert params.keys() == bounds.keys()
    for name, bound in bounds.items():
        kernel = np.asarray(params[name]["kernel"])
        assert 0.99 * bound < np.abs(kernel).max() <= bound, name
        assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=0.03), name
        assert (params[name]["bias"] == 0).all(), name


def test_dropout_falls_on_single_weights():
    """One key with value 1 reads 0 or 1 / keep, drawn anew for every example, query and head."""
    attention = Attention(heads=4, dropout=0.25, dtype=jnp.float32)
    query, memory = jnp.zeros((8, 50, 8)), jnp.zeros((8, 1, 8))
    zeros = {"kernel": jnp.zeros((8, 8)), "bias": jnp.zeros(8)}
    params = {
        "query": zeros,
        "key": zeros,
        "value": zeros | {"bias": jnp.ones(8)},
        "out": zeros | {"kernel": jnp.eye(8)},
    }
    joined = attention.apply({"params": params}, query, memory, memory, train=True, rngs={"dropout": jax.random.key(1)})
    read = np.asarray(joined).reshape(8, 50, 4, 2)
    np.testing.assert_array_equal(read[..., 0], read[..., 1])
    np.testing.assert_allclose(np.unique(read), [0, 4 / 3], rtol=1e-6)
    dropped = read[..., 0] == 0
    assert abs(dropped.mean() - 0.25) < 0.05  # of 1,600 draws
    for axis in range(3):
        assert dropped.any(axis).mean() > dropped.mean() + 0.1  # the draws along this axis differ


def test_dropout_of_the_feed_forward_part_falls_between_its_layers():
    """Hidden numbers of 1, each read by an output of its own: 0 or 1 / keep in training, 1 otherwise."""
    forward = FeedForward(8, dropout=0.5, dtype=jnp.float32)
    params = {"linear1": {"kernel": jnp.zeros((8, 8)), "bias": jnp.ones(8)}}
    params["linear2"] = {"kernel": jnp.eye(8), "bias": jnp.zeros(8)}
    x = jnp.zeros((4, 50, 8))
    read = np.asarray(forward.apply({"params": params}, x, train=True, rngs={"dropout": jax.random.key(0)}))
    np.testing.assert_array_equal(np.unique(read), [0, 2])
    assert abs((read == 0).mean() - 0.5) < 0.05  # of 1,600 draws
    np.testing.assert_array_equal(forward.apply({"params": params}, x, train=False), 1)


def test_layer_norm_has_pytorchs_epsilon():
    x = normal(0, 3, 8) * 0.01  # small enough for the epsilon to show
    expected = torch.nn.functional.layer_norm(torch.from_numpy(x), (8,), eps=1e-5)
    ours = layer_norm("norm", jnp.float32).init_with_output(jax.random.key(0), x)[0]
    np.testing.assert_allclose(ours, expected, atol=1e-5)
