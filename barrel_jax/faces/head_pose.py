# SPDX-License-Identifier: Apache-2.0
"""The turn of a head, measured on the annotated points: no set says it, and no image can be made to show it."""

import numpy as np
from jaxtyping import Bool, Float, Int, Real

from barrel_jax.faces.landmarks import SCHEMES, LandmarkScheme

# The tip of the nose, and left and right outer eye corner, in the known schemes (landmarks.py).
NOSE_TIP = {"wflw-98": 54, "300w-68": 30, "cofw-29": 20}
MEASURED = (
    "how far the head is turned: |left - right| / (left + right) of the distances from the tip of the nose to the two "
    "outer eye corners along the line through these, on the annotated points"
)


def turned(
    scheme: LandmarkScheme, truth_px: Real[np.ndarray, "n K 2"], labelled: Bool[np.ndarray, "n K"]
) -> Float[np.ndarray, " n"] | None:
    """How far each head is turned to a side, `MEASURED`: float64 [n]; None in a scheme whose nose is not known.

    0 is frontal, 1 has the tip of the nose above an eye corner, and beyond 1 it lies outside of both. A head that is
    tilted in the plane of the image is turned no further. NaN where one of the three points is not labelled, or the eye
    corners coincide.

    Args:
        scheme: says which points these are.
        truth_px: annotated points [n, K, 2], source pixels; NaN where not annotated.
        labelled: bool [n, K].
    """
    if scheme.name not in NOSE_TIP:
        return None
    points = [NOSE_TIP[scheme.name], *SCHEMES[scheme.name].normaliser.points]
    known = np.asarray(labelled, bool)[:, points].all(axis=1)
    nose, left, right = np.moveaxis(np.asarray(truth_px, np.float64)[:, points], 1, 0)
    across = right - left
    square = np.where(known, (across**2).sum(axis=1), 0)
    share = ((nose - left) * across).sum(axis=1) / np.where(square > 0, square, np.nan)
    return np.abs(2 * share - 1)


def fifths(turns: Float[np.ndarray, " n"]) -> list[Int[np.ndarray, " _"]]:
    """The faces [n] whose turn is known in five groups of equal size (to one), most frontal first: index arrays."""
    order = np.argsort(turns, kind="stable")  # NaN last
    return np.array_split(order[: np.isfinite(turns).sum()], 5)
