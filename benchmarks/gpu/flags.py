# SPDX-License-Identifier: Apache-2.0
"""Inference under several flags of XLA, in one process and in turns, so that the ratios are of one run.

XLA takes most of its flags with a single program (`compile(options)`); what is read once in a process is not here.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from barrel_jax.benchmark.clock import alternate, summary
from barrel_jax.benchmark.frameworks import flags, give_back
from barrel_jax.benchmark.infer import random_images, random_variables
from barrel_jax.benchmark.refusals import Disagreement, reason, refusals
from barrel_jax.benchmark.sides import Side, Work, compare, make_side
from barrel_jax.config import ModelConfig
from barrel_jax.paper import model_of
from benchmarks.gpu.sizes import HANDED
from benchmarks.gpu.step import Rows

OWN = ("jax", "jax-frozen")


def work_of(label: str, precision: str, device: str, num_landmarks: int, image_size: int, batch: int = 1) -> Work:
    """Faces through a model of drawn weights."""
    config = ModelConfig(**model_of(label))
    variables = random_variables(config, num_landmarks, image_size)
    return Work(config, num_landmarks, variables, random_images(batch, image_size), precision, device)


def measure(
    rows: Rows,
    label: str,
    work: Work,
    variants: Mapping[str, Mapping[str, Any]],
    others: Sequence[str],
    rounds: int,
    handed: Sequence[str] = HANDED,
) -> None:
    """A row for each variant, by name, and each opponent; of those that are `handed` one without weights in the program
    too.

    Rows come together, after the last round; those that an earlier start has left are of another run and are replaced.
    """
    rows.clear()
    wanted = [(name, impl) for name in variants for impl in (OWN if name in handed else OWN[1:])]
    wanted += [(impl, impl) for impl in others]
    common = {"model": label, "device": work.device, "precision": work.precision, "batch": len(work.images)}
    sides: dict[tuple[str, str], Side] = {}
    refused: dict[tuple[str, str], str] = {}
    for name, impl in wanted:
        try:
            side = make_side(impl, dataclasses.replace(work, xla=variants.get(name, {})))
            compare({str(key): made for key, made in [*sides.items(), ((name, impl), side)]}, label, work.precision)
        except Disagreement as error:
            refused[name, impl] = str(error)
        except refusals() as error:
            refused[name, impl] = reason(error)
        else:
            sides[name, impl] = side
    with rows.alone():
        seconds = alternate({key: side.run for key, side in sides.items()}, rounds, dropped=refused)
    for name, impl in wanted:
        row = common | {"xla": name, "impl": impl, "options": dict(variants.get(name, {}))}
        if (name, impl) in refused:
            rows.add(row | {"error": refused[name, impl]})
            continue
        timing, side = summary(seconds[name, impl], row["batch"]), sides[name, impl]
        rows.add(row | vars(timing) | {"cold_s": side.cold_s, "flags": flags(impl, work.precision), "repeats": rounds})
    sides.clear()
    give_back()
