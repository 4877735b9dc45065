# SPDX-License-Identifier: Apache-2.0
"""A small square of a picture of any size: OpenCV's own warping refuses what is beyond 32,766 pixels wide or high."""

import cv2
import numpy as np

LONGEST = 32_766  # side of a picture that OpenCV warps


def warp_square(pixels: np.ndarray, matrix: np.ndarray, side: int, flags: int, border: int) -> np.ndarray:
    """`cv2.warpAffine` to [side, side] of the part of a picture that the square shows.

    Args:
        pixels: [H, W] or [H, W, 3].
        matrix: [2, 3], from places in the picture to those in the square.
        side: of the square.
        flags: OpenCV's interpolation.
        border: what OpenCV shows outside the picture.
    """
    corners = np.array([(x, y, 1) for x in (-1, side) for y in (-1, side)]) @ cv2.invertAffineTransform(matrix).T
    size = np.array(pixels.shape[1::-1])
    left, top = low = np.clip(np.floor(corners.min(axis=0)) - 1, 0, size - 1).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(axis=0)) + 2, low + 1, size).astype(int)
    step = -(-int(max(right - left, bottom - top)) // LONGEST)
    place = np.array([[step, 0, left], [0, step, top], [0, 0, 1]])  # of the part in the picture
    part = pixels[top:bottom:step, left:right:step]
    return cv2.warpAffine(part, matrix @ place, (side, side), flags=flags, borderMode=border)
