# SPDX-License-Identifier: Apache-2.0
"""DQInit: equation 1 by hand, and its 4.47M numbers at 68 points."""

import jax
import jax.numpy as jnp
import numpy as np

from barrel_jax.models.dqinit import DQInit


def test_equation_1_by_hand():
    """Two tokens of width 2, averaged; row k of the queries is columns 2k and 2k + 1 of the dense layer's output."""
    memory = np.array([[[1, 2], [3, 6]], [[0, 1], [2, -1]]], np.float32)  # means (2, 4) and (1, 0)
    kernel = np.array([[1, 0, 2, 0, -1, 1], [0, 1, 1, 0, 0, 3]], np.float32)
    bias = np.array([0, 0, 0, 5, 0, 0], np.float32)
    module = DQInit(num_landmarks=3, rank=0, dtype=jnp.float32)
    queries = module.apply({"params": {"dense": {"kernel": kernel, "bias": bias}}}, memory)
    np.testing.assert_allclose(queries, [[[2, 4], [8, 5], [-2, 14]], [[1, 0], [2, 5], [-1, 1]]], rtol=1e-6)


def test_equation_1_at_random():
    random = np.random.default_rng(0)
    memory = random.standard_normal((2, 7, 8)).astype(np.float32)
    module = DQInit(num_landmarks=5, rank=0, dtype=jnp.float32)
    queries, variables = module.init_with_output(jax.random.key(0), memory)
    dense = variables["params"]["dense"]
    expected = (memory.sum(1) / 7 @ np.asarray(dense["kernel"])).reshape(2, 5, 8)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(queries, expected, atol=1e-6)
    # Xavier: sqrt(6 / (D + K D)).
    assert 0.9 * np.sqrt(6 / 48) < np.abs(dense["kernel"]).max() <= np.sqrt(6 / 48)


def test_a_rank_makes_the_weights_a_product():
    random = np.random.default_rng(0)
    memory = random.standard_normal((2, 7, 8)).astype(np.float32)
    full, low = DQInit(5, 0, jnp.float32), DQInit(5, 3, jnp.float32)
    queries, variables = low.init_with_output(jax.random.key(0), memory)
    assert jax.tree.map(np.shape, variables["params"]) == {
        "reduce": {"kernel": (8, 3)},
        "dense": {"kernel": (3, 40), "bias": (40,)},
    }
    reduce, dense = variables["params"]["reduce"], variables["params"]["dense"]
    assert 0.8 * np.sqrt(6 / 11) < np.abs(reduce["kernel"]).max() <= np.sqrt(6 / 11)  # Xavier here too
    product = {"kernel": reduce["kernel"] @ dense["kernel"], "bias": dense["bias"]}
    np.testing.assert_allclose(full.apply({"params": {"dense": product}}, memory), queries, atol=1e-6)


def test_parameter_count_at_68_points():
    variables = jax.eval_shape(DQInit(68, 0, jnp.float32).init, jax.random.key(0), jnp.zeros((1, 4, 256)))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == 4_473_856
