# SPDX-License-Identifier: Apache-2.0
"""The pod report as text, tables and a curve."""

from collections.abc import Sequence
from pathlib import Path

from barrel_jax import markdown
from barrel_jax.files import write
from barrel_jax.pod.chips import Target
from barrel_jax.pod.roofline import ASSUMPTIONS, EPOCHS, FACES
from barrel_jax.pod.step_cost import PredictedCost, StepCost


def efficiencies(costs: Sequence[PredictedCost]) -> list[float]:
    """Faces per second and chip, as a share of the first one's; for weak and for strong scaling."""
    per_chip = [cost.faces_per_s / cost.chips for cost in costs]
    return [speed / per_chip[0] for speed in per_chip]


def text_of(cost: StepCost, target: Target) -> str:
    """One program for people."""
    lines = [
        f"{cost.topology}: {cost.chips} {target.devices[0].device_kind}, {cost.batch} faces a step, "
        f"{cost.parameters / 1e6:.2f}M parameters; compiled in {cost.compile_s:.0f} s",
        f"  memory a device   {cost.memory / 1e9:.2f} GB: state and batch {cost.arguments / 1e9:.2f}, "
        f"temporary {cost.temporary / 1e9:.2f}, program {cost.code / 1e9:.2f}",
    ]
    if isinstance(cost, PredictedCost):
        fits = "fits" if cost.memory < 0.9 * cost.chip_memory else "DOES NOT FIT with a tenth of room"
        lines[-1] += f"; of {cost.chip_memory / 1e9:.0f} GB: {fits}"
    lines.append(f"  operations        {cost.flops / 1e9:.1f} GFLOP, memory traffic {cost.traffic / 1e9:.2f} GB")
    lines += [
        f"  {one.kind:<18}{one.count} over {one.devices} devices, {one.bytes / 1e6:.2f} MB" for one in cost.exchanged
    ] or ["  no collective"]
    if isinstance(cost, PredictedCost):
        lines += [
            f"  predicted         {cost.step_ms:.2f} ms a step: operations {cost.compute_ms:.2f}, memory "
            f"{cost.memory_ms:.2f}, collectives {cost.exchange_ms:.2f}; {cost.faces_per_s:,.0f} faces/s",
            f"  the paper's recipe ({EPOCHS} epochs of {FACES} faces) at this batch: {cost.recipe_minutes:.2f} "
            "minutes (a larger batch takes fewer steps, and is another training)",
        ]
    else:
        lines.append("  no rates are published for this device here, so no time is predicted")
    return "\n".join(lines)


def table(costs: Sequence[PredictedCost], *, weak: bool) -> str:
    """Scaling over slices as Markdown."""
    faces = "faces a chip" if weak else "faces a step"
    head = ["slice", "chips", faces, "ms a step", "collectives, ms", "faces/s", "efficiency"]
    cells = [
        [
            cost.topology,
            f"{cost.chips}",
            f"{cost.batch // cost.chips if weak else cost.batch}",
            f"{cost.step_ms:.2f}",
            f"{cost.exchange_ms:.2f}",
            f"{cost.faces_per_s:,.0f}",
            f"{100 * share:.1f} %",
        ]
        for cost, share in zip(costs, efficiencies(costs), strict=True)
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


def draw(path: Path, weak: Sequence[PredictedCost], strong: Sequence[PredictedCost]) -> None:
    """Both efficiencies over the number of chips."""
    from matplotlib.figure import Figure  # takes a second

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for costs, name in ((weak, "weak"), (strong, "strong")):
        faces = costs[0].batch // (costs[0].chips if name == "weak" else 1)
        label = f"{name}: {faces} faces {'a chip' if name == 'weak' else 'a step'}"
        shares = [100 * share for share in efficiencies(costs)]
        axes.plot([cost.chips for cost in costs], shares, "o-", label=label)
    axes.set_xscale("log", base=2)
    axes.set_xticks([cost.chips for cost in weak], [str(cost.chips) for cost in weak])
    axes.set(xlabel="chips", ylabel="predicted efficiency, %", ylim=(0, 112))
    axes.grid(alpha=0.3)
    axes.legend()
    write(path, lambda temporary: figure.savefig(temporary, dpi=120))
