# SPDX-License-Identifier: Apache-2.0
"""Weights that are drawn and yet behave like trained ones, to see how far rounding moves the points of a path."""

from typing import Any

import cv2
import jax
import numpy as np

from barrel_jax.benchmark.infer import random_variables
from barrel_jax.config import ModelConfig
from barrel_jax.models.build import build_model

LANDMARKS, SIZE = 98, 256
SPREAD = 1.0  # standard deviation of what the sigmoid is given: of points 54 px, as those of faces


def _drawn_variables(config: ModelConfig, images: np.ndarray) -> Any:
    """Variables {params, batch_stats} of which nothing is as at the start.

    Every number is moved, and statistics are those of the images, as training leaves them: with others activations
    grow from block to block until every softmax is one-hot, and the rounding of bfloat16 decides where.
    """
    rng = np.random.default_rng(1)

    def moved(path: tuple, leaf: np.ndarray) -> np.ndarray:
        if path[-1].key == "scale":
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        spread = 0.5 * leaf.std() if leaf.ndim > 1 else 0.1
        return leaf + np.float32(spread) * rng.standard_normal(leaf.shape, np.float32)

    start = random_variables(config, LANDMARKS, SIZE)
    variables = start | {"params": jax.tree_util.tree_map_with_path(moved, start["params"])}
    model = build_model(config, LANDMARKS)

    @jax.jit
    def batch_statistics(variables: Any, pixels: jax.Array) -> Any:
        dropout = {"dropout": jax.random.key(0)}
        _, changed = model.apply(variables, pixels / 255, train=True, mutable=["batch_stats"], rngs=dropout)
        return changed["batch_stats"]

    after = batch_statistics(variables, images.astype(np.float32))
    # One step of the running average, which keeps nine tenths, undone.
    statistics = jax.tree.map(lambda new, old: np.asarray((new - 0.9 * old) / 0.1), after, start["batch_stats"])
    return variables | {"batch_stats": statistics}


def draw_images(count: int) -> np.ndarray:
    """Noise from fine to coarse, uint8 [count, 256, 256, 3]."""
    rng = np.random.default_rng(2)
    noise = [rng.integers(0, 256, (SIZE >> index % 6,) * 2 + (3,), np.uint8) for index in range(count)]
    return np.stack([cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) for image in noise])


def spread_variables(config: ModelConfig, images: np.ndarray) -> Any:
    """Variables of a model with 98 landmarks whose points of `images` uint8 [B, 256, 256, 3] lie apart as a face's."""
    variables, model = _drawn_variables(config, images), build_model(config, LANDMARKS)
    points = np.float64(jax.jit(lambda v, x: model.apply(v, x / 255, train=False)[-1])(variables, np.float32(images)))
    layer = variables["params"]["head"]["layer3"]
    layer["kernel"] *= SPREAD / np.log(points / (1 - points)).std()
    layer["bias"] *= 0
    return variables
