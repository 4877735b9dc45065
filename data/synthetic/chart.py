# SPDX-License-Identifier: Apache-2.0
"""The chart: a flat uint8 picture of the head's surface (column = angle, row = height) that is painted and then wrapped on."""

import cv2
import numpy as np

from data.synthetic.head import THETA_MAX, Head

WIDTH, HEIGHT = 256, 216
FIXED = 4  # fractional bits of OpenCV's drawing coordinates


def smooth(points: np.ndarray, closed: bool, steps: int = 4) -> np.ndarray:
    """Catmull-Rom curve through points [n, 2], `steps` places per span: [n * steps, 2] (closed) or [(n - 1) * steps + 1, 2]."""
    p = np.asarray(points, np.float64)
    ext = np.concatenate([p[-1:], p, p[:2]]) if closed else np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = ext[:-3, None], ext[1:-2, None], ext[2:-1, None], ext[3:, None]
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t ** 2 + (3 * b - a - 3 * c + d) * t ** 3)
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, p[-1:]])


def fixed(points: np.ndarray) -> np.ndarray:
    """Pixel positions [n, 2] as OpenCV's fixed-point integers."""
    return np.round(np.clip(points, -4000, 4000) * (1 << FIXED)).astype(np.int32)


def soft_polygon(image: np.ndarray, points: np.ndarray, colour: np.ndarray, soft: float, strength: float = 1.0, line: float = 0.0,
                 keep: np.ndarray | None = None) -> None:
    """Blends a polygon (or with `line` > 0 a stroke of that width) with blurred edges into `image` [H, W, 3] uint8, in place.

    `soft` is the blur in pixels, `keep` an optional [H, W] uint8 mask that limits the paint; `colour`
    is [3] or a picture [H, W, 3].
    """
    pad = int(2.5 * soft + line + 2)
    h, w = image.shape[:2]
    x0, y0 = np.maximum(np.floor(points.min(0)).astype(int) - pad, 0)
    x1, y1 = np.minimum(np.ceil(points.max(0)).astype(int) + pad + 1, (w, h))
    if x1 <= x0 or y1 <= y0:
        return
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    pts = fixed(points - (x0, y0))
    if line > 0:
        cv2.polylines(mask, [pts], False, 255, max(1, round(line)), cv2.LINE_AA, FIXED)
        strength = strength * min(1.0, line)
    else:
        cv2.fillPoly(mask, [pts], 255, cv2.LINE_AA, FIXED)
    if soft > 0.3:
        mask = cv2.GaussianBlur(mask, (0, 0), soft)
    if keep is not None:
        mask = cv2.min(mask, keep[y0:y1, x0:x1])
    blend(image[y0:y1, x0:x1], mask, colour if np.ndim(colour) == 1 else colour[y0:y1, x0:x1], strength)


def blend(region: np.ndarray, mask: np.ndarray, colour: np.ndarray, strength: float = 1.0) -> None:
    """region [h, w, 3] uint8 += (colour - region) * mask / 255 * strength, in place; `colour` is [3] or [h, w, 3]."""
    alpha = mask.astype(np.float32)[..., None] * np.float32(strength / 255)
    mixed = region + (np.asarray(colour, np.float32) - region) * alpha
    region[...] = np.clip(mixed, 0, 255).astype(np.uint8)


class Chart:
    """Maps frontal places of one head to pixels of the chart and holds the picture `image` [HEIGHT, WIDTH, 3] uint8, RGB."""

    def __init__(self, head: Head):
        self.head = head
        self.top, self.bottom = head.top_y, head.chin_y
        self.per_unit = HEIGHT / (self.bottom - self.top)   # rows per head unit
        self.per_radian = WIDTH / (2 * THETA_MAX)
        self.image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)

    def place(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(theta, y) [...] -> pixels [..., 2]."""
        return np.stack(np.broadcast_arrays((theta + THETA_MAX) * self.per_radian - 0.5, (y - self.top) * self.per_unit - 0.5), -1)

    def at(self, xy: np.ndarray) -> np.ndarray:
        """Frontal points [..., 2] -> pixels [..., 2]."""
        xy = np.asarray(xy, np.float64)
        return self.place(self.head.theta_of(xy), xy[..., 1])

    def fill(self, xy: np.ndarray, colour: np.ndarray, soft: float = 0.0, strength: float = 1.0, keep: np.ndarray | None = None) -> None:
        soft_polygon(self.image, self.at(xy), colour, soft * self.per_unit, strength, keep=keep)

    def stroke(self, xy: np.ndarray, colour: np.ndarray, width: float, soft: float = 0.0, strength: float = 1.0, keep: np.ndarray | None = None) -> None:
        """A line along frontal points [n, 2]; width and softness in head units."""
        soft_polygon(self.image, self.at(xy), colour, soft * self.per_unit, strength, line=width * self.per_unit, keep=keep)

    def ellipse(self, centre: np.ndarray, rx: float, ry: float, colour: np.ndarray, soft: float = 0.0, strength: float = 1.0,
                keep: np.ndarray | None = None) -> None:
        a = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        self.fill(np.asarray(centre) + np.stack([rx * np.cos(a), ry * np.sin(a)], 1), colour, soft, strength, keep)

    def mask(self, *polygons: np.ndarray) -> np.ndarray:
        """[HEIGHT, WIDTH] uint8 mask of polygons of frontal points."""
        m = np.zeros((HEIGHT, WIDTH), np.uint8)
        for p in polygons:
            cv2.fillPoly(m, [fixed(self.at(p))], 255, cv2.LINE_AA, FIXED)
        return m


def speckle(rng: np.random.Generator, shape: tuple[int, int], grain: tuple[int, int]) -> np.ndarray:
    """Smooth noise of mean 0 and spread about 1: [h, w] float32; `grain` cells of noise are stretched over the picture."""
    return cv2.resize(rng.standard_normal(grain[::-1], dtype=np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
