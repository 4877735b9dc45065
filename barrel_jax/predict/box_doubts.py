# SPDX-License-Identifier: Apache-2.0
"""Boxes that are plausible numbers in another unit, known by all of them together and their pictures' sizes."""

import numpy as np
from jaxtyping import Float, Real

FEW = 0.2  # share of boxes that may reach out of their pictures
MOST = 0.9  # share of boxes of which must be true what is said of all
BORDER = 0.03  # of a side: x1 + x2 of a face in the middle of its picture ends there, and no face's box needs to


def doubt(
    boxes: Float[np.ndarray, "n 4"], sizes: Real[np.ndarray, "n 2"], unit: str = "pixel", few: bool = False
) -> str:
    """The likely cause why boxes are not x, y, w, h in pixels, '' where nothing speaks for one.

    Args:
        boxes: as given, in pixels, float64 [n, 4].
        sizes: width and height of the picture of each [n, 2].
        unit: in which they were said to be, one of `geometry.UNITS`.
        few: whether they are of one or two pictures, whose faces may well lie at the border or in a corner: then only
            boxes whose middle lies outside speak.
    """
    if not len(boxes):
        return ""
    near, sides = boxes[:, :2], boxes[:, 2:]
    far = near + sides
    margin = (0.5 if few else 0.1) * sides
    out = ((far > sizes + margin) | (near < -margin)).any(axis=1).mean()
    touching = 0.0 if few else ((far > (1 - BORDER) * sizes) & (near > BORDER * sizes)).any(axis=1).mean()
    corners = ((sides > near) & (sides <= sizes + 1)).all(axis=1).mean()
    if corners >= MOST and (out > FEW or touching > 0.5):
        return (
            f"{max(out, touching):.0%} of the boxes reach to the border of their pictures or out of them, and as "
            f"corners x1, y1, x2, y2 {corners:.0%} would lie within; give x, y, w, h (or a .csv whose columns have "
            "those names)"
        )
    if out > 0.5:
        remedy = "are they of pictures of another size?" if unit == "pixel" else f"leave out --unit {unit}"
        return f"{out:.0%} of the boxes reach out of their pictures; {remedy}"
    if unit != "pixel" or few:
        return ""
    if (far <= 101).all(axis=1).mean() >= MOST and (sizes.min() >= 200 or _alike_in_per_cent(sides, sizes)):
        within = "all boxes lie within 0..100, whatever the pictures' sizes"
        return f"{within}; are they per cent of the sides? Give --unit percent"
    return ""


def _alike_in_per_cent(sides: Float[np.ndarray, "n 2"], sizes: Real[np.ndarray, "n 2"]) -> bool:
    """Whether boxes do not grow with their pictures, as those of faces do that were cut out; of three at least."""
    spread, shares = np.log(sides).std(axis=0), np.log(sides / sizes).std(axis=0)
    return len(sides) > 2 and bool((np.log(sizes).std(axis=0) > 0.1).all() and (spread < shares / 2).all())
