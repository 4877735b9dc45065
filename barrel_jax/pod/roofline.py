# SPDX-License-Identifier: Apache-2.0
"""A roofline: the predicted time of a compiled step at a chip's published rates; `ASSUMPTIONS` has what it assumes."""

import math
from dataclasses import dataclass

from barrel_jax.pod.chips import Chip
from barrel_jax.pod.hlo import Collective
from barrel_jax.pod.program import Program

HOP_S = 1e-6
EPOCHS, FACES = 360, 7500  # section 4.1, WFLW
ASSUMPTIONS = (
    "a step takes the longer of its operations at the peak rate and its memory traffic at the full rate, then its "
    "collectives, none of them hidden behind computation",
    "memory traffic: each instruction of the compiled program reads its operands and writes its result once, but for "
    "what the compiler keeps in on-chip memory",
    "a collective moves its bytes at the full rate of the chip's links in a slice whose sides close to rings, at half "
    "of it along sides that do not; over a part of the devices it has the links of one dimension",
    f"each hop of a collective's path costs {HOP_S * 1e6:.0f} us, which is not published",
    "no host, input or start-up time",
)


@dataclass(frozen=True)
class Prediction:
    """Seconds of one step."""

    compute: float
    memory: float
    exchange: float

    @property
    def step(self) -> float:
        """The whole."""
        return max(self.compute, self.memory) + self.exchange


def exchange_seconds(one: Collective, chip: Chip, sides: tuple[int, ...]) -> float:
    """All runs of a collective in a step, on a slice of these sides."""
    if one.group < 2:
        return 0.0
    whole = one.group == math.prod(sides)
    used = [side for side in sides if side > 1] if whole else [one.group]
    share = chip.link_rate / len(sides)
    rate = sum(share if side >= chip.wraps else share / 2 for side in used)
    hops = sum(side // 2 if side >= chip.wraps else side - 1 for side in used)
    if chip.wraps == 1:  # a switch: every chip has all its links to any other
        rate, hops = chip.link_rate, math.ceil(math.log2(one.group))
    moved = (one.group - 1) / one.group * one.bytes
    if one.kind == "all-reduce":
        moved, hops = 2 * moved, 2 * hops
    elif one.kind == "collective-permute":
        moved, hops = one.bytes, 1
    return one.times * (moved / rate + hops * HOP_S)


def predict(program: Program, chip: Chip, sides: tuple[int, ...]) -> Prediction:
    """The time of one step on a slice of these sides."""
    return Prediction(
        program.flops / chip.flops,
        program.traffic / chip.memory_rate,
        sum(exchange_seconds(one, chip, sides) for one in program.collectives),
    )
