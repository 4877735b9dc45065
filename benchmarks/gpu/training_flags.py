# SPDX-License-Identifier: Apache-2.0
"""Training steps under several flags of XLA beside PyTorch's, in turns, and what each consists of on the device.

Rows are of one process and one run; XLA takes these flags with a single program. A profiler slows down what it looks
at: milliseconds of a step are measured without it.
"""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from barrel_jax.benchmark.clock import alternate
from barrel_jax.benchmark.frameworks import ROUNDING, flags, give_back
from barrel_jax.benchmark.refusals import Disagreement, reason, refusals
from barrel_jax.benchmark.train import Steps, Training, compare_losses, make_steps
from benchmarks.gpu.profiled import summarise, trace_jax, trace_torch
from benchmarks.gpu.step import Rows

PROFILED = 2  # calls, each of all steps of one dispatch


def measure(
    rows: Rows,
    label: str,
    work: Training,
    variants: Mapping[str, Mapping[str, Any]],
    others: Sequence[str],
    rounds: int,
) -> None:
    """A row for each variant of `jax`, by name, and each opponent; they come together, after the last round."""
    rows.clear()
    common = {"model": label, "device": work.device, "precision": work.precision, "batch": work.config.batch_size}
    wanted = [(name, "jax") for name in variants] + [(impl, impl) for impl in others]
    made: dict[str, Steps] = {}
    refused: dict[str, str] = {}
    try:
        common["largest_difference"] = compare_losses(work, [impl for _, impl in wanted])
    except Disagreement as error:
        refused = dict.fromkeys((name for name, _ in wanted), str(error))
    except refusals():  # the side that cannot say its loss cannot be made either, and says why there
        pass
    expected: float | None = None  # loss of JAX's first step, which is of the same faces and draws under all options
    for name, impl in wanted:
        if name in refused:
            continue
        try:
            side = make_steps(impl, dataclasses.replace(work, xla=variants.get(name)))
        except refusals() as error:
            refused[name] = reason(error)
            continue
        if impl == "jax":
            expected = side.first_loss if expected is None else expected
            if not abs(side.first_loss - expected) <= ROUNDING[work.precision]:
                refused[name] = f"its first loss is {side.first_loss:.6f}, {expected:.6f} under other options"
                continue
        made[name] = side
    with rows.alone():
        seconds = alternate({name: side.run for name, side in made.items()}, rounds, dropped=refused)
        seen = {name: _trace(made[name], impl, work) for name, impl in wanted if name in seconds}
    for name, impl in wanted:
        row = common | {"how": name, "impl": impl, "options": dict(variants.get(name, {}))}
        if name in refused:
            rows.add(row | {"error": refused[name]})
            continue
        step_ms = 1e3 * statistics.median(seconds[name]) / work.steps
        timing = {"median_ms": step_ms, "cold_s": made[name].cold_s, "repeats": rounds, "steps_a_call": work.steps}
        rows.add(row | timing | {"flags": flags(impl, work.precision)} | seen[name])
    made.clear()
    give_back()


def _trace(side: Steps, impl: str, work: Training) -> dict[str, Any]:
    """What a step of a side consists of (`profiled.summarise`, whose calls are steps here), or why it was not seen."""
    trace = trace_torch if impl.startswith("torch") else trace_jax
    try:
        found = trace(side.run, PROFILED, work.device)
        return summarise(dataclasses.replace(found, calls=PROFILED * work.steps))
    except refusals() as error:
        return {"not_seen": reason(error)}
