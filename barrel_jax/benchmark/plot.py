# SPDX-License-Identifier: Apache-2.0
"""Measurements as a picture: a panel for each case, a bar with its number for each side, the fastest marked."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from barrel_jax import files
from barrel_jax.benchmark.report import digits
from barrel_jax.benchmark.rows import Failed, Row, from_json
from barrel_jax.plotting import INK, MUTED, PREDICTED, new_figure, pixels, write_picture

# Pixels: of a panel, of the names left of its bars, of a bar, and of the title above them.
PANEL, NAMES, BAR, TITLE, HEADER = 560, 175, 27, 40, 54
OTHERS = "#BBC7D0"  # bars that are not the fastest


@dataclass(frozen=True)
class Bar:
    """One implementation, or one model, of a panel."""

    name: str
    value: float | None  # None for one that failed
    reach: float | None = None  # 95th percentile


def _milliseconds(rows: Sequence[Row]) -> dict[str, list[Bar]]:
    """A panel for each model, batch, precision and device, and each run of it: milliseconds by implementation."""
    panels: dict[str, list[Bar]] = {}
    for row in rows:
        key = row.key
        title = f"{key.model}, batch {key.batch}, {key.precision}, {key.device}"
        while any(bar.name == key.impl for bar in panels.get(title, ())):
            title += ", another run"
        bar = Bar(key.impl, None) if isinstance(row, Failed) else Bar(key.impl, row.timing.median_ms, row.timing.p95_ms)
        panels.setdefault(title, []).append(bar)
    return panels


def _frames(rows: Sequence[Row]) -> dict[str, list[Bar]]:
    """A panel for each implementation, precision and device: frames per second by model."""
    panels: dict[str, list[Bar]] = {}
    for row in rows:
        title = f"{row.key.impl}, {row.key.precision}, {row.key.device}"
        value = None if isinstance(row, Failed) else row.timing.images_per_s
        panels.setdefault(title, []).append(Bar(row.key.model, value))
    return panels


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Writes the PNG of one result of `barrel_jax.benchmark infer|train|table4`."""
    table4 = result["benchmark"] == "table4"
    panels = (_frames if table4 else _milliseconds)([from_json(row) for row in result["rows"]])
    words = {
        "infer": "Milliseconds from crops to points",
        "train": "Milliseconds of a training step",
        "table4": "Faces per second, one at a time",
    }[result["benchmark"]]
    size = f"{result['image_size']} px, {result['num_landmarks']} points"
    size += "".join(f"; {gpu.split(',')[0]}" for gpu in result.get("machine", {}).get("gpus", ()))
    note = "Longer is quicker." if table4 else "Shorter is quicker; a line reaches to the 95th percentile."
    columns = min(2, len(panels))
    tall = TITLE + BAR * max(len(bars) for bars in panels.values())
    width, height = columns * PANEL + 20, HEADER + math.ceil(len(panels) / columns) * tall + 14
    figure = new_figure(width, height)
    figure.text(16 / width, 1 - 12 / height, f"{words}: {size}", va="top", fontsize=12, weight="bold", color=INK)
    figure.text(16 / width, 1 - 36 / height, note, va="top", fontsize=9, color=MUTED)
    for place, (title, bars) in enumerate(panels.items()):
        left, top = place % columns * PANEL + NAMES, HEADER + place // columns * tall + TITLE
        deep = BAR * len(bars)
        axes = figure.add_axes((left / width, 1 - (top + deep) / height, (PANEL - NAMES - 20) / width, deep / height))
        axes.set_title(title, loc="left", fontsize=9.5, color=INK, pad=5)
        _draw_panel(axes, bars, "FPS" if table4 else "ms", max if table4 else min)
    files.write(path, lambda temporary: write_picture(temporary, pixels(figure)))


def _draw_panel(axes: Axes, bars: Sequence[Bar], unit: str, best_of: Any) -> None:
    values = [bar.value for bar in bars if bar.value is not None]
    best = best_of(values, default=None)
    # Room for the numbers behind the longest bar.
    longest = max([bar.reach or bar.value or 0.0 for bar in bars]) or 1.0
    for place, bar in enumerate(bars):
        if bar.value is None:
            axes.text(0, place, " failed", va="center", fontsize=9, color=MUTED, style="italic")
            continue
        fastest = bar.value == best and len(values) > 1
        axes.barh(place, bar.value, 0.72, color=PREDICTED if fastest else OTHERS)
        end = max(bar.reach or 0.0, bar.value)
        if end > bar.value:
            axes.plot([bar.value, end], [place, place], color=MUTED, lw=1)
        label = f" {digits(bar.value)} {unit}{', fastest' if fastest else ''}"
        axes.text(end, place, label, va="center", fontsize=9, color=INK, weight="bold" if fastest else "normal")
    axes.set(xlim=(0, 1.5 * longest), ylim=(len(bars) - 0.5, -0.5), xticks=[])
    axes.set_yticks(range(len(bars)), [bar.name for bar in bars], fontsize=9, color=INK)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color(MUTED)
