# SPDX-License-Identifier: Apache-2.0
"""In which frame the pixels under the points look like a face, by how alike the faces are there.

Faces that are laid on each other by their points look alike when the points are where their features are, and do not
when the pictures are turned or mirrored under them.
"""

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from barrel_jax.pictures import TURNS, turned

SIDE = 32  # pixels of a patch
SPAN = 1.5  # radii of the mean shape that a patch reaches from its centre
FEW, MOST = 6, 48  # faces that are compared
CLEAR = 3.0  # standard errors by which one frame must be better
LEAST = 0.05  # and by how much, in the correlation of a face with the others


class Annotated(Protocol):
    """A face with points."""

    @property
    def points(self) -> np.ndarray:
        """[K, 2], in pixels."""

    @property
    def labelled(self) -> np.ndarray:
        """bool [K]."""


def alike_in(
    stated: int, pixels: Sequence[np.ndarray], faces: Sequence[Annotated], shape: np.ndarray, others: np.ndarray
) -> str:
    """The frame, 'stored' or 'upright', in which faces look more alike; '' when neither is clear.

    Args:
        stated: the orientation of their pictures.
        pixels: the stored pixels of each face's picture, uint8 [H, W, 3].
        faces: as annotated.
        shape: the mean shape [K, 2].
        others: patches [m, SIDE * SIDE] of faces in pictures that are not turned; with few of them the faces are
            compared with each other.
    """
    gain = _gain(stated, pixels, faces, shape, others)
    if not _is_clear(gain) and not _is_clear(-gain):
        return ""
    return "upright" if gain.mean() > 0 else "stored"


def turn_of_pixels(pixels: Sequence[np.ndarray], faces: Sequence[Annotated], shape: np.ndarray) -> int:
    """The orientation by which pictures must be turned for their faces to be most alike; 1 unless that is clear.

    Args: the `pixels` of each face's picture in the frame of its points, uint8 [H, W, 3]; the mean `shape` [K, 2].
    """
    best, least = 1, LEAST
    for orientation, (exchange, _, _) in TURNS.items():
        if orientation == 1 or (exchange and any(of.shape[0] != of.shape[1] for of in pixels)):
            continue
        gain = _gain(orientation, pixels, faces, shape, np.zeros((0, SIDE * SIDE)))
        if _is_clear(gain) and gain.mean() > least:
            best, least = orientation, float(gain.mean())
    return best


def _is_clear(gain: np.ndarray) -> bool:
    """Whether faces gain likeness [n] beyond chance."""
    if len(gain) < 2 or gain.mean() < LEAST:
        return False
    return bool(gain.mean() > CLEAR * max(float(gain.std(ddof=1)) / np.sqrt(len(gain)), 1e-3))


def _gain(
    orientation: int, pixels: Sequence[np.ndarray], faces: Sequence[Annotated], shape: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """By how much more each face [n] is like the others when the pictures are turned; [0] of too few faces."""
    pairs = [
        (patch_of(of, face, shape), patch_of(turned(of, orientation), face, shape))
        for of, face in zip(pixels, faces, strict=True)
    ]
    usable = [(stored, upright) for stored, upright in pairs if stored is not None and upright is not None]
    if not usable or (len(usable) < FEW and len(others) < FEW):
        return np.zeros(0)
    stored, upright = (np.stack(patches) for patches in zip(*usable, strict=True))
    return _likeness(upright, others) - _likeness(stored, others)


def patch_of(pixels: np.ndarray, face: Annotated, shape: np.ndarray) -> np.ndarray | None:
    """The grey pixels [SIDE²] about a face laid on the mean shape, of mean 0 and length 1; None where all are equal."""
    labelled = face.labelled & np.isfinite(shape).all(axis=1)
    if labelled.sum() < 2:
        return None
    z, target = (form[labelled] @ np.array([1, 1j]) for form in (face.points, shape))
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
