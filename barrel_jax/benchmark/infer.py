# SPDX-License-Identifier: Apache-2.0
"""Inference from uint8 crops on the device to points on the device, implementations in turns."""

import dataclasses
import functools
import itertools
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from barrel_jax.benchmark.clock import Alone, summary
from barrel_jax.benchmark.frameworks import flags
from barrel_jax.benchmark.refusals import Disagreement
from barrel_jax.benchmark.rows import Failed, Inferred, Key, Row, Rows, measure_in_turns
from barrel_jax.benchmark.sides import Side, Work, compare, host, make_side
from barrel_jax.config import ModelConfig
from barrel_jax.devices.xla import one_use_options
from barrel_jax.models.build import build_model, count_parameters, draw, shapes_of
from barrel_jax.paper import model_of


def flops_of(model: ModelConfig, num_landmarks: int, image_size: int) -> float | None:
    """Floating-point operations of one face, as XLA counts them; None where it counts none.

    They are those of the CPU's program before it is optimised: the plugins of CUDA and TPU do not count before they
    compile, and afterwards calls into libraries may hide what is in them. Without a CPU the compiled program is asked.
    """
    network = build_model(dataclasses.replace(model, dtype="float32"), num_landmarks)
    images = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
    with jax.default_device(host()):
        variables = shapes_of(network, image_size)
        lowered = jax.jit(lambda v, x: network.apply(v, x, train=False)[-1]).lower(variables, images)
        analysis = lowered.cost_analysis() or lowered.compile().cost_analysis()
    return float(analysis["flops"]) if analysis else None


def random_variables(model: ModelConfig, num_landmarks: int, image_size: int, seed: int = 0) -> Any:
    """Variables {params, batch_stats} of a new model as NumPy arrays: speed does not depend on what was learned.

    Drawn on the host: nothing of it is timed, and a GPU would have to compile it.
    """
    network = build_model(dataclasses.replace(model, dtype="float32"), num_landmarks)
    device = host()
    with jax.default_device(device):
        options = one_use_options(device.platform if device else None)
        drawn = jax.jit(functools.partial(draw, network, image_size), compiler_options=options)(jax.random.key(seed))
        return jax.device_get(drawn)


def random_images(batch: int, image_size: int) -> np.ndarray:
    """Noise, uint8 [batch, S, S, 3]: zeros would be computed at a lower power, and so at a higher clock."""
    return np.random.default_rng(0).integers(0, 256, (batch, image_size, image_size, 3), np.uint8)


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
    write: Callable[[Row], None] | None = None,
    done: Iterable[Row] = (),
    models_in_turns: bool = False,
    alone: Alone = nullcontext,
) -> list[Row]:
    """One row for each device, model, batch, precision and implementation.

    The implementations of one device, batch, precision and model take turns, so that their ratios are of one run; their
    rows come together when the last round is over, and the memory of both frameworks is given back then.

    Args:
        labels: models, as `paper.model_of` reads them.
        batches: faces at once.
        precisions: of `frameworks.MATMUL`.
        implementations: of `sides.IMPLEMENTATIONS`.
        devices: cpu, cuda.
        rounds: timed repeats of each.
        num_landmarks: K.
        image_size: the crop's side in pixels.
        write: called with every new row as soon as it is there.
        done: rows of an earlier call; they are returned in their places and not measured again, failed ones too.
        models_in_turns: all models of a device, batch and precision take turns as well, so that their ratios count.
        alone: what the timing takes place in, such as a lock.

    Returns:
        the rows. An implementation that cannot be made, runs out of memory or says points that are not finite costs its
        own row (`Failed`), points that differ by more than rounding those of their model.

    Raises:
        ValueError: a label that is no model; before anything is measured.
    """
    models = {label: ModelConfig(**model_of(label)) for label in labels}
    rows = Rows(write, done)

    @functools.cache
    def variables_of(label: str) -> Any:
        return random_variables(models[label], num_landmarks, image_size)

    flops = functools.cache(lambda label: flops_of(models[label], num_landmarks, image_size))
    together = [list(labels)] if models_in_turns else [[label] for label in labels]
    keys = []
    for device, batch, precision, group in itertools.product(devices, batches, precisions, together):
        wanted = [Key(label, impl, device, precision, batch) for label in group for impl in implementations]
        keys += wanted
        images = random_images(batch, image_size)
        spread: dict[str, float] = {}

        def make(key: Key, images: np.ndarray = images) -> Side:
            work = Work(models[key.model], num_landmarks, variables_of(key.model), images, key.precision, key.device)
            return make_side(key.impl, work)

        def check(sides: Mapping[Key, Side], spread: dict[str, float] = spread) -> dict[Key, str]:
            refused: dict[Key, str] = {}
            for label in dict.fromkeys(key.model for key in sides):
                of_label = {key: side for key, side in sides.items() if key.model == label}
                precision = next(iter(of_label)).precision
                try:
                    spread[label] = compare({key.impl: side for key, side in of_label.items()}, label, precision)
                except Disagreement as error:
                    refused |= dict.fromkeys(of_label, str(error))
            return refused

        def numbers(key: Key, side: Side, seconds: list[float], spread: dict[str, float] = spread) -> Row:
            operations = flops(key.model)
            return Inferred(
                key,
                summary(seconds, key.batch),
                repeats=len(seconds),
                cold_s=side.cold_s,
                largest_difference=spread[key.model],
                flags=flags(key.impl, key.precision),
                parameters=count_parameters(variables_of(key.model)["params"]),
                gflops=operations and operations * key.batch / statistics.median(seconds) / 1e9,
            )

        if missing := rows.missing(wanted):
            measure_in_turns(missing, make, check, numbers, rounds, rows, alone)
    return rows.of(keys)


def gains(rows: Sequence[Row], pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """How much faster the second model of each pair is than the first, in percent, by implementation and device.

    A pair of which a model was not measured is left out.
    """
    speed = {
        (row.key.impl, row.key.device, row.key.precision, row.key.model): row.timing.images_per_s
        for row in rows
        if not isinstance(row, Failed)
    }
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
        if {(impl, device, precision, model) for model in (baseline, ours)} <= speed.keys()
    ]
