# SPDX-License-Identifier: Apache-2.0
"""The pod report as text, JSON rows and a curve."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from barrel_jax import markdown
from barrel_jax.files import write
from barrel_jax.pod.chips import Target
from barrel_jax.pod.program import Program
from barrel_jax.pod.roofline import ASSUMPTIONS, EPOCHS, FACES, predict


def exchanged(program: Program) -> list[dict[str, object]]:
    """The collectives of a step by kind and group: how many, and their bytes on one device."""
    count: Counter[tuple[str, int]] = Counter()
    size: Counter[tuple[str, int]] = Counter()
    for one in program.collectives:
        count[one.kind, one.group] += one.times
        size[one.kind, one.group] += one.times * one.bytes
    return [
        {"kind": kind, "devices": group, "count": count[kind, group], "bytes": size[kind, group]}
        for kind, group in sorted(count)
    ]


def row_of(program: Program, target: Target) -> dict[str, object]:
    """The facts of a program, and with a published chip its predicted time."""
    facts = {name: value for name, value in asdict(program).items() if name != "collectives"}
    row = facts | {"memory": program.memory, "exchanged": exchanged(program)}
    if target.chip:
        said = predict(program, target.chip, target.sides)
        row |= {
            "chip_memory": target.chip.memory,
            "compute_ms": 1e3 * said.compute,
            "memory_ms": 1e3 * said.memory,
            "exchange_ms": 1e3 * said.exchange,
            "step_ms": 1e3 * said.step,
            "faces_per_s": program.batch / said.step,
            "recipe_minutes": EPOCHS * FACES / program.batch * said.step / 60,
        }
    return row


def efficiencies(rows: Sequence[dict]) -> list[float]:
    """Faces per second and chip, as a share of the first row's; for weak and for strong scaling."""
    per_chip = [row["faces_per_s"] / row["chips"] for row in rows]
    return [speed / per_chip[0] for speed in per_chip]


def text_of(row: dict[str, Any], target: Target) -> str:
    """One program for people."""
    lines = [
        f"{row['topology']}: {row['chips']} {target.devices[0].device_kind}, {row['batch']} faces a step, "
        f"{row['parameters'] / 1e6:.2f}M parameters; compiled in {row['compile_s']:.0f} s",
        f"  memory a device   {row['memory'] / 1e9:.2f} GB: state and batch {row['arguments'] / 1e9:.2f}, "
        f"temporary {row['temporary'] / 1e9:.2f}, program {row['code'] / 1e9:.2f}",
    ]
    if target.chip:
        fits = "fits" if row["memory"] < 0.9 * target.chip.memory else "DOES NOT FIT with a tenth of room"
        lines[-1] += f"; of {target.chip.memory / 1e9:.0f} GB: {fits}"
    lines.append(f"  operations        {row['flops'] / 1e9:.1f} GFLOP, memory traffic {row['traffic'] / 1e9:.2f} GB")
    lines += [
        f"  {one['kind']:<18}{one['count']} over {one['devices']} devices, {one['bytes'] / 1e6:.2f} MB"
        for one in row["exchanged"]
    ] or ["  no collective"]
    if target.chip:
        lines += [
            f"  predicted         {row['step_ms']:.2f} ms a step: operations {row['compute_ms']:.2f}, memory "
            f"{row['memory_ms']:.2f}, collectives {row['exchange_ms']:.2f}; {row['faces_per_s']:,.0f} faces/s",
            f"  the paper's recipe ({EPOCHS} epochs of {FACES} faces) at this batch: {row['recipe_minutes']:.2f} "
            "minutes (a larger batch takes fewer steps, and is another training)",
        ]
    else:
        lines.append("  no rates are published for this device here, so no time is predicted")
    return "\n".join(lines)


def table(rows: Sequence[dict], *, weak: bool) -> str:
    """Scaling over slices as Markdown."""
    faces = "faces a chip" if weak else "faces a step"
    head = ["slice", "chips", faces, "ms a step", "collectives, ms", "faces/s", "efficiency"]
    cells = [
        [
            row["topology"],
            f"{row['chips']}",
            f"{row['batch'] // row['chips'] if weak else row['batch']}",
            f"{row['step_ms']:.2f}",
            f"{row['exchange_ms']:.2f}",
            f"{row['faces_per_s']:,.0f}",
            f"{100 * share:.1f} %",
        ]
        for row, share in zip(rows, efficiencies(rows), strict=True)
    ]
    return markdown.table(head, cells)


def assumptions(target: Target) -> str:
    """What the prediction takes for granted."""
    chip = target.chip
    if chip is None:
        return ""
    rates = (
        f"published rates ({chip.source}): {chip.flops / 1e12:.0f} TFLOP/s in bfloat16, {chip.memory_rate / 1e9:.0f} "
        f"GB/s of memory, {chip.link_rate / 1e9:.0f} GB/s out of a chip over all its links"
    )
    return "\n".join(["assumed:", *(f"  - {line}" for line in (rates, *ASSUMPTIONS))])


def draw(path: Path, weak: Sequence[dict], strong: Sequence[dict]) -> None:
    """Both efficiencies over the number of chips."""
    from matplotlib.figure import Figure  # takes a second

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for rows, name in ((weak, "weak"), (strong, "strong")):
        faces = rows[0]["batch"] // (rows[0]["chips"] if name == "weak" else 1)
        label = f"{name}: {faces} faces {'a chip' if name == 'weak' else 'a step'}"
        shares = [100 * share for share in efficiencies(rows)]
        axes.plot([row["chips"] for row in rows], shares, "o-", label=label)
    axes.set_xscale("log", base=2)
    axes.set_xticks([row["chips"] for row in weak], [str(row["chips"]) for row in weak])
    axes.set(xlabel="chips", ylabel="predicted efficiency, %", ylim=(0, 112))
    axes.grid(alpha=0.3)
    axes.legend()
    write(path, lambda temporary: figure.savefig(temporary, dpi=120))
