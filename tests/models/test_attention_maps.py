# SPDX-License-Identifier: Apache-2.0
"""Attention maps against the weights of queries and keys, at no cost to those who do not ask for them."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from barrel_jax.models.attention import Attention
from barrel_jax.models.attention_maps import attention_maps
from barrel_jax.models.barrelnet import BarrelNet


def test_weights_are_the_softmax_of_queries_and_keys():
    rng = np.random.default_rng(0)
    query, memory = rng.normal(size=(2, 3, 8)).astype(np.float32), rng.normal(size=(2, 5, 8)).astype(np.float32)
    module = Attention(heads=2, dropout=0.1, dtype=np.float32)
    variables = module.init(jax.random.key(0), query, memory, memory, train=False)
    assert variables.keys() == {"params"}
    plain = module.apply(variables, query, memory, memory, train=False)
    kept_out, kept = module.apply(variables, query, memory, memory, train=False, mutable=["intermediates"])
    np.testing.assert_array_equal(plain, kept_out)
    (weights,) = kept["intermediates"]["attention_weights"]

    def heads(x, name):
        kernel, bias = (np.asarray(variables["params"][name][part]) for part in ("kernel", "bias"))
        return (x @ kernel + bias).reshape(2, -1, 2, 4)

    logits = np.einsum("bknh,bsnh->bnks", heads(query, "query"), heads(memory, "key")) / 2  # the root of 4
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_maps_are_the_last_layers_means_over_heads_row_by_row():
    """Of a memory of 2 x 2 cells, from what the last cross-attention was given; points are those of a prediction."""
    model = BarrelNet(3, backbone="resnet10_w16", stride=32, width=8, heads=2, feedforward=16, decoder_layers=2)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    scaled = images.astype(np.float32) / np.float32(255)
    shapes = jax.eval_shape(lambda key: model.init(key, scaled, train=False), jax.random.key(0))
    random = np.random.default_rng(1)

    def draw(leaf):
        if len(leaf.shape) == 1:
            return random.uniform(0.5, 1.0, leaf.shape).astype(np.float32)
        return random.standard_normal(leaf.shape, np.float32) / np.sqrt(np.prod(leaf.shape[:-1]), dtype=np.float32)

    variables = jax.tree.map(draw, shapes)

    @jax.jit  # one program, so that equal points are equal to the last digit
    def compute(variables):
        inputs = {}

        def note(next_function, args, kwargs, context):
            if isinstance(context.module, Attention):
                inputs[context.module.path] = args
            return next_function(*args, **kwargs)

        with nn.intercept_methods(note):
            found = attention_maps(model, variables, images)
        return *found, model.apply(variables, scaled, train=False)[-1], inputs["decoder1", "cross_attention"]

    points, maps, plain, (query, key, *_) = compute(variables)
    np.testing.assert_allclose(points, plain, rtol=1e-6)
    params = variables["params"]["decoder1"]["cross_attention"]
    q, k = (
        (np.asarray(x) @ params[name]["kernel"] + params[name]["bias"]).reshape(2, -1, 2, 4)
        for x, name in ((query, "query"), (key, "key"))
    )
    logits = np.einsum("bknh,bsnh->bnks", q, k) / 2
    expected = (np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)).mean(1)
    assert maps.shape == (2, 3, 2, 2) and expected.std() > 1e-3
    for cell in range(4):
        np.testing.assert_allclose(maps[:, :, cell // 2, cell % 2], expected[..., cell], atol=1e-5)


def test_a_model_without_decoder_is_refused():
    with pytest.raises(ValueError, match="a model without decoder has no cross-attention"):
        attention_maps(BarrelNet(3, decoder_layers=0), {}, np.zeros((1, 32, 32, 3), np.uint8))
