# SPDX-License-Identifier: Apache-2.0
"""The flicker of points in a video: the change of their errors from one frame to the next.

NMF of Micaelli et al. 2023 (Recurrence without Recurrence: Stable Video Landmark Detection with Deep Equilibrium
Models), the metric of WFLW-V. An error that stays as it is counts for NME and not for NMF.
"""

import numpy as np
from jaxtyping import Float


def normalised_mean_flicker(points_px: Float[np.ndarray, "T K 2"], truth_px: Float[np.ndarray, "T K 2"]) -> float:
    """The root mean square, over points and pairs of frames, of the change of the error, as a share of the face's side.

    The side is the root of width times height of the box around the true points, in the second frame of a pair. The
    authors' own code counts in hundredths of a pixel of a face of 256 pixels: 25,600 times this. A pair of frames whose
    second has no such box, as one labelled point has none, is left out.

    Args:
        points_px: predicted points of one face in T frames, source pixels.
        truth_px: annotated points, source pixels; NaN where not annotated.

    Raises:
        ValueError: the shapes differ, there are fewer than two frames, or nothing is annotated in two frames in a row.
    """
    points, truth = np.asarray(points_px, np.float64), np.asarray(truth_px, np.float64)
    if points.shape != truth.shape or points.ndim != 3 or points.shape[2] != 2 or len(points) < 2:
        raise ValueError(f"points {points.shape} and truth {truth.shape} must both be [T, K, 2], of two frames or more")
    change = np.linalg.norm(np.diff(points - truth, axis=0), axis=2)
    shown = np.where(np.isfinite(truth), truth, np.nan)[1:]
    some = np.any(np.isfinite(shown).all(axis=2), axis=1)
    sides = np.full(len(shown), np.nan)
    sides[some] = np.sqrt((np.nanmax(shown[some], axis=1) - np.nanmin(shown[some], axis=1)).prod(axis=1))
    share = change / np.where(sides > 0, sides, np.nan)[:, None]
    known = np.isfinite(share)
    if not known.any():
        raise ValueError("no point is annotated in two frames that follow each other, with a box that has an area")
    return float(np.sqrt((share[known] ** 2).mean()))
