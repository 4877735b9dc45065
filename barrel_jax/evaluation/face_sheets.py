# SPDX-License-Identifier: Apache-2.0
"""Sheets of faces with predicted and true points, as RGB uint8 arrays; the caller decides where they go."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.transforms import Bbox, TransformedBbox

from barrel_jax.faces.geometry import px_to_unit
from barrel_jax.faces.landmarks import LandmarkScheme
from barrel_jax.faces.normalisers import normaliser_words
from barrel_jax.input.crops import FaceCrops
from barrel_jax.plotting import DPI, INK, MUTED, PREDICTED, TRUE, new_figure, pixels

TILE, GAP, CAPTION, HEADER = 264, 10, 40, 82  # pixels


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
    figure = new_figure(width, height)
    _legend(figure, title, scheme, height)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))  # pixels of the sheet
    axes.set_axis_off()
    truth_unit = np.where(np.asarray(labelled)[..., None], truth_unit, np.nan)
    for index in range(len(images)):
        left, top = GAP + index % columns * (TILE + GAP), HEADER + index // columns * (TILE + CAPTION)
        predicted, truth = ((left, top) + TILE * unit[index] for unit in (predicted_unit, truth_unit))
        _draw_face(axes, (left, top), images[index], predicted, truth, scheme)
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
    return pixels(figure)


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


def _draw_face(
    axes: Axes,
    corner: tuple[int, int],
    image: np.ndarray,
    predicted: np.ndarray,
    truth: np.ndarray,
    scheme: LandmarkScheme,
) -> None:
    """One crop at its top-left corner with both sets of points, all in pixels of the sheet."""
    (left, top), (right, bottom) = corner, (corner[0] + TILE, corner[1] + TILE)
    axes.imshow(image, extent=(left, right, bottom, top), interpolation="bicubic", aspect="auto")
    errors = LineCollection(list(np.stack([truth, predicted], 1)), colors="white", linewidths=0.7, zorder=3)
    drawn = [axes.add_collection(errors, autolim=False)]
    # The true dot is the larger one: a perfect prediction lies on it as its centre, and both stay visible. One size
    # per dot keeps Agg from its fast path, which moves dots to whole pixels.
    for points, color, size in ((truth, TRUE, 22), (predicted, PREDICTED, 10)):
        contours = [points[list(contour)] for contour in scheme.contours]
        lines = LineCollection(contours, colors=color, linewidths=0.7, alpha=0.8, zorder=2)
        drawn.append(axes.add_collection(lines, autolim=False))
        x, y = points.T
        sizes = np.full(len(points), size)
        drawn.append(axes.scatter(x, y, s=sizes, c=color, edgecolors="black", linewidths=0.25, zorder=3))
    inside = TransformedBbox(Bbox([[left, top], [right, bottom]]), axes.transData)
    for artist in drawn:
        artist.set_clip_box(inside)


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
    words = f"NME: mean length of the errors of a face, as a share of {normaliser_words(scheme)}"
    figure.text(left, 1 - 66 / height, words, fontsize=9, color=INK, va="center")


def _shorten(name: str, length: int = 42) -> str:
    return name if len(name) <= length else "…" + name[1 - length :]
