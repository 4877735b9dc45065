# SPDX-License-Identifier: Apache-2.0
"""What a person looks at: sheets of faces with predicted and true points, the error curve, the table of scores.

Pictures are drawn with matplotlib's Agg canvas on Figures of their own (no pyplot: no global state, no display, nothing
to close) and returned as RGB uint8 arrays; the caller decides where they go. Predicted points are orange and true
points blue in every picture: Okabe and Ito's palette, which people with any colour vision tell apart.
"""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke

from barrel_jax.geometry import px_to_unit
from barrel_jax.input.crops import FaceCrops
from barrel_jax.landmarks import LandmarkScheme
from barrel_jax.metrics import THRESHOLDS, auc, cumulative_error, failure_rate

PREDICTED, TRUE, INK, MUTED = "#E69F00", "#56B4E9", "#222222", "#666666"
SUBSETS = ("#009E73", "#CC79A7", "#D55E00", "#0072B2", "#B8A800", "#7F7F7F")
DPI, TILE, GAP, CAPTION, HEADER = 100, 264, 10, 40, 82  # the last four in pixels


def draw_predictions(
    images: np.ndarray,
    predicted_unit: np.ndarray,
    truth_unit: np.ndarray,
    labelled: np.ndarray,
    scheme: LandmarkScheme,
    nmes: np.ndarray,
    *,
    title: str = "Predicted landmarks",
    names: tuple[str, ...] = (),
    columns: int = 6,
) -> np.ndarray:
    """A sheet of faces with their points and errors: RGB uint8 [height, width, 3].

    Args:
        images: crops uint8 [n, S, S, 3], RGB; drawn `TILE` pixels wide so that single points can be told apart.
        predicted_unit, truth_unit: points [n, K, 2] in crop units. Those outside the crop are cut off at its edge.
        labelled: bool [n, K]; a true point that is not labelled is not drawn, its prediction is.
        scheme: gives the contours (thin lines through the points) and the name of the normalising distance.
        nmes: error of each face, a fraction [n]; NaN is written as "no score".
        title: first line of the sheet. names: a second line under each face, cut to its width; () for none.
        columns: faces in a row.

    Raises ValueError when the arrays do not describe the same number of faces, or none.
    """
    lengths = {len(images), len(predicted_unit), len(truth_unit), len(labelled), len(nmes)} | (
        {len(names)} if names else set()
    )
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(
            "cannot draw faces: images, points, labels, errors and names must be "
            f"equally many and at least one, got {sorted(lengths)}"
        )
    columns = min(columns, max(len(images), 3))
    rows = math.ceil(len(images) / columns)
    width, height = columns * (TILE + GAP) + GAP, HEADER + rows * (TILE + CAPTION) + GAP
    figure = _figure(width, height)
    _legend(figure, title, scheme, height)
    truth_unit = np.where(np.asarray(labelled)[..., None], truth_unit, np.nan)
    for index in range(len(images)):
        left, top = GAP + index % columns * (TILE + GAP), HEADER + index // columns * (TILE + CAPTION)
        axes = figure.add_axes(
            (left / width, 1 - (top + TILE) / height, TILE / width, TILE / height), xlim=(0, 1), ylim=(1, 0)
        )
        axes.set_axis_off()
        _draw_face(axes, images[index], predicted_unit[index], truth_unit[index], scheme)
        score = "no score" if np.isnan(nmes[index]) else f"NME {100 * nmes[index]:.2f} %"
        figure.text(
            left / width, 1 - (top + TILE + 4) / height, score, va="top", fontsize=9.5, color=INK, weight="bold"
        )
        if names:
            figure.text(
                left / width,
                1 - (top + TILE + 20) / height,
                _shorten(names[index]),
                va="top",
                fontsize=7.5,
                color=MUTED,
            )
    return _pixels(figure)


def draw_worst(crops: FaceCrops, points_px: np.ndarray, nmes: np.ndarray, count: int = 24) -> np.ndarray:
    """The `count` faces with the largest error, worst first, with file and face number: RGB uint8 [height, width, 3].

    Args: `crops` of n faces, `points_px` predicted points [n, K, 2] in source pixels, `nmes` [n] fractions. Faces
    without a score come after the scored ones. Raises ValueError as `draw_predictions`.
    """
    worst = np.argsort(-np.nan_to_num(nmes, nan=-1.0), kind="stable")[:count]
    title = f"The {len(worst)} largest errors of {len(nmes)} faces: {crops.dataset} {crops.split}"
    return _draw_chosen(crops, points_px, nmes, worst, title)


def draw_sample(crops: FaceCrops, points_px: np.ndarray, nmes: np.ndarray, title: str, count: int = 24) -> np.ndarray:
    """`count` faces spread evenly over the split, good and bad: RGB uint8 [height, width, 3]; arguments as above."""
    return _draw_chosen(crops, points_px, nmes, np.unique(np.linspace(0, len(nmes) - 1, count).astype(int)), title)


def _draw_chosen(
    crops: FaceCrops, points_px: np.ndarray, nmes: np.ndarray, chosen: np.ndarray, title: str
) -> np.ndarray:
    # Crop units of the chosen faces only: the images may be a memory map of a set that does not fit in memory.
    return draw_predictions(
        crops.images[chosen],
        px_to_unit(points_px[chosen], crops.windows[chosen]),
        px_to_unit(crops.points_px[chosen], crops.windows[chosen]),
        crops.labelled[chosen],
        crops.scheme,
        nmes[chosen],
        title=title,
        names=tuple(f"{crops.files[index]} · face {crops.faces[index]}" for index in chosen),
    )


def draw_error_curve(curves: dict[str, np.ndarray], scheme: LandmarkScheme, title: str) -> np.ndarray:
    """Cumulative error distribution up to beyond the last threshold: RGB uint8 [height, width, 3].

    Args: `curves` maps a name to the errors of its faces [n] (fractions, NaN left out); the first is the whole set,
    drawn thick with its areas and failure rates, the others are subsets. Raises ValueError when the first has no
    scored face.
    """
    (whole, errors), *subsets = curves.items()
    if np.isnan(errors).all():
        raise ValueError(
            f"no face of {whole} has a score, so there is no error curve: "
            f"are the normalising points {scheme.normaliser} labelled?"
        )
    figure = _figure(880, 560)
    axes = figure.add_axes((0.085, 0.12, 0.885, 0.745))
    limit = 1.25 * THRESHOLDS[-1]
    grid = np.linspace(0, limit, 1001)
    curve = 100 * cumulative_error(errors, grid)
    for threshold in THRESHOLDS:
        axes.fill_between(100 * grid, curve, where=grid <= threshold + 1e-9, color=PREDICTED, alpha=0.14, lw=0)
    for (name, nmes), color in zip(subsets, SUBSETS * len(subsets), strict=False):
        axes.plot(100 * grid, 100 * cumulative_error(nmes, grid), color=color, lw=1.2, label=_curve_label(name, nmes))
    axes.plot(100 * grid, curve, color=PREDICTED, lw=2.6, label=_curve_label(whole, errors), zorder=3)
    for threshold in THRESHOLDS:
        axes.axvline(100 * threshold, color=MUTED, lw=1, ls=(0, (4, 3)))
        area, failures = auc(errors, threshold), 100 * failure_rate(errors, threshold)
        note = f"threshold {100 * threshold:.0f} %\nAUC {area:.4f}\nFR {failures:.2f} %"
        axes.annotate(
            note,
            (100 * threshold, 3),
            xytext=(6, 0),
            textcoords="offset points",
            fontsize=9,
            color=INK,
            va="bottom",
            zorder=4,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5},
        )
    axes.set(xlim=(0, 100 * limit), ylim=(0, 100), ylabel="faces with at most this error, %")
    axes.set_xlabel(f"normalised mean error of a face, % of the distance of {normaliser_words(scheme)}")
    axes.grid(color="#DDDDDD", lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[-1:] + handles[:-1],
        labels[-1:] + labels[:-1],
        loc="best",
        frameon=True,
        framealpha=0.9,
        edgecolor="none",
        fontsize=9,
    )
    words = (
        "Higher is better. AUC: shaded area left of a threshold, 1 at best. "
        "FR: faces with a larger error than the threshold, 0 at best."
    )
    figure.text(0.02, 0.955, title, fontsize=12.5, weight="bold", color=INK, va="center")
    figure.text(0.02, 0.91, words, fontsize=9, color=MUTED, va="center")
    return _pixels(figure)


def table(metrics: dict) -> str:
    """The scores of `metrics.json` as lines to print: one row for the whole set, one for each subset."""

    def row(name: str, scores: dict) -> str:
        cells = [scores["nme"], *scores["fr"].values(), *scores["auc"].values()]
        digits = [2] * (1 + len(scores["fr"])) + [4] * len(scores["auc"])
        return f"{name:<{name_width}}{scores['num_images']:>8}" + "".join(
            f"{cell:>10.{digit}f}" for cell, digit in zip(cells, digits, strict=True)
        )

    subsets = metrics["subsets"]
    name_width = max(len(name) for name in ("all faces", *subsets)) + 2
    first, second = metrics["normaliser_points"]
    known = "" if metrics["normaliser"].startswith("points_") else f" ({metrics['normaliser'].replace('_', ' ')})"
    step = "" if metrics["checkpoint_step"] is None else f", checkpoint of step {metrics['checkpoint_step']}"
    heads = [
        "NME %",
        *(f"FR@{100 * float(key):.0f}% %" for key in metrics["fr"]),
        *(f"AUC@{100 * float(key):.0f}%" for key in metrics["auc"]),
    ]
    lines = [
        f"{metrics['dataset']} {metrics['split']}{step}",
        f"NME: mean error of the labelled points, as a share of the distance of points {first} and {second}{known}",
        "FR@t: share of the faces whose error is above t; AUC@t: area under the cumulative error curve up to t, 0 to 1",
        " " * name_width + f"{'faces':>8}" + "".join(f"{head:>10}" for head in heads),
        row("all faces", metrics),
        *(row(name, scores) for name, scores in subsets.items()),
    ]
    if metrics["num_unscorable"]:
        reasons = ", ".join(
            f"{count} {reason.replace('_', ' ')}" for reason, count in metrics["unscorable"].items() if count
        )
        lines.append(
            f"{metrics['num_unscorable']} of {metrics['num_images'] + metrics['num_unscorable']} faces "
            f"have no score and are not in the table: {reasons}"
        )
    return "\n".join(lines)


def normaliser_words(scheme: LandmarkScheme) -> str:
    """What the error is divided by, in words: 'the outer eye corners (points 36 and 45)' or 'points 3 and 7'."""
    first, second = scheme.normaliser
    known = not scheme.normaliser_name.startswith("points_")
    return (
        f"the {scheme.normaliser_name.replace('_', ' ')} (points {first} and {second})"
        if known
        else f"points {first} and {second}"
    )


def _draw_face(axes: Axes, image: np.ndarray, predicted: np.ndarray, truth: np.ndarray, scheme: LandmarkScheme) -> None:
    """One crop with both sets of points; the axes run from 0 to 1 from its top-left edge, which is crop units."""
    axes.imshow(image, extent=(0, 1, 1, 0), interpolation="bicubic")
    axes.add_collection(LineCollection(np.stack([truth, predicted], 1), colors="white", linewidths=0.7, zorder=3))
    # The true dot is the larger one: a perfect prediction lies on it as its centre, and both stay visible. One size
    # per dot keeps Agg from its fast path, which moves dots to whole pixels.
    for points, color, size in ((truth, TRUE, 22), (predicted, PREDICTED, 10)):
        axes.add_collection(
            LineCollection(
                [points[list(contour)] for contour in scheme.contours],
                colors=color,
                linewidths=0.7,
                alpha=0.8,
                zorder=2,
            )
        )
        axes.scatter(*points.T, s=np.full(len(points), size), c=color, edgecolors="black", linewidths=0.25, zorder=3)


def _legend(figure: Figure, title: str, scheme: LandmarkScheme, height: int) -> None:
    left = GAP / (DPI * figure.get_size_inches()[0])
    figure.text(left, 1 - 18 / height, title, fontsize=13, weight="bold", color=INK, va="center")
    dots = ((PREDICTED, 5, "predicted"), (TRUE, 8, "true (annotated)"))
    handles = [Line2D([], [], ls="", marker="o", ms=size, mfc=color, mew=0, label=label) for color, size, label in dots]
    handles.append(
        Line2D(
            [],
            [],
            color="white",
            lw=1.5,
            path_effects=[Stroke(linewidth=3, foreground="#999999"), Normal()],
            label="error: from true to predicted",
        )
    )
    figure.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(left, 1 - 43 / height),
        ncols=3,
        fontsize=9,
        frameon=False,
        labelcolor=INK,
        borderpad=0,
        handletextpad=0.4,
        borderaxespad=0,
        columnspacing=1.6,
        handlelength=1.2,
    )
    words = f"NME: mean length of the errors of a face, as a share of the distance of {normaliser_words(scheme)}"
    figure.text(left, 1 - 66 / height, words, fontsize=9, color=INK, va="center")


def _curve_label(name: str, nmes: np.ndarray) -> str:
    scored = nmes[~np.isnan(nmes)]
    return f"{name}: NME {100 * scored.mean():.2f} %, {len(scored)} faces" if len(scored) else f"{name}: no face scored"


def _shorten(name: str, length: int = 42) -> str:
    return name if len(name) <= length else "…" + name[1 - length :]


def _figure(width: int, height: int) -> Figure:
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _pixels(figure: Figure) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
