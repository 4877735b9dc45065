# SPDX-License-Identifier: Apache-2.0
"""The picture of the paper's barrel: one barrel for each model, five wooden staves, and the water that it holds."""

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from barrel_jax.plotting import INK, MUTED, new_figure, pixels
from barrel_jax.reproduce.barrel.comparison import Criterion, Model, ModelComparison
from barrel_jax.reproduce.barrel.tables import HEIGHTS, alone

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL, TALL, HEAD, COLUMNS = (600, 560, 70, 3)  # pixels; barrels in a row
WOOD, GRAIN, IRON = ("#C08A52", "#AD7840"), "#8F5F2E", "#4A4F57"
WATER, DEEP = "#56B4E9", "#0072B2"
HOOPS = (0.13, 0.62)
ARC = 0.055  # how far the front of a circle around the barrel hangs below its sides
ACROSS, UP = (-1.1, 1.28), (-0.36, 1.42)  # limits of a barrel's axes; its staves reach from 0 to at most 1
# What stands above a stave: the figure's format, and its name.
LABELS = {
    "accuracy": ("{:.2f} %", "NME"),
    "robustness": ("{:.2f} %", "NME"),
    "efficiency": ("{:.1f}", "FPS"),
    "generalisation": ("{:.2f} %", "NME"),
    "ease of training": ("{:.1f}", "epochs"),
}


def draw_barrels(comparison: ModelComparison) -> np.ndarray:
    """A comparison as a picture: RGB uint8 [height, width, 3].

    Staves are as high as `height`, relative to the best of the models, with the figure that this compares above them;
    one that is not measured is a dashed outline. The water stands as high as the shortest stave.
    """
    models = comparison.models
    columns = min(len(models), COLUMNS)
    rows = -(-len(models) // columns)
    width, height = columns * PANEL, HEAD + rows * TALL
    figure = new_figure(width, height)
    title = f"The barrel: {comparison.faces.dataset} {comparison.faces.split}"
    words = alone(comparison) or "Height of a stave: relative to the best of these models. It holds up to the shortest."
    figure.text(18 / width, 1 - 24 / height, title, fontsize=13, weight="bold", color=INK, va="center")
    lines = textwrap.fill(words, columns * 82)
    figure.text(18 / width, 1 - 40 / height, lines, fontsize=9, color=MUTED, va="top")
    for place, model in enumerate(models):
        left, bottom = place % columns * PANEL, (rows - 1 - place // columns) * TALL
        draw_barrel(figure, (left / width, bottom / height, PANEL / width, TALL / height), model)
    return pixels(figure)


def outline(left: float, right: float, low: float, high: float) -> np.ndarray:
    """The part of the barrel's front between two places around it (-1..1) and two heights: a polygon [n, 2]."""
    across, up = np.linspace(left, right, 25), np.linspace(low, high, 25)
    edges = (
        (across, np.full(25, low)),
        (np.full(25, right), up),
        (across[::-1], np.full(25, high)),
        (np.full(25, left), up[::-1]),
    )
    return np.concatenate([place_on_front(*edge) for edge in edges])


def place_on_front(around: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Places on the barrel's front, which bulges in the middle, in the frame of the axes: [n, 2]."""
    radius = 0.9 + 0.1 * (1 - (2 * up - 1) ** 2)
    return np.stack([radius * around, up - ARC * np.sqrt(np.maximum(1 - around**2, 0))], axis=1)


def draw_barrel(figure: "Figure", inside: tuple[float, float, float, float], model: Model) -> None:
    """Draws a model's barrel inside left, bottom, width and height, in parts of the figure's."""
    from matplotlib.patches import Polygon

    axes = figure.add_axes(inside, xlim=ACROSS, ylim=UP)
    axes.set_axis_off()
    name = textwrap.fill(model.name, 44, max_lines=2, placeholder=" …")
    # In a name $ is a letter like any other.
    axes.text(0, 1.38, name, ha="center", va="top", fontsize=11.5, weight="bold", color=INK, parse_math=False)
    level = model.holds
    # The water's surface lies behind the staves and is seen above those that end at it.
    around = np.linspace(-1, 1, 60)
    front = place_on_front(around, np.full(60, level))
    back = front * [1, -1] + [0, 2 * level]
    axes.add_patch(Polygon(np.concatenate([front, back[::-1]]), fc=WATER, ec=DEEP, lw=0.8, alpha=0.55, zorder=1))
    ends = np.linspace(-1, 1, len(HEIGHTS) + 1)
    for place, name in enumerate(HEIGHTS):
        _draw_stave(axes, name, model.criteria[name], ends[place], ends[place + 1], WOOD[place % 2], level)
    axes.add_patch(Polygon(outline(-1, 1, 0, level), fc=WATER, ec="none", alpha=0.6, zorder=4))
    axes.plot(*front.T, color=DEEP, lw=1.8, zorder=5)
    edge = front[-1]
    axes.plot([edge[0], 1.06], [edge[1]] * 2, color=DEEP, lw=1, ls=(0, (3, 2)), zorder=5)
    axes.text(1.07, edge[1], f"holds\n{level:.2f}", color=DEEP, fontsize=9, weight="bold", va="center")


def _draw_stave(
    axes: "Axes", name: str, criterion: Criterion, left: float, right: float, colour: str, level: float
) -> None:
    from matplotlib.patches import Polygon

    height, middle = criterion.height, (left + right) / 2
    foot, words = place_on_front(np.array([middle]), np.zeros(1))[0], name.replace("ease of ", "ease of\n")
    axes.text(foot[0], -0.1, words, ha="center", va="top", fontsize=8, color=INK, linespacing=1.1)
    words = "–" if height is None else f"{height:.2f}"
    axes.text(foot[0], -0.235, words, ha="center", va="top", fontsize=10, weight="bold", color=INK)
    if height is None:
        shape = outline(left, right, 0, 1)
        axes.add_patch(Polygon(shape, fc="none", ec=MUTED, lw=1.2, ls=(0, (4, 3)), zorder=3))
        x, y = place_on_front(np.array([middle]), np.array([0.5]))[0]
        axes.text(
            x, y, "not measured", rotation=90, ha="center", va="center",
            fontsize=9, color=MUTED, zorder=6,
        )  # fmt: skip
        return
    axes.add_patch(Polygon(outline(left, right, 0, height), fc=colour, ec=GRAIN, lw=1.2, zorder=2))
    for share in (0.22, 0.47, 0.76):
        grain = np.full(25, left + share * (right - left))
        line = place_on_front(grain, np.linspace(0.01, height * (0.99 - share / 8), 25))
        axes.plot(*line.T, color=GRAIN, lw=0.5, alpha=0.6)
    for hoop in HOOPS:
        if height > hoop + 0.05:
            axes.add_patch(Polygon(outline(left, right, hoop, hoop + 0.045), fc=IRON, ec="none", zorder=3))
    number, unit = LABELS[name]
    figure = criterion.figure(HEIGHTS[name][0]).mean
    top = place_on_front(np.array([middle]), np.array([height]))[0]
    if height < level + 2 * ARC:  # above the water's surface behind it
        top[1] = max(top[1], 2 * level - place_on_front(np.array([middle]), np.array([level]))[0, 1])
    axes.annotate(
        f"{number.format(figure)}\n{unit}", top, xytext=(0, 6), textcoords="offset points", ha="center", va="bottom",
        fontsize=8.5, color=INK, zorder=6, linespacing=1.1,
    )  # fmt: skip
