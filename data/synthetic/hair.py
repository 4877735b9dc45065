# SPDX-License-Identifier: Apache-2.0
"""Hair: on the chart (with volume), hanging behind the head, and strands in front of the cheeks."""

import cv2
import numpy as np

from data.synthetic.camera import Camera
from data.synthetic.chart import (
    CIRCLE,
    HEIGHT,
    VOLUME,
    WIDTH,
    Chart,
    blend,
    fixed,
    smooth,
    soft_polygon,
    soften,
    speckle,
)
from data.synthetic.looks import Looks

THETA = np.array([0.0, 0.35, 0.7, 1.0, 1.2, 1.38, 1.5, 1.62, 1.8, 2.06])


def paint_hair(chart: Chart, looks: Looks, rng: np.random.Generator) -> np.ndarray:
    """Paints the scalp's hair or hat onto the chart, in place.

    Returns how far the surface stands out there: float32 over the coarser grid VOLUME, head units.
    """
    style, line = looks.hair_style, looks.hairline
    edge = np.array([-line, -line + 0.02, -line + 0.07, -0.55, -0.28, -0.02, 0.12, -0.02, 0.1, 0.7])
    if style == "bald":
        if rng.random() < 0.5:
            return np.zeros(VOLUME[::-1], np.float32)
        edge = np.array([-1.6, -1.6, -1.5, -1.2, -0.6, -0.02, 0.12, -0.02, 0.1, 0.7])
    elif style == "receding":
        edge[:4] += np.array([-0.08, -0.2, -0.35, -0.2]) * rng.uniform(0.4, 1.3)
    elif style == "bangs":
        edge[:5] = np.array([-0.42, -0.42, -0.4, -0.36, -0.2]) + rng.uniform(-0.12, 0.17)
    elif style == "hat":
        edge[:6] = np.array([-0.56, -0.56, -0.55, -0.5, -0.42, -0.3]) + rng.uniform(-0.1, 0.12)
    if style in ("long", "curly"):
        edge[5:] = np.array([0.3, 1.6, 1.6, 1.6, 1.6])
        edge[4] += rng.uniform(0, 0.4)
    part = rng.normal(0, 0.25)
    theta = np.concatenate([-THETA[:0:-1], THETA])
    heights = np.concatenate([edge[:0:-1], edge]) + 0.12 * part * np.sin(np.clip(theta, -1.5, 1.5)) * (
        np.abs(theta) < 1.1
    )
    curve = smooth(chart.place(theta, heights), False, 6)
    jag = {"bangs": 4.0, "hat": 0.0}.get(style, 1.5)
    curve = curve + np.stack([np.zeros(len(curve)), jag * rng.standard_normal(len(curve))], 1)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(mask, [fixed(np.concatenate([curve, [[WIDTH + 9, -9], [-9, -9]]]))], 255, cv2.LINE_AA, 4)
    soften(mask, 0.8 if style in ("hat", "bangs") else 1.8)
    colour = cloth_colour(rng) if style == "hat" else looks.hair
    grain = (40, 12) if style != "curly" else (40, 34)
    texture = speckle(rng, (HEIGHT, WIDTH), grain if style != "hat" else (5, 5))
    strength = 1.0 if style != "receding" else 0.92
    blend(chart.image, mask, colour, strength)
    cover = mask * np.float32(1 / 255)
    chart.grain += cover * (0.16 * texture - chart.grain)
    thick = looks.hair_volume if style != "bald" else 0.02
    rough = 1 + (0.35 if style == "curly" else 0.12) * speckle(rng, VOLUME[::-1], (9, 9))
    return cv2.resize(cover, VOLUME, interpolation=cv2.INTER_AREA) * (thick * np.maximum(rough, 0.2))


def cloth_colour(rng: np.random.Generator) -> np.ndarray:
    """Any colour, dark and grey ones more often: [3]."""
    c = rng.uniform(10, 240, 3)
    return c.mean() + (c - c.mean()) * rng.uniform(0, 0.8) if rng.random() < 0.8 else c


def draw_back(canvas: np.ndarray, camera: Camera, looks: Looks, brightness: float, rng: np.random.Generator) -> None:
    """The back of the skull and hair that hangs behind the head, in place."""
    bare = looks.hair_style in ("bald", "hat")
    colour = (looks.skin * 0.8 if bare else looks.hair) * brightness
    middle = camera.project(np.array([0, -0.28, -0.75]))
    size = camera.scale * camera.pose.distance / (camera.pose.distance + 0.5)
    grow = 1 + 0.5 * looks.hair_volume * (not bare)
    soft_polygon(canvas, middle + size * grow * CIRCLE * [0.86, 0.94], colour, 1.0)
    if looks.hair_style not in ("long", "curly"):
        return
    length, w = rng.uniform(0.9, 2.2), rng.uniform(0.95, 1.2) + looks.hair_volume
    right = np.array([[0.5, -1.2], [0.92, -0.8], [w, -0.2], [w * 1.04, 0.5], [w, length], [0.5, length + 0.2]])
    right = right + rng.normal(0, 0.03, right.shape)
    left = right[::-1] * [-1, 1] + rng.normal(0, 0.03, right.shape)
    shape = np.concatenate([right, left])
    outline = camera.project(np.concatenate([shape, np.full((len(shape), 1), -0.85)], 1))
    texture = speckle(rng, canvas.shape[:2], (24, 8))
    soft_polygon(canvas, smooth(outline, True), 0.8 * colour, 1.0, texture=0.2 * texture)


def draw_strands(
    canvas: np.ndarray, covered: np.ndarray, camera: Camera, looks: Looks, brightness: float, rng: np.random.Generator
) -> None:
    """Locks of long hair over the sides of the face; what they hide is marked in `covered` [H, W] uint8."""
    if looks.hair_style not in ("long", "curly"):
        return
    for s in (-1, 1):
        if rng.random() < 0.35 or s * camera.pose.view[0] < -0.25:  # the face hides a lock on its far side
            continue
        inner = rng.uniform(0.62, 0.95)
        end = rng.uniform(0.5, 1.9)
        y = np.array([-0.85, -0.35, 0.15, 0.15 + 0.5 * (end - 0.15), end])
        x_in = np.array([0.25, min(inner + 0.02, 0.75), inner, inner + 0.03, inner + 0.15]) + rng.normal(0, 0.03, 5)
        x_out = np.array([0.6, 0.95, 1.02, 1.08, 1.0]) + looks.hair_volume
        z = np.array([0.05, -0.1, -0.42, -0.4, -0.45])
        shape = np.concatenate([np.stack([s * x_in, y, z], 1), np.stack([s * x_out, y, z - 0.2], 1)[::-1]])
        outline = smooth(camera.project(shape), True)
        texture = speckle(rng, canvas.shape[:2], (30, 8))
        soft_polygon(canvas, outline, looks.hair * brightness, 0.8, texture=0.18 * texture)
        cv2.fillPoly(covered, [fixed(outline)], 255, cv2.LINE_8, 4)
