# SPDX-License-Identifier: Apache-2.0
"""The orientation of a set's mean face, by its points' names or their known scheme.

Faces are upright on average, eyes above the mouth, and the points on the left of the picture belong to its left. A mean
face that is not tells of x and y that changed places, of y counted from below, or of pictures that were turned.
"""

import re
from dataclasses import dataclass

import numpy as np

from barrel_jax.faces.landmarks import LandmarkScheme
from barrel_jax.faces.symmetry import best_flip, mean_shape, mirror_residual

CHINS = {"wflw-98": 16, "300w-68": 8, "cofw-29": 28}
UPPER, LOWER = re.compile(r"eye|brow|pupil|forehead", re.I), re.compile(r"mouth|lip|chin|jaw|teeth", re.I)
TILTED = 50.0  # degrees from upright that no set's mean face has


@dataclass(frozen=True)
class Axes:
    """Points that tell up from down, and left from right where the scheme is known: indices."""

    upper: tuple[int, ...]
    lower: tuple[int, ...]
    left: tuple[int, ...] = ()
    right: tuple[int, ...] = ()

    def down(self, points: np.ndarray) -> np.ndarray:
        """The way [..., 2] from the upper to the lower points of faces [..., K, 2]; NaN where none is labelled."""
        return _mean(points, self.lower) - _mean(points, self.upper)


def axes_of(scheme: LandmarkScheme, names: tuple[str, ...]) -> Axes | None:
    """What tells up from down among the points of a scheme, or of those names; None when nothing does."""
    if scheme.name in CHINS:
        first, second = scheme.normaliser.points
        return Axes((first, second), (CHINS[scheme.name],), (first,), (second,))
    upper = tuple(i for i, name in enumerate(names) if UPPER.search(name) and not LOWER.search(name))
    lower = tuple(i for i, name in enumerate(names) if LOWER.search(name) and not UPPER.search(name))
    return Axes(upper, lower) if upper and lower else None


def fault_of_mean_face(points: np.ndarray, scheme: LandmarkScheme, axes: Axes | None) -> str:
    """'transposed', 'upside down', 'mirrored' or 'sideways', or '' when the mean of faces [n, K, 2] is upright.

    Without `axes` only the line of symmetry speaks, which is vertical in a face.
    """
    labelled = np.isfinite(points).all(axis=-1)
    if points.shape[1] < 3 or not labelled.any(axis=0).all():
        return ""
    shape = mean_shape(points, labelled)
    if axes is None:
        # Of fewer points many shapes have several lines of symmetry.
        return "transposed" if len(shape) >= 5 and _symmetric_sideways(shape) else ""
    down = axes.down(shape)
    angle = np.degrees(np.arctan2(down[1], down[0]))  # 90 when it points down
    across = _mean(shape, axes.right) - _mean(shape, axes.left) if axes.left else np.zeros(2)
    mirrored = bool(axes.left) and across[0] * down[1] - across[1] * down[0] < 0
    if abs(angle - 90) <= TILTED:
        return "mirrored" if mirrored else ""
    if abs(angle + 90) <= TILTED:
        return "mirrored and upside down" if mirrored else "upside down"
    return "transposed" if mirrored or (not axes.left and abs(angle) <= TILTED) else "sideways"


def _symmetric_sideways(shape: np.ndarray) -> bool:
    """Whether a mean shape [K, 2] mirrors itself about a level line, and not about an upright one."""
    turned = shape[:, ::-1] * np.array([1.0, -1.0])
    upright, level = (mirror_residual(form, best_flip(form)).mean() for form in (shape, turned))
    return bool(level < 0.1 and level < upright / 2)


def _mean(points: np.ndarray, chosen: tuple[int, ...]) -> np.ndarray:
    labelled = np.isfinite(points[..., list(chosen), :])
    total = np.where(labelled, points[..., list(chosen), :], 0).sum(axis=-2)
    return np.where(labelled.any(axis=-2), total / np.maximum(labelled.sum(axis=-2), 1), np.nan)
