# SPDX-License-Identifier: Apache-2.0
"""A comparison of two splits' mean faces: whether points lie in the same places, whatever they are called."""

import numpy as np

from barrel_jax.faces.symmetry import mean_shape

FEW = 3  # faces of either split
UNLIKE = 0.4  # of the radius: fewer faces than ten of other people lie up to 0.3 apart, exchanged points 0.45 and more


def is_unlike(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether the mean faces of points [n, K, 2] and [m, K, 2] differ by more than people do; NaN is not labelled."""
    shapes = []
    for points in (first, second):
        labelled = np.isfinite(points).all(axis=-1)
        if len(points) < FEW or points.shape[1] < 3 or not labelled.any(axis=0).all():
            return False
        shapes.append(mean_shape(points, labelled) @ np.array([1, 1j]))
    a, b = shapes  # centred, of radius 1
    factor = (np.conj(a) * b).sum() / (np.abs(a) ** 2).sum()
    return bool(np.sqrt((np.abs(factor * a - b) ** 2).mean()) > UNLIKE)
