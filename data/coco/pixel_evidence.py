# SPDX-License-Identifier: Apache-2.0
"""In which of two frames the pixels under the points look like a face, by how alike the faces are there.

Faces that are laid on each other by their points look alike when the points are where their features are, and do not
when the pictures are turned or mirrored under them.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from barrel_jax.pictures import turned
from data.coco.annotations import Row

SIDE = 32  # pixels of a patch
SPAN = 1.5  # radii of the mean shape that a patch reaches from its centre
FEW, MOST = 6, 48  # faces that are compared
CLEAR = 3.0  # standard errors by which one frame must be better


def alike_in(
    stated: int, pixels: Sequence[np.ndarray], rows: Sequence[Row], shape: np.ndarray, others: np.ndarray
) -> str:
    """The frame, 'stored' or 'upright', in which faces look more alike; '' when neither is clear.

    Args:
        stated: the orientation of their pictures.
        pixels: the stored pixels of each face's picture, uint8 [H, W, 3].
        rows: the faces.
        shape: the mean shape [K, 2].
        others: patches [m, SIDE * SIDE] of faces in pictures that are not turned; with few of them the faces are
            compared with each other.
    """
    patches = {
        "stored": [patch_of(of, row, shape) for of, row in zip(pixels, rows, strict=True)],
        "upright": [patch_of(turned(of, stated), row, shape) for of, row in zip(pixels, rows, strict=True)],
    }
    usable = [all(frame[number] is not None for frame in patches.values()) for number in range(len(rows))]
    if sum(usable) < FEW and len(others) < FEW:
        return ""
    scores = {}
    for frame, found in patches.items():
        stacked = np.stack([patch for patch, use in zip(found, usable, strict=True) if use and patch is not None])
        scores[frame] = _likeness(stacked, others)
    gain = scores["upright"] - scores["stored"]
    error = max(float(gain.std(ddof=1)) / np.sqrt(len(gain)), 1e-3) if len(gain) > 1 else np.inf
    if abs(gain.mean()) < CLEAR * error or abs(gain.mean()) < 0.05:
        return ""
    return "upright" if gain.mean() > 0 else "stored"


def patch_of(pixels: np.ndarray, row: Row, shape: np.ndarray) -> np.ndarray | None:
    """The grey pixels [SIDE²] about a face laid on the mean shape, of mean 0 and length 1; None where all are equal."""
    labelled = row.labelled & np.isfinite(shape).all(axis=1)
    if labelled.sum() < 2:
        return None
    z, target = (form[labelled] @ np.array([1, 1j]) for form in (row.points, shape))
    centre, middle = z.mean(), target.mean()
    power = (np.abs(z - centre) ** 2).sum()
    if power == 0:
        return None
    factor = (np.conj(z - centre) * (target - middle)).sum() / power  # from the picture to the shape
    scale = SIDE / (2 * SPAN)
    factor = factor * scale
    shift = (middle * scale - factor * centre) + (SIDE / 2 - 0.5) * (1 + 1j)
    matrix = np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])
    # Large faces are averaged first, so that single pixels do not decide.
    smaller = max(int(0.5 / max(abs(factor), 1e-9)), 1)
    if smaller > 1:
        pixels = cv2.resize(pixels, None, fx=1 / smaller, fy=1 / smaller, interpolation=cv2.INTER_AREA)
        matrix[:, :2] *= smaller
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    patch = cv2.warpAffine(grey, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE).astype(np.float64).ravel()
    patch -= patch.mean()
    length = np.linalg.norm(patch)
    return patch / length if length > 1e-6 else None


def _likeness(patches: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The correlation [n] of each patch with the mean of the others."""
    if len(others) >= FEW:
        mean = others.mean(axis=0)
        return patches @ mean / np.linalg.norm(mean)
    rest = (patches.sum(axis=0) - patches) / (len(patches) - 1)
    return (patches * rest).sum(axis=1) / np.maximum(np.linalg.norm(rest, axis=1), 1e-9)
