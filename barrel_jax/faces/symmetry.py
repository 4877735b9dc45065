# SPDX-License-Identifier: Apache-2.0
"""The mean shape of faces and its mirror symmetry: which point mirrors which, and how well."""

from collections.abc import Sequence

import numpy as np

TILTS = np.radians((-40, -20, 0, 20, 40))  # of the mirror axis against the vertical, where the search starts


def mean_shape(points: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Mean of the labelled points [n, K, 2] after every face is moved, scaled and turned onto it by least squares.

    Returns:
        [K, 2], centred, with root-mean-square radius 1, upright as the faces are on average. A point that is missing
        in some faces does not pull the others.
    """
    # As complex numbers x + iy, one factor scales and turns.
    z = np.where(labelled, np.nan_to_num(points[..., 0]) + 1j * np.nan_to_num(points[..., 1]), 0)
    count = np.maximum(labelled.sum(axis=1, keepdims=True), 1)
    z = np.where(labelled, z - z.sum(axis=1, keepdims=True) / count, 0)
    power = (np.abs(z) ** 2).sum(axis=1, keepdims=True)
    usable = labelled & (power > 0)
    if not usable.any(axis=0).all():
        usable = labelled  # points that are only ever labelled alone: their place relative to the others is unknown
    power = np.where(power > 0, power, 1)
    placed = z * np.sqrt(count / power)
    for _ in range(10):
        shape = placed.sum(axis=0, where=usable) / usable.sum(axis=0)
        shape = shape - shape.mean()
        shape = shape / max(np.sqrt((np.abs(shape) ** 2).mean()), 1e-12)
        target_centre = np.where(labelled, shape, 0).sum(axis=1, keepdims=True) / count
        factor = (np.conj(z) * np.where(labelled, shape - target_centre, 0)).sum(axis=1, keepdims=True) / power
        placed = factor * z + target_centre
    return np.stack([shape.real, shape.imag], axis=-1)


def mirror_residual(shape: np.ndarray, flip: Sequence[int]) -> np.ndarray:
    """Distances [K] from the points of a centred shape [K, 2] to their partners' mirror images about the best axis."""
    flip = list(flip)
    return np.linalg.norm(shape - _mirror(shape, _mirror_tilt(shape, flip))[flip], axis=-1)


def _mirror(shape: np.ndarray, tilt: float) -> np.ndarray:
    """The shape [K, 2] mirrored about the axis through the origin that leans `tilt` radians from the vertical."""
    cos, sin = np.cos(2 * tilt), np.sin(2 * tilt)
    return shape @ np.array([[-cos, sin], [sin, cos]])


def _mirror_tilt(shape: np.ndarray, flip: Sequence[int]) -> float:
    """The tilt that brings mirrored partners nearest in least squares.

    The axis runs through the centroid: a permutation keeps the centroid, so the best translation of the mirrored points
    is none at all.
    """
    (x, y), (u, v) = shape.T, shape[list(flip)].T
    return np.arctan2((x * v + y * u).sum(), (y * v - x * u).sum()) / 2


def best_flip(shape: np.ndarray) -> tuple[int, ...]:
    """The pairing of least squared distance between a centred shape [K, 2] and its image in a near-vertical mirror."""
    from scipy.optimize import linear_sum_assignment  # takes a second, and only a set's first reading needs it

    best, least = None, np.inf
    for tilt in TILTS:
        flip = None
        for _ in range(20):
            distance = ((shape[:, None] - _mirror(shape, tilt)[None]) ** 2).sum(axis=-1)
            previous, flip = flip, tuple(linear_sum_assignment(distance)[1].tolist())
            if flip == previous:
                break
            tilt = _mirror_tilt(shape, flip)
        cost = (mirror_residual(shape, flip) ** 2).sum()
        if abs(tilt) <= np.pi / 4 and cost < least - 1e-9:
            best, least = flip, cost
    return best if best is not None else tuple(range(len(shape)))
