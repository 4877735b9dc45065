# SPDX-License-Identifier: Apache-2.0
"""The error of each landmark, drawn on the mean shape of a set's faces."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from barrel_jax.faces.annotated import FaceTruth
from barrel_jax.faces.landmarks import REGIONS
from barrel_jax.report.markup import Markup, element, joined
from barrel_jax.report.page import fold
from barrel_jax.report.tables import Cell, number, table

SMALL, LARGE, MARGIN = 0.9, 2.4, 4.0  # radii of dots and what is left around them, of a shape 100 wide
STEPS = 5  # shades of report.css


def mean_shape(faces: FaceTruth) -> Float[np.ndarray, "K 2"]:
    """The mean of the annotated points: float64 [K, 2], in shares of a face's size; NaN where none is annotated.

    Each face is moved to the middle of the box around its points and divided by the box's longer side, and not turned.
    """
    points = np.where(faces.labelled[..., None], faces.points_px, np.nan).astype(np.float64)
    points = points[faces.labelled.any(axis=1)]
    low, high = np.nanmin(points, axis=1), np.nanmax(points, axis=1)
    sides = np.maximum((high - low).max(axis=1), 1e-6)
    placed = (points - ((low + high) / 2)[:, None]) / sides[:, None, None]
    known = np.isfinite(placed)
    return np.where(known, placed, 0).sum(0) / np.where(known.any(0), known.sum(0), np.nan)


def landmark_errors(faces: FaceTruth, point_nme: Sequence[float], unit: str) -> Markup:
    """The picture and its numbers as a table.

    Args:
        faces: the truth.
        point_nme: each point's mean error in percent, NaN where it has none.
        unit: what the errors are shares of, in words.
    """
    shape, errors = mean_shape(faces), np.asarray(point_nme, np.float64)
    drawn = np.flatnonzero(np.isfinite(shape).all(1))
    if not len(drawn) or not np.isfinite(errors).any():
        return element("p", "No landmark has a score.", class_="note")
    low, high = shape[drawn].min(0), shape[drawn].max(0)
    scale = 100 / max(float((high - low).max()), 1e-6)
    places, least, most = (shape - low) * scale, float(np.nanmin(errors)), float(np.nanmax(errors))
    width, height = (high - low) * scale + 2 * MARGIN
    contours = [
        element("path", class_="contour", d="M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in places[list(contour)]))
        for contour in faces.scheme.contours
        if np.isfinite(places[list(contour)]).all()
    ]
    dots = []
    for point in drawn:
        known = np.isfinite(errors[point])
        share = (errors[point] - least) / (most - least) if known and most > least else 0.0
        words = f"landmark {point}: {errors[point]:.2f} %" if known else f"landmark {point}: no score"
        dots.append(
            element(
                "circle", cx=f"{places[point, 0]:.2f}", cy=f"{places[point, 1]:.2f}",
                r=f"{SMALL + (LARGE - SMALL) * share:.2f}", class_=f"heat{min(int(STEPS * share), STEPS - 1)}",
                data_words=words,
            )
        )  # fmt: skip
    worst = sorted((p for p in drawn if np.isfinite(errors[p])), key=lambda p: -errors[p])[:3]
    summary = ", ".join(f"{point} ({errors[point]:.2f} %)" for point in worst)
    picture = element(
        "svg", contours, dots, viewBox=f"{-MARGIN} {-MARGIN} {width:.2f} {height:.2f}", role="img",
        aria_label=f"Mean shape of the faces with a dot for each landmark. Largest errors: {summary}.",
    )  # fmt: skip
    key = [
        element("li", element("span", class_=f"swatch heat{step}"), f"from {start:.2f} %")
        for step, start in enumerate(np.linspace(least, most, STEPS, endpoint=False))
    ]
    regions = _regions(faces.scheme.name)
    counts = faces.labelled.sum(0)
    rows: list[list[Cell]] = [
        [number(float(point), ".0f"), regions.get(int(point), ""), number(errors[point], ".2f"),
         number(float(counts[point]), ",.0f")]
        for point in range(len(errors))
    ]  # fmt: skip
    numbers = table("Mean error of each landmark", ["landmark", "region", "error, %", "faces labelled"], rows)
    return joined(
        element("p", f"Mean error of a landmark, % of {unit}. Largest: landmarks {summary}.", class_="note"),
        element(
            "figure",
            picture,
            element("figcaption", element("output", "Point at a dot to read its landmark.")),
            element("ul", key, class_="key"),
            class_="shape",
        ),
        fold("Every landmark in numbers", numbers),
    )


def _regions(scheme: str) -> dict[int, str]:
    return {point: name for name, points in REGIONS.get(scheme, {}).items() for point in points}
