# SPDX-License-Identifier: Apache-2.0
"""The cost of a compiled training step, and at a chip's published rates its predicted time; how results say both."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from barrel_jax.pod.chips import Chip, Target
from barrel_jax.pod.program import Program
from barrel_jax.pod.roofline import EPOCHS, FACES, predict


@dataclass(frozen=True)
class Exchanged:
    """The collectives of one kind over one number of devices, in a step."""

    kind: str
    devices: int
    count: int
    bytes: int  # of all of them, on one device


@dataclass(frozen=True)
class StepCost:
    """One step on one device; the fields up to `compile_s` are those of `Program`."""

    topology: str
    chips: int
    batch: int
    parameters: int
    arguments: int
    temporary: int
    code: int
    flops: float
    traffic: float
    compile_s: float
    memory: int  # bytes at its peak
    exchanged: list[Exchanged]

    def to_json(self) -> dict[str, Any]:
        """As results keep it: one object."""
        return vars(self) | {"exchanged": [vars(one) for one in self.exchanged]}


@dataclass(frozen=True)
class PredictedCost(StepCost):
    """The same with what a chip's published rates make of it."""

    chip_memory: float  # bytes
    compute_ms: float
    memory_ms: float
    exchange_ms: float
    step_ms: float
    faces_per_s: float
    recipe_minutes: float  # of the paper's recipe on WFLW


def from_json(content: Mapping[str, Any]) -> StepCost | PredictedCost:
    """A cost that a result keeps; what else stands beside it is left out. Raises KeyError for a missing field."""
    kind = PredictedCost if "step_ms" in content else StepCost
    own = {field.name: content[field.name] for field in fields(kind)}
    return kind(**own | {"exchanged": [Exchanged(**one) for one in own["exchanged"]]})


def step_cost(program: Program, target: Target) -> StepCost | PredictedCost:
    """The cost of a program, with its predicted time where rates are published for the target's chip."""
    return predicted_cost(program, target, target.chip) if target.chip else StepCost(**_facts(program))


def predicted_cost(program: Program, target: Target, chip: Chip) -> PredictedCost:
    """The cost of a program with its predicted time at a chip's rates."""
    prediction = predict(program, chip, target.sides)
    return PredictedCost(
        **_facts(program),
        chip_memory=chip.memory,
        compute_ms=1e3 * prediction.compute,
        memory_ms=1e3 * prediction.memory,
        exchange_ms=1e3 * prediction.exchange,
        step_ms=1e3 * prediction.step,
        faces_per_s=program.batch / prediction.step,
        recipe_minutes=EPOCHS * FACES / program.batch * prediction.step / 60,
    )


def _facts(program: Program) -> dict[str, Any]:
    own = {name: value for name, value in vars(program).items() if name != "collectives"}
    return own | {"memory": program.memory, "exchanged": _exchanged(program)}


def _exchanged(program: Program) -> list[Exchanged]:
    count: Counter[tuple[str, int]] = Counter()
    size: Counter[tuple[str, int]] = Counter()
    for one in program.collectives:
        count[one.kind, one.group] += one.times
        size[one.kind, one.group] += one.times * one.bytes
    return [Exchanged(kind, group, count[kind, group], size[kind, group]) for kind, group in sorted(count)]
