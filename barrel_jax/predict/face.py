# SPDX-License-Identifier: Apache-2.0
"""A face that was found: its box, its points and how sure they are."""

import dataclasses

import numpy as np
from jaxtyping import Float

# The mean sigma of a face, in sides of the tight box around its points, at which face and wall are as likely: measured
# with the small model on faces and on crops without one (docs/models/small.md).
EVEN = 0.05


@dataclasses.dataclass(frozen=True)
class Face:
    """Of one picture; lengths in its pixels, the centre of the top-left one is (0, 0)."""

    box: Float[np.ndarray, " 4"]  # float64, x, y, w, h, in edge coordinates (the left edge of the first column is 0)
    points: Float[np.ndarray, "K 2"]  # float32 of a predictor
    sigma: Float[np.ndarray, " K"] | None = None  # standard deviation of a point's error along an axis; None if unknown
    score: float | None = None  # 0..1, how much like a face it looks; None where sigma is unknown


def square_side(width: float, height: float) -> float:
    """The side of a square as large as a box, in the unit of the box.

    Half the longer side at least: points of two eyes, or of a brow, lie about a line, and their box has hardly an area.
    """
    return max(float(np.sqrt(width * height)), max(width, height) / 2)


def relative_sigma(points: Float[np.ndarray, "K 2"], sigma: Float[np.ndarray, " K"]) -> float:
    """The mean standard deviation of a face's points, in sides (`square_side`) of the tight box around them."""
    width, height = np.ptp(points, axis=0).tolist()
    return float(sigma.mean()) / max(square_side(width, height), 1e-6)


def face_score(points: Float[np.ndarray, "K 2"], sigma: Float[np.ndarray, " K"]) -> float:
    """How much like a face points look whose standard deviations are `sigma`: 1 for sure, 1/2 at `EVEN`, 0 for none."""
    return 1 / (1 + (relative_sigma(points, sigma) / EVEN) ** 4)
