# SPDX-License-Identifier: Apache-2.0
"""Inference from uint8 crops on the device to points on the device, all implementations in turns."""

import dataclasses
import itertools
import statistics
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from barrel_jax.benchmark.clock import alternate, summary
from barrel_jax.benchmark.sides import Side, Work, compare, forget_compiled, make_side
from barrel_jax.config import ModelConfig
from barrel_jax.grids import model_of
from barrel_jax.state import build_model, count_parameters


def flops_of(model: ModelConfig, num_landmarks: int, image_size: int) -> float:
    """Floating-point operations of one face, as XLA counts them before it optimises."""
    network = build_model(dataclasses.replace(model, dtype="float32"), num_landmarks)
    images = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
    variables = jax.eval_shape(lambda key, x: network.init(key, x, False), jax.random.key(0), images)
    lowered = jax.jit(lambda v, x: network.apply(v, x, False)[-1]).lower(variables, images)
    return float(lowered.cost_analysis()["flops"])


def random_variables(model: ModelConfig, num_landmarks: int, image_size: int, seed: int = 0) -> Any:
    """Variables {params, batch_stats} of a new model as NumPy arrays: speed does not depend on what was learned."""
    network = build_model(dataclasses.replace(model, dtype="float32"), num_landmarks)
    images = jnp.zeros((1, image_size, image_size, 3))
    return jax.device_get(jax.jit(lambda key: network.init(key, images, False))(jax.random.key(seed)))


def measure(
    labels: Sequence[str],
    batches: Sequence[int],
    precisions: Sequence[str],
    implementations: Sequence[str],
    *,
    devices: Sequence[str],
    rounds: int,
    num_landmarks: int,
    image_size: int,
) -> list[dict[str, Any]]:
    """One row for each device, model, batch, precision and implementation.

    All models and implementations of one device, batch and precision take turns, so that their ratios are of one run.

    Raises:
      ValueError: a label that is no model; implementations whose points differ by more than rounding.
    """
    models = {label: ModelConfig(**model_of(label)) for label in labels}
    variables = {label: random_variables(model, num_landmarks, image_size) for label, model in models.items()}
    flops = {label: flops_of(model, num_landmarks, image_size) for label, model in models.items()}
    rows = []
    for device, batch, precision in itertools.product(devices, batches, precisions):
        images = np.random.default_rng(0).integers(0, 256, (batch, image_size, image_size, 3), np.uint8)
        forget_compiled()
        sides: dict[tuple[str, str], Side] = {}
        spread = {}
        wanted = list(itertools.product(labels, implementations))
        for label, impl in tqdm(wanted, desc=f"compile for {device}, batch {batch}, {precision}"):
            work = Work(models[label], num_landmarks, variables[label], images, precision, device)
            sides[label, impl] = make_side(impl, work)
        for label in labels:
            spread[label] = compare(
                {impl: sides[label, impl] for impl in implementations}, f"{label} {precision}", precision
            )
        seconds = alternate({name: side.run for name, side in sides.items()}, rounds)
        for (label, impl), side in sides.items():
            rows.append(
                {"model": label, "impl": impl, "device": device, "precision": precision, "batch": batch}
                | summary(seconds[label, impl], batch)
                | {
                    "repeats": rounds,
                    "cold_s": side.cold_s,
                    "peak_memory_mb": side.memory_mb,
                    "largest_difference": spread[label],
                    "parameters": count_parameters(variables[label]["params"]),
                    "gflops": flops[label] * batch / statistics.median(seconds[label, impl]) / 1e9,
                }
            )
    return rows


def gains(rows: Sequence[dict[str, Any]], pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """How much faster the second model of each pair is than the first, in percent, by implementation and device."""
    speed = {(row["impl"], row["device"], row["precision"], row["model"]): row["images_per_s"] for row in rows}
    return [
        {
            "baseline": baseline,
            "model": ours,
            "impl": impl,
            "device": device,
            "precision": precision,
            "gain_percent": 100 * (speed[impl, device, precision, ours] / speed[impl, device, precision, baseline] - 1),
        }
        for impl, device, precision in dict.fromkeys(key[:3] for key in speed)
        for baseline, ours in pairs
    ]
