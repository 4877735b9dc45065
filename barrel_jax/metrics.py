# SPDX-License-Identifier: Apache-2.0
"""Normalised mean error, failure rate and area under the error curve (protocol.md section 6).

Plain numpy in float64 on the host, outside jit: a score is one number over thousands of faces, and sums in float32 (or
in the order that a device happens to choose) would move the last printed digit. Errors are measured in source pixels,
as HRNet, STAR and mmpose do, because a crop that is resized to a square scales x and y by different factors.

Errors and thresholds are fractions of the normalising distance everywhere in this file; only `summarise`, which makes
the fields of `metrics.json`, speaks percent. A face that cannot be scored (`unscorable`) has the error NaN: it is left
out of the means and counted beside them.
"""

import numpy as np

THRESHOLDS = (0.08, 0.10)
PERCENTILES = (50, 90, 95, 99)


def point_errors(
    points_px: np.ndarray, truth_px: np.ndarray, labelled: np.ndarray, normaliser: tuple[int, int]
) -> np.ndarray:
    """Distance of every point from the truth, divided by the face's own normalising distance: float64 [n, K].

    Args:
        points_px: predicted points [n, K, 2], source pixels.
        truth_px: annotated points [n, K, 2], source pixels; NaN where not annotated.
        labelled: bool [n, K], which points of the truth count (occluded points do, as in every published score).
        normaliser: the two points of the truth whose distance is the unit.

    NaN at points that are not labelled, and in the whole row of a face whose normalising points are not both labelled
    or coincide. Raises ValueError on shapes that differ, a normaliser that is not two points of the face, and a
    prediction that is not finite at a labelled point (it would otherwise vanish from the mean).
    """
    points, truth, labelled = (
        np.asarray(points_px, np.float64),
        np.asarray(truth_px, np.float64),
        np.asarray(labelled, bool),
    )
    if points.ndim != 3 or points.shape != truth.shape or points.shape[:2] != labelled.shape or points.shape[2] != 2:
        raise ValueError(
            f"predicted points {points.shape}, true points {truth.shape} and labels {labelled.shape} "
            "must be [n, K, 2], [n, K, 2] and [n, K]"
        )
    if (
        len(normaliser) != 2
        or normaliser[0] == normaliser[1]
        or not all(0 <= point < points.shape[1] for point in normaliser)
    ):
        raise ValueError(f"the normaliser {tuple(normaliser)} must be two different points of 0..{points.shape[1] - 1}")
    broken = np.argwhere(labelled & ~np.isfinite(points).all(-1))
    if len(broken):
        raise ValueError(
            f"{len(broken)} predicted points are not finite, first: "
            f"face {broken[0, 0]} (counted from 0), point {broken[0, 1]}"
        )
    unit = _normalising_distance(truth, labelled, normaliser)
    unit = np.where(unit > 0, unit, np.nan)
    return np.where(labelled, np.linalg.norm(points - truth, axis=-1), np.nan) / unit[:, None]


def nme(points_px: np.ndarray, truth_px: np.ndarray, labelled: np.ndarray, normaliser: tuple[int, int]) -> np.ndarray:
    """Normalised mean error of every face, a fraction: float64 [n], NaN for a face that cannot be scored.

    The mean over the labelled points of a face of `point_errors`; arguments and errors are the same. The mean over the
    faces is taken afterwards (protocol.md section 6: per image, then over images).
    """
    errors = point_errors(points_px, truth_px, labelled, normaliser)
    counted = np.isfinite(errors)
    # A scored face has at least its two normalising points; the 1 only keeps 0 / 0 quiet before the NaN is put there.
    means = np.where(counted, errors, 0).sum(1) / np.maximum(counted.sum(1), 1)
    return np.where(counted.any(1), means, np.nan)


def unscorable(truth_px: np.ndarray, labelled: np.ndarray, normaliser: tuple[int, int]) -> dict[str, int]:
    """How many faces have no score, by reason.

    `normaliser_missing`: not both points are labelled; `normaliser_zero`: they coincide.

    Args: `truth_px` [n, K, 2] source pixels, `labelled` bool [n, K], `normaliser` as in `point_errors`.
    """
    unit = _normalising_distance(np.asarray(truth_px, np.float64), np.asarray(labelled, bool), normaliser)
    return {"normaliser_missing": int(np.isnan(unit).sum()), "normaliser_zero": int((unit == 0).sum())}


def failure_rate(nmes: np.ndarray, threshold: float) -> float:
    """Fraction of the scored faces with an error strictly above `threshold`; NaN when no face is scored. `nmes` [n]."""
    return _mean(_scored(nmes) > threshold)


def auc(nmes: np.ndarray, threshold: float) -> float:
    """Area under the cumulative error curve from 0 to `threshold`, divided by `threshold`: 0..1, exact. `nmes` [n].

    The curve is a step function that each face lifts by 1/n at its own error, so the area is
    mean(max(0, 1 - nme/threshold)); Simpson's rule on a grid of 1e-4 (PIPNet, STAR) agrees to 1e-4.
    """
    return _mean(np.maximum(0, 1 - _scored(nmes) / threshold))


def cumulative_error(nmes: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Fraction of the scored faces with an error of at most each of `thresholds` [t]: float64 [t]. `nmes` [n]."""
    scored = np.sort(_scored(nmes))
    return (
        np.searchsorted(scored, thresholds, side="right") / len(scored)
        if len(scored)
        else np.full(len(thresholds), np.nan)
    )


def percentiles(nmes: np.ndarray, percents: tuple[int, ...] = PERCENTILES) -> dict[str, float]:
    """Errors that so many percent of the scored faces do not exceed, interpolated, fractions. `nmes` [n]."""
    scored = _scored(nmes)
    return {
        str(percent): float(np.percentile(scored, percent)) if len(scored) else float("nan") for percent in percents
    }


def summarise(nmes: np.ndarray) -> dict:
    """The fields of `metrics.json` for one set or subset (design.md section 4), from its faces' errors `nmes` [n].

    `num_images` counts the scored faces and `num_unscorable` the others; `nme`, `fr` and `percentiles` are percent,
    `auc` is 0..1. The numbers of an empty set are NaN.
    """
    return {
        "num_images": int(_scored(nmes).size),
        "num_unscorable": int(np.isnan(nmes).sum()),
        "nme": 100 * _mean(_scored(nmes)),
        "fr": {f"{threshold:.2f}": 100 * failure_rate(nmes, threshold) for threshold in THRESHOLDS},
        "auc": {f"{threshold:.2f}": auc(nmes, threshold) for threshold in THRESHOLDS},
        "percentiles": {name: 100 * error for name, error in percentiles(nmes).items()},
    }


def _normalising_distance(truth: np.ndarray, labelled: np.ndarray, normaliser: tuple[int, int]) -> np.ndarray:
    """Distance of the two normalising points [n], NaN where not both are labelled."""
    first, second = normaliser
    distance = np.linalg.norm(truth[:, first] - truth[:, second], axis=-1)
    return np.where(labelled[:, first] & labelled[:, second], distance, np.nan)


def _scored(nmes: np.ndarray) -> np.ndarray:
    nmes = np.asarray(nmes, np.float64)
    return nmes[~np.isnan(nmes)]


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values, dtype=np.float64)) if len(values) else float("nan")
