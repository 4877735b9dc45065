# SPDX-License-Identifier: Apache-2.0
"""Sheets of faces with predicted and true points, as RGB uint8 arrays; the caller decides where they go."""

import math
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Bool, Float, Real, UInt8

from barrel_jax.faces.geometry import px_to_unit
from barrel_jax.faces.landmarks import LandmarkScheme
from barrel_jax.faces.normalisers import normaliser_words
from barrel_jax.input.crops import FaceCrops
from barrel_jax.plotting import BITS, MUTED, PREDICTED, TRUE, Words, fixed, rgb, shortened, written

TILE, GAP, CAPTION, HEADER = 264, 10, 40, 82  # pixels
LEGEND = 43  # pixels from the top
KEYS = {"predicted": GAP, "true (annotated)": 110, "error: from true to predicted": 256}  # and where its sign begins
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
FINER = 2  # times finer than the sheet is what a face is drawn on: small dots of OpenCV's are no circles


def draw_predictions(
    images: UInt8[np.ndarray, "n S S 3"],
    predicted_unit: Real[np.ndarray, "n K 2"],
    truth_unit: Real[np.ndarray, "n K 2"],
    labelled: Bool[np.ndarray, "n K"],
    scheme: LandmarkScheme,
    nmes: Float[np.ndarray, " n"],
    *,
    title: str = "Predicted landmarks",
    names: tuple[str, ...] = (),
    columns: int = 6,
) -> UInt8[np.ndarray, "height width 3"]:
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
    corners = [
        (GAP + index % columns * (TILE + GAP), HEADER + index // columns * (TILE + CAPTION))
        for index in range(len(images))
    ]
    words = _header(title, scheme)
    for index, (left, top) in enumerate(corners):
        score = "no score" if np.isnan(nmes[index]) else f"NME {100 * nmes[index]:.2f} %"
        words.append(Words(score, (left, top + TILE + 10), 13, bold=True))
        if names:
            words.append(shortened(Words(names[index], (left, top + TILE + 25), 10.5, MUTED), TILE))
    sheet = written(np.full((height, width, 3), 255, np.uint8), words)
    _legend(sheet)
    truth_unit = np.where(np.asarray(labelled)[..., None], truth_unit, np.nan)
    for (left, top), image, predicted, truth in zip(corners, images, predicted_unit, truth_unit, strict=True):
        sheet[top : top + TILE, left : left + TILE] = _draw_face(image, predicted, truth, scheme)
    return sheet


def draw_worst(
    crops: FaceCrops, points_px: Real[np.ndarray, "n K 2"], nmes: Float[np.ndarray, " n"], count: int = 24
) -> UInt8[np.ndarray, "height width 3"]:
    """The `count` faces with the largest error, worst first, with file and face number: RGB uint8 [height, width, 3].

    Args: `crops` of n faces, `points_px` predicted points [n, K, 2] in source pixels, `nmes` [n] fractions. Faces
    without a score come after the scored ones. Raises ValueError as `draw_predictions`.
    """
    worst = np.argsort(-np.nan_to_num(nmes, nan=-1.0), kind="stable")[:count]
    title = f"The {len(worst)} largest errors of {len(nmes)} faces: {crops.dataset} {crops.split}"
    return _draw_chosen(crops, points_px, nmes, worst, title)


def draw_sample(
    crops: FaceCrops, points_px: Real[np.ndarray, "n K 2"], nmes: Float[np.ndarray, " n"], title: str, count: int = 24
) -> UInt8[np.ndarray, "height width 3"]:
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
    pairs = np.array([pair for contour in scheme.contours for pair in pairwise(contour)], int).reshape(-1, 2)
    for points, color in ((truth, TRUE), (predicted, PREDICTED)):
        _draw_lines(lines, points[pairs], rgb(color))
    cv2.addWeighted(lines, 0.8, tile, 0.2, 0, dst=tile)
    _draw_lines(tile, np.stack([truth, predicted], axis=1), WHITE)
    # The true dot is the larger one: a perfect prediction lies on it as its centre, and both stay visible.
    for points, color, radius in ((truth, TRUE, 3.2), (predicted, PREDICTED, 2.2)):
        for centre in fixed(points[np.isfinite(points).all(axis=-1)]).tolist():
            for grown, fill in ((radius + 0.3, BLACK), (radius, rgb(color))):
                cv2.circle(tile, centre, round(grown * FINER * 2**BITS), fill, -1, cv2.LINE_AA, BITS)
    return cv2.resize(tile, (TILE, TILE), interpolation=cv2.INTER_AREA)


def _draw_lines(picture: np.ndarray, ends: np.ndarray, color: tuple[int, ...]) -> None:
    """Thin lines between ends [n, 2, 2]; none where one of them is unknown."""
    known = ends[np.isfinite(ends).all(axis=(1, 2))]
    cv2.polylines(picture, list(fixed(known)), False, color, FINER, cv2.LINE_AA, BITS)


def _header(title: str, scheme: LandmarkScheme) -> list[Words]:
    caption = f"NME: mean length of the errors of a face, as a share of {normaliser_words(scheme)}"
    legend = [Words(label, (left + 20, LEGEND), 12.5) for label, left in KEYS.items()]
    return [Words(title, (GAP, 18), 18, bold=True), *legend, Words(caption, (GAP, 66), 12.5)]


def _legend(sheet: np.ndarray) -> None:
    predicted, true, error = KEYS.values()
    for left, color, radius in ((predicted, PREDICTED, 3.0), (true, TRUE, 5.0)):
        centre = fixed(np.array([left + 8, LEGEND])).tolist()
        cv2.circle(sheet, centre, round(radius * 2**BITS), rgb(color), -1, cv2.LINE_AA, BITS)
    for edge, thickness in ((rgb(MUTED), 4), (WHITE, 2)):
        cv2.line(sheet, (error, LEGEND), (error + 14, LEGEND), edge, thickness, cv2.LINE_AA)
