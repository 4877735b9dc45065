# SPDX-License-Identifier: Apache-2.0
"""Speed beside accuracy: the columns of Table 4, and Figure 5."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from barrel_jax.benchmark.rows import Failed
from barrel_jax.benchmark.rows import Row as Measurement
from barrel_jax.paper import PAPER_FPS, PUBLISHED_WFLW, Row, paper_nmes
from barrel_jax.reproduce.record import Record

DEVICES = {"cuda": "GPU", "cpu": "CPU"}


def speed_columns(row: Row, measured: Sequence[Measurement]) -> dict[str, float | None]:
    """Frames per second of a row's model, as columns of a table: the paper's, and those measured here.

    Args: `measured` are the rows of a result of `barrel_jax.benchmark infer`; failed ones are left out.
    """
    columns: dict[str, float | None] = {}
    for place, name in enumerate(DEVICES.values()):
        columns[f"paper's FPS, {name}"] = PAPER_FPS[row.label][place] if row.label in PAPER_FPS else None
    for entry in measured:
        key = entry.key
        if key.model == row.label and not isinstance(entry, Failed):
            columns[f"{key.impl}, {DEVICES[key.device]}, {key.precision}: FPS"] = entry.timing.images_per_s
    return columns


def draw_figure5(records: Sequence[Record]) -> np.ndarray:
    """Figure 5: NME in the crop against frames per second, RGB uint8 [H, W, 3]; what the paper published in grey.

    Args: `records` of `barrel_jax.reproduce.results.collect`, with speeds.
    """
    from barrel_jax.plotting import INK, MUTED, PREDICTED, TRUE, new_figure, pixels

    records = [record for record in records if not record.subset]
    panels = [name for name in DEVICES.values() if any(f"jax, {name}, float32: FPS" in r.speed for r in records)]
    panels = panels or ["CPU"]
    figure = new_figure(760 * len(panels), 560)
    for place, name in enumerate(panels):
        axes = figure.add_axes(((place + 0.09) / len(panels), 0.11, 0.72 / len(panels), 0.78))
        for record in records:
            label, speed = record.label, record.speed
            fps, theirs = speed.get(f"jax, {name}, float32: FPS"), speed[f"paper's FPS, {name}"]
            colour = TRUE if record.model == "Baseline" else PREDICTED
            if record.nme_crop is not None and fps is not None:
                place_of = (fps, record.nme_crop)
                axes.scatter(*place_of, s=46, color=colour, edgecolors=INK, linewidths=0.5, zorder=3)
                axes.annotate(
                    label,
                    place_of,
                    (4, 5),
                    textcoords="offset points",
                    fontsize=8.5,
                    color=INK,
                    rotation=35,
                    rotation_mode="anchor",
                )
            if theirs is not None:
                place_of = (theirs, paper_nmes("wflw", record.network)[""])
                axes.scatter(*place_of, s=30, color=MUTED, marker="x", zorder=2)
                words = f"{label} (published)"
                axes.annotate(words, place_of, (4, -6), textcoords="offset points", fontsize=7, color=MUTED,
                              rotation=-35, va="top", rotation_mode="anchor")  # fmt: skip
        axes.margins(x=0.2, y=0.15)
        _published_methods(axes)
        axes.set_xlabel(f"faces per second, one at a time, {name}")
        axes.set_ylabel("NME in the crop, %")
        axes.set_title(f"({'ab'[place]}) {name}: ours on {records[0].dataset}, published on WFLW", fontsize=10)
        axes.grid(color="#DDDDDD", lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    return pixels(figure)


def _published_methods(axes: Any) -> None:
    """Ticks at the right border: Table 1 gives these methods' NME, and the paper nobody's speed in numbers."""
    from barrel_jax.plotting import MUTED

    frame = axes.get_yaxis_transform()  # x in widths of the axes, y in percent
    low, high = axes.get_ylim()
    low, high = min(low, min(PUBLISHED_WFLW.values()) - 0.25), max(high, max(PUBLISHED_WFLW.values()) + 0.1)
    last = low
    for method, nme in sorted(PUBLISHED_WFLW.items(), key=lambda item: item[1]):
        last = max(nme, last + 0.032 * (high - low))  # names keep off each other
        axes.plot((1.0, 1.015, 1.04), (nme, nme, last), transform=frame, color=MUTED, lw=0.7, clip_on=False)
        axes.text(1.05, last, f"{method} {nme:.2f}", transform=frame, fontsize=7, color=MUTED, va="center")
    axes.text(1.05, last + 0.05 * (high - low), "published NME\n(Table 1)", transform=frame, fontsize=7, color=MUTED)
    axes.set_ylim(low, high)
