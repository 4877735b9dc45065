# SPDX-License-Identifier: Apache-2.0
"""The motion of a face from one frame to the next, by the optical flow of its pixels.

A box that comes from the model's own points feeds the model's errors back to it; the flow does not.
"""

from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Real, UInt8

REACH = 0.5  # how far around a face's box is looked, in its sides
MOST = 256  # pixels of a view's side
INNER = 0.8  # points are taken that much nearer to the middle of the face, where there is skin on all sides
RETURNS = 0.5  # pixels of the view by which a point may miss its start when it is followed back
NEAR = 1.0  # pixels of the view between a point that is followed and where all others say that it is
WINDOW = (15, 15)


class View(NamedTuple):
    """The pixels around a face in one frame, by which it is found in the next one."""

    grey: UInt8[np.ndarray, "h w"]
    low: tuple[int, int]  # of the frame's pixels that it shows: the first, and the one behind the last
    high: tuple[int, int]


def view(image: UInt8[np.ndarray, "H W 3"], box: Float[np.ndarray, " 4"]) -> View | None:
    """The pixels around a box x, y, w, h of a frame; None where it lies outside."""
    extent = np.array(image.shape[1::-1])
    margin = REACH * box[2:].max()
    low = np.clip(np.floor(box[:2] - margin), 0, extent).astype(int)
    high = np.clip(np.ceil(box[:2] + box[2:] + margin), 0, extent).astype(int)
    if (high - low < max(WINDOW)).any():
        return None
    return View(_grey(image, low, high), (int(low[0]), int(low[1])), (int(high[0]), int(high[1])))


def motion(
    before: View, image: UInt8[np.ndarray, "H W 3"], points: Float[np.ndarray, "K 2"]
) -> tuple[Float[np.ndarray, "2 3"], float] | None:
    """The similarity that takes a face of the frame `before` into a new one, by pyramids of Lucas and Kanade.

    Args:
        before: the view of the last frame.
        image: the new frame.
        points: of the face in the last frame.

    Returns:
        The matrix, for (x, y, 1) in source pixels, and the share of points that move so; None where hardly any do, or
        the new frame is of another size.
    """
    low, high = np.array(before.low), np.array(before.high)
    if (high > image.shape[1::-1]).any():
        return None
    after = _grey(image, low, high)
    scale = np.array(before.grey.shape[::-1]) / (high - low)
    middle = points.mean(axis=0)
    start = (((middle + INNER * (points - middle)) + 0.5 - low) * scale - 0.5).astype(np.float32)
    follow: Any = partial(cv2.calcOpticalFlowPyrLK, nextPts=None, winSize=WINDOW, maxLevel=3)  # its types are wrong
    end, there, _ = follow(before.grey, after, start)
    back, again, _ = follow(after, before.grey, end)
    followed = (there[:, 0] == 1) & (again[:, 0] == 1) & (np.abs(back - start).max(axis=1) < RETURNS)
    if followed.sum() < 4:
        return None
    matrix, fits = cv2.estimateAffinePartial2D(start[followed], end[followed], ransacReprojThreshold=NEAR)
    if matrix is None:
        return None
    # From the view's pixels to the frame's: p = (s + 0.5) / scale - 0.5 + low.
    into = np.array([[scale[0], 0, (0.5 - low[0]) * scale[0] - 0.5], [0, scale[1], (0.5 - low[1]) * scale[1] - 0.5]])
    square = np.vstack([into, [0, 0, 1]])
    whole = np.linalg.inv(square) @ np.vstack([matrix, [0, 0, 1]]) @ square
    return whole[:2], float(fits.sum()) / len(points)


def moved_box(matrix: Float[np.ndarray, "2 3"], box: Float[np.ndarray, " 4"]) -> Float[np.ndarray, " 4"]:
    """A box whose middle and size a similarity has moved; it stays upright."""
    middle = matrix @ np.array([*(box[:2] + box[2:] / 2 - 0.5), 1.0]) + 0.5  # edge coordinates, and pixels
    sides = box[2:] * float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    return np.concatenate([middle - sides / 2, sides])


def _grey(
    image: UInt8[np.ndarray, "H W 3"], low: Real[np.ndarray, " 2"], high: Real[np.ndarray, " 2"]
) -> UInt8[np.ndarray, "h w"]:
    region = image[low[1] : high[1], low[0] : high[0]]
    shrink = min(MOST / max(region.shape[:2]), 1.0)
    if shrink < 1:
        size = [max(round(side * shrink), 1) for side in region.shape[1::-1]]
        region = cv2.resize(region, size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(region, cv2.COLOR_RGB2GRAY)
