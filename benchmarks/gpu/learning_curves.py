# SPDX-License-Identifier: Apache-2.0
"""The error on the faces held out, by epoch, of the ablation's runs on 300W alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from barrel_jax.plotting import INK, MUTED, PREDICTED, new_figure, pixels
from benchmarks.w300_tables import model_name

WIDTH, HEIGHT = 820, 420
GAP = 0.05  # between two labels, of the axis' height


def draw(rows: Sequence[dict[str, Any]]) -> np.ndarray:
    """RGB uint8 [H, W, 3] of the first seed of each model; BarrelNet in colour, dashed from drawn weights."""
    kinds = ("ablation", "generalisation")  # of one size, and one number of steps
    shown = [row for row in rows if list(row["faces"]) == ["w300"] and row["seed"] == 0 and row["kind"] in kinds]
    shown.sort(key=lambda row: row["held_out"][-1]["nme"])
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.add_axes((0.07, 0.12, 0.6, 0.72))
    below = None
    lowest, highest = (f(point["nme"] for row in shown for point in row["held_out"]) for f in (min, max))
    tall = 1.15 * (highest - lowest)
    for row in shown:
        epochs, nmes = zip(*((point["epoch"], point["nme"]) for point in row["held_out"]), strict=True)
        ours = row["model"] == "BarrelNet-18"
        colour = PREDICTED if ours else MUTED
        axes.plot(epochs, nmes, color=colour, lw=2 if ours else 1, ls="-" if row["start"] else "--", marker="o", ms=3)
        place = nmes[-1] if below is None else max(nmes[-1], below + GAP * tall)
        below = place
        name = model_name(row["model"])
        name += "" if row["start"] else ", from drawn weights"
        axes.annotate(
            f"{name}  {nmes[-1]:.2f}", (epochs[-1], nmes[-1]), (1.03 * epochs[-1], place),
            fontsize=9, va="center", color=INK, annotation_clip=False,
        )  # fmt: skip
    axes.set_xlabel("epoch")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    figure.text(0.02, 0.93, "NME % on the training faces held out", fontsize=12, weight="bold", color=INK)
    return pixels(figure)
