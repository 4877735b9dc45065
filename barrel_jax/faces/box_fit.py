# SPDX-License-Identifier: Apache-2.0
"""The shift and size of boxes of one kind relative to another: a detector's to a set's, a set's to its landmarks'.

Boxes are x, y, w, h in source pixels, edge coordinates (the left edge of the first column is 0).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Real

from barrel_jax.faces.crop_windows import landmark_box


class BoxFit(NamedTuple):
    """From a box to another one."""

    shift: tuple[float, float]  # of the centre, in widths and heights of the first box
    size: tuple[float, float]  # of the second box, in those of the first

    def apply(self, boxes: Real[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
        """The second boxes of first ones."""
        sides = boxes[:, 2:] * np.array(self.size)
        corners = boxes[:, :2] + boxes[:, 2:] * (0.5 + np.array(self.shift)) - sides / 2
        return np.concatenate([corners, sides], axis=1)


def fit_of_landmarks(
    boxes: Real[np.ndarray, "n 4"], points_px: Real[np.ndarray, "n K 2"], labelled: Bool[np.ndarray, "n K"]
) -> BoxFit | None:
    """How a set's boxes lie about the tight boxes of its faces' points: medians over the faces with all points.

    None where no face has all of its points labelled.
    """
    whole = labelled.all(axis=1)
    if not whole.any():
        return None
    faces = zip(points_px[whole], labelled[whole], strict=True)
    tight = np.array([landmark_box(points, seen) for points, seen in faces], np.float64)
    chosen = np.asarray(boxes, np.float64)[whole]
    centres = (chosen[:, :2] + chosen[:, 2:] / 2) - (tight[:, :2] + tight[:, 2:] / 2)
    shift, size = np.median(centres / tight[:, 2:], axis=0), np.median(chosen[:, 2:] / tight[:, 2:], axis=0)
    return BoxFit((float(shift[0]), float(shift[1])), (float(size[0]), float(size[1])))
