# SPDX-License-Identifier: Apache-2.0
"""Boxes that are plausible numbers in another unit, known by all of them together and their pictures' sizes."""

import numpy as np

FEW = 0.2  # share of boxes that may reach out of their pictures


def doubt(boxes: np.ndarray, sizes: np.ndarray) -> str:
    """The likely cause why boxes are not x, y, w, h in pixels, '' where nothing speaks for one.

    Args:
        boxes: as given, float64 [n, 4].
        sizes: width and height of the picture of each [n, 2].
    """
    if not len(boxes):
        return ""
    far = boxes[:, :2] + boxes[:, 2:]
    out = ((far > sizes + 0.1 * boxes[:, 2:]) | (boxes[:, :2] < -0.1 * boxes[:, 2:])).any(axis=1).mean()
    corners = (boxes[:, 2:] > boxes[:, :2]).all() and (boxes[:, 2:] <= sizes + 1).all()
    if out > FEW and corners:
        return (
            f"{out:.0%} of the boxes reach out of their pictures, and all would lie within as corners x1, y1, x2, y2; "
            "give x, y, w, h (or a .csv whose columns are named x1, y1, x2, y2)"
        )
    if out > 0.5:
        return f"{out:.0%} of the boxes reach out of their pictures; are they of pictures of another size?"
    if (far <= 100).all() and (sizes.min(axis=1) >= 200).all():
        return "all boxes lie in the first 100 pixels of larger pictures; are they per cent of the sides? Give pixels"
    return ""
