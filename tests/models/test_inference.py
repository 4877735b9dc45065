# SPDX-License-Identifier: Apache-2.0
"""The coarse points beside the last ones, and the models that have none."""

import jax
import numpy as np
import pytest

from barrel_jax.config import ModelConfig
from barrel_jax.models.build import build_model, draw
from barrel_jax.models.inference import predict_with_coarse

SMALL = {"backbone": "resnet10_w16", "width": 16, "heads": 2, "feedforward": 16, "dtype": "float32"}
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)


@pytest.mark.parametrize("reference_points", [False, True])
def test_coarse_points_are_those_that_the_model_sows(reference_points):
    model = build_model(ModelConfig(**SMALL, decoder_layers=2, reference_points=reference_points), 5)
    variables = draw(model, 64, jax.random.key(0))
    points, coarse = jax.jit(predict_with_coarse, static_argnums=0)(model, variables, IMAGES)
    scaled = IMAGES.astype(np.float32) / np.float32(255)
    sow = jax.jit(lambda variables, x: model.apply(variables, x, train=False, mutable=["intermediates"]))
    layers, kept = sow(variables, scaled)
    (sown,) = kept["intermediates"]["coarse"]
    np.testing.assert_allclose(coarse, sown, atol=1e-5)
    np.testing.assert_allclose(points, layers[-1], atol=1e-5)
    assert coarse.dtype == points.dtype == np.float32 and coarse.shape == points.shape == (2, 5, 2)
    # Offsets from reference points are zero at the start; without reference points both are predictions of their own.
    assert (np.abs(points - coarse).max() > 1e-3) == (not reference_points)


@pytest.mark.quick
@pytest.mark.parametrize("fields", [{"dqinit": False}, {"decoder_layers": 0}], ids=str)
def test_a_model_without_coarse_points_is_refused(fields):
    model = build_model(ModelConfig(**SMALL | fields), 5)
    with pytest.raises(ValueError, match="this model has no coarse points: they are read from DQInit's queries"):
        predict_with_coarse(model, {}, IMAGES)
