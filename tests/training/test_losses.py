# SPDX-License-Identifier: Apache-2.0
"""The losses against PyTorch's and by hand."""

import inspect

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from barrel_jax.training.losses import landmark_l1, scale_likelihood

pytestmark = pytest.mark.quick


def test_equals_torch_l1_when_every_point_is_labelled():
    from tests.kit.needs_torch import torch

    rng = np.random.default_rng(0)
    points, truth = rng.random((1, 4, 5, 2), np.float32), rng.random((4, 5, 2), np.float32)
    expected = torch.nn.functional.l1_loss(torch.tensor(points[0]), torch.tensor(truth)).item()
    np.testing.assert_allclose(landmark_l1(points, truth, jnp.ones((4, 5), bool)), expected, rtol=1e-6)


def test_by_hand_with_an_unlabelled_point_and_two_layers():
    truth = jnp.zeros((1, 2, 2))
    labelled = jnp.array([[True, False]])
    points = jnp.array([[[[0.1, 0.3], [9.0, 9.0]]], [[[0.2, 0.0], [9.0, 9.0]]]])
    # Layer 1: (0.1 + 0.3) / 2, layer 2: (0.2 + 0) / 2; their mean.
    np.testing.assert_allclose(landmark_l1(points, truth, labelled), (0.2 + 0.1) / 2, rtol=1e-6)


def test_a_batch_without_labels_costs_nothing():
    assert landmark_l1(jnp.ones((1, 2, 3, 2)), jnp.zeros((2, 3, 2)), jnp.zeros((2, 3), bool)) == 0


@pytest.mark.parametrize(
    ("points", "truth", "labelled"),
    [
        ((1, 3, 1, 2), (3, 1, 2), (1, 4)),  # broadcast, a wrong number in silence
        ((1, 3, 4, 2), (1, 4, 2), (3, 4)),
        ((3, 4, 2), (3, 4, 2), (3, 4)),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(points, truth, labelled):
    arrays = jnp.zeros(points), jnp.zeros(truth), jnp.ones(labelled, bool)
    with pytest.raises(jaxtyping.TypeCheckError, match="landmark_l1"):  # the signature, which tests check
        landmark_l1(*arrays)
    with pytest.raises(ValueError, match=r"must be \[L, B, K, 2\], \[B, K, 2\] and \[B, K\]"):  # a user's run
        inspect.unwrap(landmark_l1)(*arrays)


def test_a_scale_is_best_where_it_is_the_mean_error():
    """|error| / b + log b, by hand at b = 0.1, and least at b = 0.2, the mean of 0.1 and 0.3."""
    truth, labelled = jnp.zeros((1, 2, 2)), jnp.array([[True, False]])
    points = jnp.array([[[0.1, 0.3], [9.0, 9.0]]])

    def cost(scale):
        return float(scale_likelihood(points, jnp.full((1, 2), np.log(scale)), truth, labelled))

    assert cost(0.1) == pytest.approx(2 + np.log(0.1), rel=1e-5)
    assert min(np.linspace(0.1, 0.4, 31), key=cost) == pytest.approx(0.2)
    assert scale_likelihood(points, jnp.zeros((1, 2)), truth, jnp.zeros((1, 2), bool)) == 0
