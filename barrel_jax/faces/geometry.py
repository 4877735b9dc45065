# SPDX-License-Identifier: Apache-2.0
"""Frames of points, and the maps between them.

Pixel frame: (x, y), the centre of the top-left pixel is (0, 0). A crop is a window (x, y, w, h) of the source image,
its edges in edge coordinates (pixel coordinate + 0.5, so a whole W x H image is (0, 0, W, H)). Crop units run from 0
at the window's left or top edge to 1 at the other; pixel j of a crop of S pixels lies at (j + 0.5) / S.
The functions work on NumPy and on JAX arrays.
"""

from jaxtyping import Real

from barrel_jax.arrays import OneKind

# Of boxes and points in files: how many of a unit a picture's side has; 0 for its pixels.
UNITS = {"pixel": 0, "fraction": 1, "percent": 100}


def unit_to_px(points_unit: Real[OneKind, "n K 2"], windows: Real[OneKind, "n 4"]) -> Real[OneKind, "n K 2"]:
    """Crop units [n, K, 2] of windows [n, 4] to source pixels [n, K, 2]."""
    return windows[:, None, :2] + windows[:, None, 2:] * points_unit - 0.5


def px_to_unit(points_px: Real[OneKind, "n K 2"], windows: Real[OneKind, "n 4"]) -> Real[OneKind, "n K 2"]:
    """Source pixels [n, K, 2] to crop units [n, K, 2] of windows [n, 4]."""
    return (points_px + 0.5 - windows[:, None, :2]) / windows[:, None, 2:]
