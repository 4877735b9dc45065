# SPDX-License-Identifier: Apache-2.0
"""The chart: the surface of the head, unrolled.

A flat uint8 picture of the head's surface (column = angle, row = height) that is painted and then wrapped on.
"""

import cv2
import numpy as np

from data.synthetic.head import THETA_MAX, Head

WIDTH, HEIGHT = 224, 184
VOLUME = (WIDTH // 4, HEIGHT // 4)  # columns, rows of the coarser chart of how far hair stands out
CIRCLE = np.stack([np.cos(np.arange(20) * np.pi / 10), np.sin(np.arange(20) * np.pi / 10)], 1)  # [20, 2]
CATMULL_ROM = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
FIXED = 4  # fractional bits of OpenCV's drawing coordinates


def smooth(points: np.ndarray, closed: bool, steps: int = 4) -> np.ndarray:
    """Catmull-Rom curve through points [n, 2], `steps` places per span.

    [n * steps, 2] (closed) or [(n - 1) * steps + 1, 2].
    """
    p = np.asarray(points, np.float64)
    ext = (
        np.concatenate([p[-1:], p, p[:2]]) if closed else np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    )
    windows = ext[np.arange(len(ext) - 3)[:, None] + np.arange(4)]
    t = np.arange(steps)[:, None] / steps
    curve = (t ** np.arange(4) @ CATMULL_ROM @ windows).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, p[-1:]])


def fixed(points: np.ndarray) -> np.ndarray:
    """Pixel positions [n, 2] as OpenCV's fixed-point integers."""
    return (points * (1 << FIXED) + 0.5).astype(np.int32)


def soft_polygon(
    image: np.ndarray,
    points: np.ndarray,
    colour: np.ndarray,
    soft: float,
    strength: float = 1.0,
    line: float = 0.0,
    keep: np.ndarray | None = None,
    texture: np.ndarray | None = None,
) -> None:
    """Blends a polygon [n, 2], or several [m, n, 2], with blurred edges into `image` [H, W, 3] uint8, in place.

    With `line` > 0 it is a stroke of that width. `soft` is the blur in pixels, `keep` an optional [H, W] uint8 mask
    that limits the paint, `texture` an optional [H, W] relative change of the colour [3].
    """
    pad = int(2.5 * soft + line + 2)
    h, w = image.shape[:2]
    pts = fixed(points)
    x, y, across, down = cv2.boundingRect(pts.reshape(-1, 2))
    x0, y0, x1, y1 = (
        max((x >> FIXED) - pad, 0),
        max((y >> FIXED) - pad, 0),
        min((x + across >> FIXED) + pad + 2, w),
        min((y + down >> FIXED) + pad + 2, h),
    )
    if x1 <= x0 or y1 <= y0:
        return
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    pts -= np.array([x0 << FIXED, y0 << FIXED], np.int32)
    parts = [pts] if pts.ndim == 2 else list(pts)
    if line > 0:
        cv2.polylines(mask, parts, False, 255, max(1, round(line)), cv2.LINE_AA, FIXED)
        strength = strength * min(1.0, line)
    else:
        cv2.fillPoly(mask, parts, 255, cv2.LINE_AA, FIXED)
    if soft > 0.3:
        soften(mask, soft)
    if keep is not None:
        mask = cv2.min(mask, keep[y0:y1, x0:x1])
    if texture is not None:
        colour = np.minimum(np.maximum(colour * (1 + texture[y0:y1, x0:x1, None]), 0), 255)
    blend(image[y0:y1, x0:x1], mask, colour, strength)


def soften(mask: np.ndarray, soft: float) -> None:
    """Blurs a mask [h, w] with a spread of about `soft` pixels (two box blurs are quick and look alike), in place."""
    k = 2 * max(1, round(1.2 * soft)) + 1
    cv2.blur(mask, (k, k), mask)
    if soft > 0.9:
        cv2.blur(mask, (k, k), mask)


def blend(region: np.ndarray, mask: np.ndarray, colour: np.ndarray, strength: float = 1.0) -> None:
    """region [h, w, 3] uint8 += (colour - region) * mask / 255 * strength, in place.

    `colour` is [3] or [h, w, 3] of 0..255.
    """
    alpha = mask * np.float32(strength / 255)
    paint = np.empty(region.shape, np.uint8)
    if np.ndim(colour) == 1:  # one row, copied: far quicker than writing pixel by pixel
        paint[0] = colour
        paint[1:] = paint[0]
    else:
        paint[...] = colour
    region[...] = cv2.blendLinear(paint, region, alpha, 1 - alpha)


class Chart:
    """Maps frontal places of one head to pixels of the chart.

    Holds the picture `image` [HEIGHT, WIDTH, 3] uint8 RGB, and `grain` [HEIGHT, WIDTH] float32, the relative
    unevenness of its colours.
    """

    def __init__(self, head: Head) -> None:
        self.head = head
        self.top, self.bottom = head.top_y, head.chin_y
        self.per_unit = HEIGHT / (self.bottom - self.top)  # rows per head unit
        self.per_radian = WIDTH / (2 * THETA_MAX)
        self.image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        self.grain = np.zeros((HEIGHT, WIDTH), np.float32)

    def place(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(theta, y) [...] -> pixels [..., 2]."""
        pixels = np.empty((*np.shape(y), 2))
        pixels[..., 0] = (theta + THETA_MAX) * self.per_radian - 0.5
        pixels[..., 1] = (y - self.top) * self.per_unit - 0.5
        return pixels

    def at(self, xy: np.ndarray) -> np.ndarray:
        """Frontal points [..., 2] -> pixels [..., 2]."""
        xy = np.asarray(xy, np.float64)
        return self.place(self.head.theta_of(xy), xy[..., 1])

    def fill(
        self,
        xy: np.ndarray,
        colour: np.ndarray,
        soft: float = 0.0,
        strength: float = 1.0,
        keep: np.ndarray | None = None,
    ) -> None:
        """Frontal polygon [n, 2], or several [m, n, 2]; softness in head units."""
        soft_polygon(self.image, self.at(xy), colour, soft * self.per_unit, strength, keep=keep)

    def stroke(
        self,
        xy: np.ndarray,
        colour: np.ndarray,
        width: float,
        soft: float = 0.0,
        strength: float = 1.0,
        keep: np.ndarray | None = None,
    ) -> None:
        """A line along frontal points [n, 2]; width and softness in head units."""
        soft_polygon(
            self.image, self.at(xy), colour, soft * self.per_unit, strength, line=width * self.per_unit, keep=keep
        )

    def ellipse(
        self,
        centre: np.ndarray,
        rx: float,
        ry: float,
        colour: np.ndarray,
        soft: float = 0.0,
        strength: float = 1.0,
        keep: np.ndarray | None = None,
    ) -> None:
        """An ellipse around a frontal point [2], or around several [m, 2]; radii and softness in head units."""
        self.fill(np.asarray(centre)[..., None, :] + CIRCLE * [rx, ry], colour, soft, strength, keep)

    def mask(self, *polygons: np.ndarray) -> np.ndarray:
        """[HEIGHT, WIDTH] uint8 mask of polygons of frontal points."""
        m = np.zeros((HEIGHT, WIDTH), np.uint8)
        for p in polygons:
            cv2.fillPoly(m, list(fixed(self.at(p))) if p.ndim == 3 else [fixed(self.at(p))], 255, cv2.LINE_AA, FIXED)
        return m


def speckle(rng: np.random.Generator, shape: tuple[int, int], grain: tuple[int, int]) -> np.ndarray:
    """Smooth noise of mean 0 and spread about 1.

    [h, w] float32; `grain` cells of noise are stretched over the picture.
    """
    return cv2.resize(rng.standard_normal(grain[::-1], dtype=np.float32), shape[::-1], interpolation=cv2.INTER_LINEAR)
