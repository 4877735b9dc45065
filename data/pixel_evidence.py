# SPDX-License-Identifier: Apache-2.0
"""In which frame the pixels under the points look like a face, by how alike the faces are there.

Faces that are laid on each other by their points look alike when the points are where their features are, and do not
when the pictures are turned or mirrored under them.
"""

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from barrel_jax.pictures import TURNS
from data.warping import warp_square

SIDE = 32  # pixels of a patch
SPAN = 1.5  # radii of the mean shape that a patch reaches from its centre
FEW, MOST = 6, 32  # faces that are compared
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
    patches = _patches(pixels, faces, shape, [1, stated])
    if not len(patches) or (len(patches) < FEW and len(others) < FEW):
        return ""
    gain = _likeness(patches[:, 1], others) - _likeness(patches[:, 0], others)
    if not _is_clear(gain) and not _is_clear(-gain):
        return ""
    return "upright" if gain.mean() > 0 else "stored"


def turn_of_pixels(pixels: Sequence[np.ndarray], faces: Sequence[Annotated], shape: np.ndarray) -> int:
    """The orientation by which pictures must be turned for their faces to be most alike; 1 unless that is clear.

    Args: the `pixels` of each face's picture in the frame of its points, uint8 [H, W, 3]; the mean `shape` [K, 2].
    """
    square = all(of.shape[0] == of.shape[1] for of in pixels)
    turns = [orientation for orientation, (exchange, _, _) in TURNS.items() if square or not exchange]
    patches = _patches(pixels, faces, shape, turns)
    if len(patches) < FEW:
        return 1
    others = np.zeros((0, SIDE * SIDE))
    likeness = [_likeness(patches[:, number], others) for number in range(len(turns))]
    gains = {turn: of - likeness[0] for turn, of in zip(turns, likeness, strict=True)}
    clear = [turn for turn, gain in gains.items() if _is_clear(gain)]
    return max(clear, key=lambda turn: gains[turn].mean(), default=1)


def _is_clear(gain: np.ndarray) -> bool:
    """Whether faces gain likeness [n] beyond chance."""
    if len(gain) < 2 or gain.mean() < LEAST:
        return False
    return bool(gain.mean() > CLEAR * max(float(gain.std(ddof=1)) / np.sqrt(len(gain)), 1e-3))


def _patches(
    pixels: Sequence[np.ndarray], faces: Sequence[Annotated], shape: np.ndarray, turns: Sequence[int]
) -> np.ndarray:
    """The patches [n, m, SIDE * SIDE] of the faces that have one in each of m frames."""
    found = [patches_of(of, face, shape, turns) for of, face in zip(pixels, faces, strict=True)]
    return np.array([patches for patches in found if patches is not None])


def patch_of(pixels: np.ndarray, face: Annotated, shape: np.ndarray) -> np.ndarray | None:
    """`patches_of` one frame, that of the pixels: [SIDE²]."""
    patches = patches_of(pixels, face, shape, [1])
    return None if patches is None else patches[0]


def patches_of(pixels: np.ndarray, face: Annotated, shape: np.ndarray, turns: Sequence[int]) -> np.ndarray | None:
    """The grey pixels about a face laid on the mean shape when they are turned, in m ways: [m, SIDE²].

    Each patch has mean 0 and length 1. None where a patch is of one grey, or the points have no extent or are spread
    far beyond their picture.
    """
    labelled = face.labelled & np.isfinite(shape).all(axis=1)
    if labelled.sum() < 2:
        return None
    z, target = (form[labelled] @ np.array([1, 1j]) for form in (face.points, shape))
    centre, middle = z.mean(), target.mean()
    power = (np.abs(z - centre) ** 2).sum()
    if power == 0:
        return None
    scale = SIDE / (2 * SPAN)
    factor = scale * (np.conj(z - centre) * (target - middle)).sum() / power  # from the picture to the patch
    shift = (middle * scale - factor * centre) + (SIDE / 2 - 0.5) * (1 + 1j)
    laid = np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag], [0, 0, 1]])
    # Large faces are averaged first, so that single pixels do not decide.
    step = max(int(0.5 / max(abs(factor), 1e-9)), 1)
    if step > min(pixels.shape[:2]):
        return None
    small = cv2.resize(pixels, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA) if step > 1 else pixels
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    whole = np.array([[step, 0, (step - 1) / 2], [0, step, (step - 1) / 2], [0, 0, 1]])
    patches = np.empty((len(turns), SIDE * SIDE))
    for patch, turn in zip(patches, turns, strict=True):
        matrix = (laid @ _turn(turn, pixels.shape[1], pixels.shape[0]) @ whole)[:2]
        warped = warp_square(grey, matrix, SIDE, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE)
        patch[:] = warped.ravel() - warped.mean()
    lengths = np.linalg.norm(patches, axis=1, keepdims=True)
    return patches / lengths if (lengths > 1e-6).all() else None


def _turn(orientation: int, width: int, height: int) -> np.ndarray:
    """Where pixels of a picture of that size go when it is turned: [3, 3], on (x, y, 1)."""
    exchange, rows, columns = TURNS[orientation]
    across, down = (height, width) if exchange else (width, height)
    exchanged = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]]) if exchange else np.eye(3)
    reversed_ = np.array(
        [
            [-1 if columns else 1, 0, across - 1 if columns else 0],
            [0, -1 if rows else 1, down - 1 if rows else 0],
            [0, 0, 1],
        ]
    )
    return reversed_ @ exchanged


def _likeness(patches: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The correlation [n] of each patch with the mean of the others."""
    if len(others) >= FEW:
        mean = others.mean(axis=0)
        return patches @ mean / np.linalg.norm(mean)
    rest = (patches.sum(axis=0) - patches) / (len(patches) - 1)
    return (patches * rest).sum(axis=1) / np.maximum(np.linalg.norm(rest, axis=1), 1e-9)
