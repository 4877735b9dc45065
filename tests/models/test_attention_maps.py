# SPDX-License-Identifier: Apache-2.0
"""The weights that attention gives away are those of its queries and keys, and nobody pays who does not ask."""

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
    variables = module.init(jax.random.key(0), query, memory, memory, False)
    assert variables.keys() == {"params"}
    plain = module.apply(variables, query, memory, memory, False)
    kept_out, kept = module.apply(variables, query, memory, memory, False, mutable=["intermediates"])
    np.testing.assert_array_equal(plain, kept_out)
    (weights,) = kept["intermediates"]["attention_weights"]

    def heads(x, name):
        kernel, bias = (np.asarray(variables["params"][name][part]) for part in ("kernel", "bias"))
        return (x @ kernel + bias).reshape(2, -1, 2, 4)

    logits = np.einsum("bknh,bsnh->bnks", heads(query, "query"), heads(memory, "key")) / 2  # the root of 4
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_a_model_without_decoder_is_refused():
    with pytest.raises(ValueError, match="a model without decoder has no cross-attention"):
        attention_maps(BarrelNet(3, decoder_layers=0), {}, np.zeros((1, 32, 32, 3), np.uint8))
