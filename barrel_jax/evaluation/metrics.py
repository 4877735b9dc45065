# SPDX-License-Identifier: Apache-2.0
"""Normalised mean error, failure rate and area under the error curve (docs/protocols.md, "Metric").

Plain numpy in float64 on the host, outside jit: a score is one number over thousands of faces, and sums in float32 (or
in the order that a device happens to choose) would move the last printed digit. Errors are measured in source pixels,
as HRNet, STAR and mmpose do, because a crop that is resized to a square scales x and y by different factors. (PIPNet
measures in the crop: `score.crop_errors` puts this file's functions to that, points and distances in crop units.)

Errors and thresholds are fractions of the normalising distance (normalisers.py) everywhere in this file; only
`summarise`, which makes the fields of `metrics.json`, speaks percent. A face that cannot be scored (`unscorable`) has
the error NaN: it is left out of the means and counted beside them.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Real

from barrel_jax.evaluation.scores import Summary
from barrel_jax.evaluation.significance import bootstrap_intervals

THRESHOLDS = (0.08, 0.10)
PERCENTILES = (50, 90, 95, 99)


def point_errors(
    points_px: Real[np.ndarray, "n K 2"],
    truth_px: Real[np.ndarray, "n K 2"],
    labelled: Bool[np.ndarray, "n K"],
    distance: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "n K"]:
    """Distance of every point from the truth, divided by the face's own normalising distance: float64 [n, K].

    Args:
        points_px: predicted points [n, K, 2], source pixels.
        truth_px: annotated points [n, K, 2], source pixels; NaN where not annotated.
        labelled: bool [n, K], which points of the truth count (occluded points do, as in every published score).
        distance: the unit of each face [n], source pixels (`normalisers.distances`).

    NaN at points that are not labelled, and in the whole row of a face whose normalising distance is NaN or zero.
    Raises ValueError on shapes that differ, a distance that is negative or infinite, and a prediction that is not
    finite at a labelled point (it would otherwise vanish from the mean).
    """
    points, truth, labelled, distance = (
        np.asarray(points_px, np.float64),
        np.asarray(truth_px, np.float64),
        np.asarray(labelled, bool),
        np.asarray(distance, np.float64),
    )
    if points.ndim != 3 or points.shape != truth.shape or points.shape[:2] != labelled.shape or points.shape[2] != 2:
        raise ValueError(
            f"predicted points {points.shape}, true points {truth.shape} and labels {labelled.shape} "
            "must be [n, K, 2], [n, K, 2] and [n, K]"
        )
    if distance.shape != points.shape[:1] or np.isinf(distance).any() or (distance < 0).any():
        raise ValueError(f"{len(points)} faces need as many normalising distances of 0 or more, got {distance}")
    broken = np.argwhere(labelled & ~np.isfinite(points).all(-1))
    if len(broken):
        raise ValueError(
            f"{len(broken)} predicted points are not finite, first: "
            f"face {broken[0, 0]} (counted from 0), point {broken[0, 1]}"
        )
    unit = np.where(distance > 0, distance, np.nan)
    return np.where(labelled, np.linalg.norm(points - truth, axis=-1), np.nan) / unit[:, None]


def face_means(errors: Float[np.ndarray, "n K"]) -> Float[np.ndarray, " n"]:
    """Mean over the points of each face that have an error: float64 [n], NaN where none has. `errors` [n, K].

    Over all points it is the face's NME; the mean over the faces is taken afterwards (docs/protocols.md, "Metric": per
    image, then over images).
    """
    counted = np.isfinite(errors)
    # The 1 only keeps 0 / 0 quiet before the NaN is put there.
    means = np.where(counted, errors, 0).sum(1) / np.maximum(counted.sum(1), 1)
    return np.where(counted.any(1), means, np.nan)


def unscorable(distance: Float[np.ndarray, " n"]) -> dict[str, int]:
    """How many faces have no score, by reason, from their normalising distances [n].

    `normaliser_missing`: points that it needs are not labelled; `normaliser_zero`: they coincide.
    """
    distance = np.asarray(distance, np.float64)
    return {"normaliser_missing": int(np.isnan(distance).sum()), "normaliser_zero": int((distance == 0).sum())}


def mean(nmes: Float[np.ndarray, " n"]) -> float:
    """Mean over the scored faces; NaN when no face is scored. `nmes` [n]."""
    return _mean(_scored(nmes))


def failure_rate(nmes: Float[np.ndarray, " n"], threshold: float) -> float:
    """Fraction of the scored faces with an error strictly above `threshold`; NaN when no face is scored. `nmes` [n]."""
    return _mean(_scored(nmes) > threshold)


def auc(nmes: Float[np.ndarray, " n"], threshold: float) -> float:
    """Area under the cumulative error curve from 0 to `threshold`, divided by `threshold`: 0..1, exact. `nmes` [n].

    The curve is a step function that each face lifts by 1/n at its own error, so the area is
    mean(max(0, 1 - nme/threshold)); Simpson's rule on a grid of 1e-4 (PIPNet, STAR) agrees to 1e-4.
    """
    return _mean(np.maximum(0, 1 - _scored(nmes) / threshold))


def cumulative_error(nmes: Float[np.ndarray, " n"], thresholds: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """Fraction of the scored faces with an error of at most each of `thresholds` [t]: float64 [t]. `nmes` [n]."""
    scored = np.sort(_scored(nmes))
    return (
        np.searchsorted(scored, thresholds, side="right") / len(scored)
        if len(scored)
        else np.full(len(thresholds), np.nan)
    )


def percentiles(nmes: Float[np.ndarray, " n"], percents: tuple[int, ...] = PERCENTILES) -> dict[str, float]:
    """Errors that so many percent of the scored faces do not exceed, interpolated, fractions. `nmes` [n]."""
    scored = _scored(nmes)
    return {
        str(percent): float(np.percentile(scored, percent)) if len(scored) else float("nan") for percent in percents
    }


def intervals(nmes: Float[np.ndarray, " n"]) -> dict[str, Any]:
    """95 % percentile bootstrap intervals over the scored faces, [low, high] each, for `summarise`. `nmes` [n].

    All three are means of something that each face has, so that one set of drawn faces serves them all.
    """
    scored = _scored(nmes)
    per_face = [scored, *(scored > t for t in THRESHOLDS), *(np.maximum(0, 1 - scored / t) for t in THRESHOLDS)]
    ends = bootstrap_intervals(np.stack(per_face, axis=1)).tolist()
    names, count = [f"{threshold:.2f}" for threshold in THRESHOLDS], len(THRESHOLDS)
    return {
        "nme_interval": _percent(ends[0]),
        "fr_interval": dict(zip(names, map(_percent, ends[1 : 1 + count]), strict=True)),
        "auc_interval": dict(zip(names, ends[1 + count :], strict=True)),
    }


def summarise(nmes: Float[np.ndarray, " n"], in_crop: Float[np.ndarray, " n"]) -> Summary:
    """The metrics of one set or subset, from its faces' errors in source pixels [n] and in crop units [n].

    The numbers of an empty set are NaN, and the intervals of one face.
    """
    return Summary(
        num_images=int(_scored(nmes).size),
        num_unscorable=int(np.isnan(nmes).sum()),
        nme=100 * mean(nmes),
        nme_crop=100 * mean(in_crop),
        fr={f"{threshold:.2f}": 100 * failure_rate(nmes, threshold) for threshold in THRESHOLDS},
        auc={f"{threshold:.2f}": auc(nmes, threshold) for threshold in THRESHOLDS},
        percentiles={name: 100 * error for name, error in percentiles(nmes).items()},
        **intervals(nmes),
    )


def _scored(nmes: np.ndarray) -> np.ndarray:
    nmes = np.asarray(nmes, np.float64)
    return nmes[~np.isnan(nmes)]


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values, dtype=np.float64)) if len(values) else float("nan")


def _percent(ends: list[float]) -> list[float]:
    return [100 * end for end in ends]
