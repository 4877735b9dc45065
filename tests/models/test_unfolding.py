# SPDX-License-Identifier: Apache-2.0
"""A folded model to train again: the same outputs, and in training too where its norms take their own batch."""

from functools import partial

import chex
import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from barrel_jax.config import ModelConfig
from barrel_jax.models.build import build_model, draw
from barrel_jax.models.folding import fold
from barrel_jax.models.inference import folded_model, predict_points
from barrel_jax.models.unfolding import unfold

SMALL = {"backbone": "resnet10_w16", "width": 16, "heads": 4, "feedforward": 24, "dropout": 0.0}
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), np.uint8)
KEY = jax.random.key(0)


@pytest.mark.parametrize("fields", [{}, {"encoder_layers": 1}])
def test_it_computes_what_it_did_and_its_norms_know_the_faces(fields):
    config = ModelConfig(**SMALL | fields)
    model, rng = build_model(config, 5), np.random.default_rng(1)
    drawn = jax.device_get(draw(model, 64, KEY))
    variables = jax.tree.map_with_path(  # every norm with numbers of its own
        lambda path, leaf: leaf + rng.uniform(0, 0.5, leaf.shape).astype(np.float32) * ("'norm'" in str(path)), drawn
    )
    folded = jax.device_get(jax.jit(fold)(variables))
    unfolded = unfold(config, 5, folded, IMAGES)
    chex.assert_trees_all_equal_shapes(unfolded, drawn)
    predict = jax.jit(predict_points, static_argnums=0)
    points = predict(folded_model(config, 5), folded, IMAGES)
    other = IMAGES[::-1, ::-1]  # the statistics are of other pictures
    np.testing.assert_allclose(predict(model, unfolded, IMAGES), points, atol=1e-5)
    np.testing.assert_allclose(
        predict(model, unfolded, other), predict(folded_model(config, 5), folded, other), atol=1e-5
    )
    train = jax.jit(partial(model.apply, train=True, mutable=["batch_stats"]))
    in_training, changed = train(unfolded, IMAGES / np.float32(255), rngs={"dropout": KEY})
    np.testing.assert_allclose(in_training[-1], points, atol=1e-5)
    seen = flatten_dict(changed["batch_stats"], sep="/")
    for name, leaf in flatten_dict(unfolded["batch_stats"], sep="/").items():
        np.testing.assert_allclose(seen[name], leaf, atol=1e-4 * np.abs(leaf).max(), err_msg=name)


def test_norms_are_given_float32_where_the_model_computes_in_bfloat16():
    """As training keeps them: a state of other types is no carry of its own step."""
    config = ModelConfig(**SMALL, dtype="bfloat16")
    drawn = draw(build_model(config, 5), 64, KEY)
    unfolded = unfold(config, 5, jax.device_get(jax.jit(fold)(drawn)), IMAGES)
    chex.assert_trees_all_equal_shapes_and_dtypes(unfolded, drawn)
