# SPDX-License-Identifier: Apache-2.0
"""The error on the faces held out, by epoch, of runs on 300W alone: of the ablation, and of coarse to fine."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from barrel_jax.plotting import INK, MUTED, PREDICTED, new_figure, pixels
from benchmarks.w300_tables import model_name

WIDTH, HEIGHT = 820, 420
GAP = 0.05  # between two labels, of the axis' height


def ablation(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first seed of each model, of one size and one number of steps."""
    return [row for row in _first(rows) if row["kind"] in ("ablation", "generalisation")]


def coarse(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first seed of BarrelNet and of what is to learn in less time, on every schedule; [] without such runs."""
    found = [row for row in _first(rows) if row["kind"] == "coarse"]
    plain = [row for row in _first(rows) if (row["kind"], row["model"]) == ("ablation", "BarrelNet-18")]
    return plain + found if found else []


def _first(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if list(row["faces"]) == ["w300"] and row["seed"] == 0]


def draw(rows: Sequence[dict[str, Any]]) -> np.ndarray:
    """RGB uint8 [H, W, 3]; BarrelNet as it is in colour, dashed from drawn weights, dotted on a shorter schedule."""
    shown = sorted(rows, key=lambda row: row["held_out"][-1]["nme"])
    longest = max(row["epochs"] for row in shown)
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.add_axes((0.07, 0.12, 0.6, 0.72))
    below = None
    lowest, highest = (f(point["nme"] for row in shown for point in row["held_out"]) for f in (min, max))
    tall = 1.15 * (highest - lowest)
    for row in shown:
        epochs, nmes = zip(*((point["epoch"], point["nme"]) for point in row["held_out"]), strict=True)
        ours = row["model"] == "BarrelNet-18"
        colour = PREDICTED if ours else MUTED
        style = ":" if row["epochs"] < longest else "-" if row["start"] else "--"
        axes.plot(epochs, nmes, color=colour, lw=2 if ours else 1, ls=style, marker="o", ms=3)
        place = nmes[-1] if below is None else max(nmes[-1], below + GAP * tall)
        below = place
        name = model_name(row["model"])
        name += "" if row["start"] else ", from drawn weights"
        name += f", {row['epochs']} epochs" if row["epochs"] < longest else ""
        axes.annotate(
            f"{name}  {nmes[-1]:.2f}", (epochs[-1], nmes[-1]), (1.03 * longest, place),
            fontsize=9, va="center", color=INK, annotation_clip=False,
        )  # fmt: skip
    axes.set_xlabel("epoch")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    figure.text(0.02, 0.93, "NME % on the training faces held out", fontsize=12, weight="bold", color=INK)
    return pixels(figure)
