# SPDX-License-Identifier: Apache-2.0
"""Points and contours on the source picture itself, in its own pixels."""

import cv2
import numpy as np
from jaxtyping import Real, UInt8

from barrel_jax.plotting import BITS, PREDICTED, fixed, rgb

POINT, RIM, BOX = rgb(PREDICTED), (20, 20, 20), (255, 255, 255)  # RGB


def draw_faces(
    image: UInt8[np.ndarray, "H W 3"],
    points_px: Real[np.ndarray, "n K 2"],
    contours: tuple[tuple[int, ...], ...],
    boxes: Real[np.ndarray, "n 4"],
) -> UInt8[np.ndarray, "H W 3"]:
    """The picture with the faces on it: a new array uint8 [H, W, 3].

    Args:
        image: uint8 [H, W, 3], RGB.
        points_px: [n, K, 2] in its pixels, the centre of the top-left pixel is (0, 0); OpenCV's coordinates are these.
        contours: lines through points (`LandmarkScheme.contours`), () for none.
        boxes: x, y, w, h [n, 4] in its pixels (the left edge of the first column is 0), drawn as thin frames.

    Dots and lines grow with the face, so that one of 50 pixels is not covered by them and one of 2,000 shows them; a
    face that is larger than the picture has those of the picture.
    """
    largest = float(np.hypot(*image.shape[:2]))
    drawn = np.ascontiguousarray(image).copy()
    lines = drawn.copy()
    for points, (x, y, w, h) in zip(points_px, boxes, strict=True):
        corners = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]]) - 0.5
        cv2.polylines(lines, [fixed(corners)], True, BOX, 1, cv2.LINE_AA, BITS)
        thickness = max(1, round(min(np.sqrt(w) * np.sqrt(h), largest) / 300))
        for contour in contours:
            cv2.polylines(lines, [fixed(points[list(contour)])], False, POINT, thickness, cv2.LINE_AA, BITS)
    drawn = cv2.addWeighted(lines, 0.6, drawn, 0.4, 0)
    for points, (_, _, w, h) in zip(points_px, boxes, strict=True):
        radius = max(0.8, min(np.sqrt(w) * np.sqrt(h), largest) / 120)
        # A rim sets dots off from skin and hair; around dots of a pixel it would be most of what is seen.
        for grown, colour in ((1.35, RIM), (1.0, POINT)) if radius > 1.5 else ((1.0, POINT),):
            for centre in fixed(points):
                cv2.circle(drawn, centre.tolist(), round(radius * grown * 2**BITS), colour, -1, cv2.LINE_AA, BITS)
    return drawn
