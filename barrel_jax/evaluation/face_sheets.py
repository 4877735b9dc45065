# SPDX-License-Identifier: Apache-2.0
"""Sheets of faces with predicted and true points, as RGB uint8 arrays; the caller decides where they go."""

import math
from itertools import pairwise

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke

from barrel_jax.faces.geometry import px_to_unit
from barrel_jax.faces.landmarks import LandmarkScheme
from barrel_jax.faces.normalisers import normaliser_words
from barrel_jax.input.crops import FaceCrops
from barrel_jax.plotting import BITS, DPI, INK, MUTED, PREDICTED, TRUE, fixed, new_figure, pixels, rgb

TILE, GAP, CAPTION, HEADER = 264, 10, 40, 82  # pixels
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
FINER = 2  # times finer than the sheet is what a face is drawn on: small dots of OpenCV's are no circles


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
    corners = [
        (GAP + index % columns * (TILE + GAP), HEADER + index // columns * (TILE + CAPTION))
        for index in range(len(images))
    ]
    for index, (left, top) in enumerate(corners):
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
    sheet = pixels(figure)
    truth_unit = np.where(np.asarray(labelled)[..., None], truth_unit, np.nan)
    for (left, top), image, predicted, truth in zip(corners, images, predicted_unit, truth_unit, strict=True):
        sheet[top : top + TILE, left : left + TILE] = _draw_face(image, predicted, truth, scheme)
    return sheet


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


def _draw_face(image: np.ndarray, predicted: np.ndarray, truth: np.ndarray, scheme: LandmarkScheme) -> np.ndarray:
    """One crop with both sets of points in its units: uint8 [TILE, TILE, 3]."""
    side = TILE * FINER
    tile = cv2.resize(np.ascontiguousarray(image), (side, side), interpolation=cv2.INTER_CUBIC)
    predicted, truth = (np.asarray(unit, np.float64) * side - 0.5 for unit in (predicted, truth))
    lines = tile.copy()
    for points, color in ((truth, TRUE), (predicted, PREDICTED)):
        for contour in scheme.contours:
            for one, other in pairwise(points[list(contour)]):
                _draw_line(lines, one, other, rgb(color))
    cv2.addWeighted(lines, 0.8, tile, 0.2, 0, dst=tile)
    for one, other in zip(truth, predicted, strict=True):
        _draw_line(tile, one, other, WHITE)
    # The true dot is the larger one: a perfect prediction lies on it as its centre, and both stay visible.
    for points, color, radius in ((truth, TRUE, 3.2), (predicted, PREDICTED, 2.2)):
        for centre in fixed(points[np.isfinite(points).all(axis=-1)]).tolist():
            for grown, fill in ((radius + 0.3, BLACK), (radius, rgb(color))):
                cv2.circle(tile, centre, round(grown * FINER * 2**BITS), fill, -1, cv2.LINE_AA, BITS)
    return cv2.resize(tile, (TILE, TILE), interpolation=cv2.INTER_AREA)


def _draw_line(picture: np.ndarray, one: np.ndarray, other: np.ndarray, color: tuple[int, ...]) -> None:
    """A thin line between two points; none where one of them is unknown."""
    if np.isfinite((one, other)).all():
        cv2.line(picture, fixed(one).tolist(), fixed(other).tolist(), color, FINER, cv2.LINE_AA, BITS)


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
