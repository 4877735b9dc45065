# SPDX-License-Identifier: Apache-2.0
"""Distances of each precision's points on the GPU from those of the same weights in full float32 on the CPU."""

import importlib.util

import jax
import numpy as np

from barrel_jax.benchmark.frameworks import MATMUL
from barrel_jax.benchmark.refusals import reason, refusals
from barrel_jax.benchmark.sides import Work, make_side
from barrel_jax.config import ModelConfig
from barrel_jax.paper import model_of
from benchmarks.drawn_weights import LANDMARKS, SIZE, draw_images, spread_variables
from benchmarks.gpu.step import Rows


def measure(rows: Rows, label: str, device: str, images: int) -> None:
    """One row for each precision and implementation: the largest and the mean distance in pixels of 256."""
    pixels, config = draw_images(images), ModelConfig(**model_of(label), dtype="float32")
    with jax.default_device(jax.devices("cpu")[0]):
        variables = jax.device_get(spread_variables(config, pixels))

    def points(impl: str, precision: str, on: str) -> np.ndarray:
        return make_side(impl, Work(config, LANDMARKS, variables, pixels, precision, on)).points

    truth = points("jax", "float32", "cpu")
    impls = ["jax", "torch-eager"] if importlib.util.find_spec("torch") else ["jax"]
    for precision in MATMUL:
        for impl in impls:
            row = {"model": label, "impl": impl, "device": device, "precision": precision, "images": images}
            try:
                away = SIZE * np.linalg.norm(points(impl, precision, device) - truth, axis=-1)
            except refusals() as error:
                rows.add(row | {"error": reason(error)})
            else:
                rows.add(row | {"largest_px": float(away.max()), "mean_px": float(away.mean())})
