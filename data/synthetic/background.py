# SPDX-License-Identifier: Apache-2.0
"""The background behind the head."""

import cv2
import numpy as np

from data.synthetic.chart import speckle


def draw_background(size: int, rng: np.random.Generator) -> np.ndarray:
    """A gradient with blurred clutter, stripes or blotches: [size, size, 3] uint8, RGB."""
    corners = rng.uniform(0, 255, (2, 2, 3)).astype(np.float32)
    if rng.random() < 0.8:
        corners = corners.mean((0, 1)) + (corners - corners.mean((0, 1))) * rng.uniform(0, 0.5)
    picture = cv2.resize(corners.astype(np.uint8), (size, size), interpolation=cv2.INTER_LINEAR)
    kind = rng.random()
    if kind < 0.25:
        blotches = speckle(rng, (size, size), (int(rng.integers(3, 40)),) * 2) * np.float32(rng.uniform(5, 50))
        picture = cv2.add(
            picture, cv2.merge([blotches * np.float32(rng.uniform(0.3, 1)) for _ in range(3)]), dtype=cv2.CV_8U
        )
    if kind > 0.15:
        vivid = rng.uniform(0, 1) ** 2
        for _ in range(int(rng.integers(1, 16))):
            colour = rng.integers(0, 256, 3)
            colour = tuple(int(c) for c in colour.mean() + (colour - colour.mean()) * vivid)
            x, y, w, h = (int(v) for v in rng.uniform(0, size, 4))
            shape = rng.random()
            if shape < 0.45:
                cv2.rectangle(picture, (x, y), (x + w // 2, y + h), colour, -1)
            elif shape < 0.75:
                cv2.ellipse(picture, (x, y), (w // 4 + 2, h // 4 + 2), float(rng.uniform(0, 180)), 0, 360, colour, -1)
            else:
                cv2.line(picture, (x, y), (w, h), colour, int(rng.integers(1, 8)))
        if rng.random() < 0.7:
            k = 2 * int(rng.integers(1, 12)) + 1
            picture = cv2.blur(cv2.blur(picture, (k, k)), (k, k))
    return picture
