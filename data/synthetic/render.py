# SPDX-License-Identifier: Apache-2.0
"""Wraps a painted chart onto the posed head and draws it into the picture."""

import cv2
import numpy as np

from data.synthetic.camera import Camera
from data.synthetic.chart import HEIGHT, WIDTH, Chart, soft_polygon
from data.synthetic.head import THETA_MAX, Head
from data.synthetic.light import Light
from data.synthetic.looks import Looks

COARSE = (WIDTH // 2, HEIGHT // 2)       # columns, rows where the surface is computed
FINE = (WIDTH * 9 // 8, HEIGHT * 9 // 8)  # columns, rows that are thrown onto the picture


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.sqrt((vectors ** 2).sum(-1, keepdims=True)), 1e-9)


def surface_normals(places: np.ndarray) -> np.ndarray:
    """Outward unit normals of a surface grid [n, m, 3]."""
    return unit(np.cross(np.gradient(places, axis=1), np.gradient(places, axis=0)))


def place_surface(head: Head, hair: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The surface on the coarse grid [rows, columns, 3] with the hair's volume, and its normals."""
    columns, rows = COARSE
    theta = ((np.arange(columns) + 0.5) / columns * 2 - 1) * THETA_MAX
    y = head.top_y + (np.arange(rows) + 0.5) / rows * (head.chin_y - head.top_y)
    places = head.grid(theta, y)
    middle = np.array([0, -0.3, -0.72])
    thick = cv2.resize(hair, COARSE, interpolation=cv2.INTER_AREA)[..., None] * np.clip(1.2 - y, 0, 1)[:, None, None]
    places = places + (places - middle) * thick
    return places, surface_normals(places)


def visible_chart(points: np.ndarray, view: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Which place of the chart each pixel shows.

    points: [rows, columns, 2] float32 pixel positions of the coarse grid; view: [3] direction to the camera in the head's frame.
    Places are thrown onto the picture from the far side of the head to the near one, and the last one stays: for a surface around
    a vertical axis that is the painter's order. Returns chart positions [size, size, 2] float32 and coverage [size, size] 0..1.
    """
    columns, rows = FINE
    fine = cv2.resize(points, FINE, interpolation=cv2.INTER_LINEAR)
    theta = ((np.arange(columns) + 0.5) / columns * 2 - 1) * THETA_MAX
    order = np.argsort(-np.abs(theta - np.arctan2(view[0], view[2])), kind='stable')
    down = np.arange(rows) if view[1] > 0 else np.arange(rows)[::-1]
    cell = np.clip(np.rint(fine), -1, size).astype(np.int32) + 1
    flat = (cell[..., 1] * (size + 2) + cell[..., 0])[down][:, order].T.ravel()
    shown = np.full((size + 2) ** 2, -1, np.int32)
    shown[flat] = (down[None, :] * columns + order[:, None]).ravel().astype(np.int32)
    shown = shown.reshape(size + 2, size + 2)[1:-1, 1:-1]
    hit = (shown >= 0).astype(np.float32)
    layers = np.stack([(shown % columns) * hit, (shown // columns) * hit, hit], -1).astype(np.float32)
    spread = cv2.blur(layers, (3, 3))
    where = spread[..., :2] / np.maximum(spread[..., 2:], 1e-6)
    solid = cv2.morphologyEx((spread[..., 2] > 0.3).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    coverage = np.clip(cv2.GaussianBlur(solid.astype(np.float32), (0, 0), 1.2) * 2.2 - 0.6, 0, 1)
    where = (where + 0.5) * (8 / 9) - 0.5
    return np.ascontiguousarray(where), coverage


def draw_head(canvas: np.ndarray, chart: Chart, hair: np.ndarray, camera: Camera, light: Light) -> np.ndarray:
    """Draws the head into `canvas` [S, S, 3] uint8 in place. Returns the chart position that each pixel shows [S, S, 2], NaN off the head."""
    places, normals = place_surface(chart.head, hair)
    points = camera.project(places).astype(np.float32)
    turned = normals @ camera.pose.rotation.T
    shade = cv2.resize(light.shade(turned), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    lit = np.clip(chart.image * shade, 0, 255).astype(np.uint8)
    where, coverage = visible_chart(points, camera.pose.view, canvas.shape[0])
    face = cv2.remap(lit, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mixed = canvas + (face.astype(np.float32) - canvas) * coverage[..., None]
    canvas[...] = mixed.astype(np.uint8)
    where[coverage < 0.05] = np.nan
    return where


def draw_ear(canvas: np.ndarray, head: Head, camera: Camera, looks: Looks, light: Light, side: int, front: bool) -> None:
    """The ear of one side (-1 left, 1 right), if it belongs in front of the head (`front`) or behind it, in place."""
    width = head.who.face_width
    outwards = unit(np.array([side * 0.5, 0.0, -0.85]))
    facing = np.array([side * 0.85, 0.0, 0.5]) @ camera.pose.view > 0.25 and side * camera.pose.view[0] > 0.25
    if facing != front:
        return
    a = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    middle = np.array([side * 0.9 * width, 0.3, -0.74 * head.who.depth])

    def ring(r: float) -> np.ndarray:
        shape = np.outer(0.16 * r * np.cos(a), outwards) + np.outer(0.29 * r * np.sin(a), [0, 1, 0])
        shape[:, 2] += 0.1 * r * np.sin(a) * 0.7   # the lobe lies in front of the upper edge
        return camera.project(middle + shape * [1, 1, 1])
    normal = np.array([side * 0.85, 0.0, 0.5]) @ camera.pose.rotation.T
    shade = light.shade(normal)
    soft_polygon(canvas, ring(1.0), np.clip(looks.skin * shade, 0, 255), 0.6)
    soft_polygon(canvas, ring(0.55), np.clip(looks.skin * shade * [0.62, 0.52, 0.5], 0, 255), 1.2, 0.7)


def draw_body(canvas: np.ndarray, head: Head, camera: Camera, looks: Looks, light: Light, cloth: np.ndarray, lean: float) -> None:
    """Neck and shoulders, in place; `lean` moves the shoulders sideways, in head units."""
    s = camera.scale
    top = camera.project(np.array([0, 0.75, -0.75]))
    chin = camera.project(np.array([0, head.chin_y, -0.1]))
    down = np.array([lean * s, 1.15 * s])
    half = 0.53 * s * head.who.face_width
    skin = np.clip(looks.skin * light.shade(unit(np.array([0.0, 0.35, 0.9]))), 0, 255)
    bottom = top + down
    neck = np.array([top + [-half, 0], top + [half, 0], bottom + [half * 1.15, 0], bottom + [half * 1.15, s], bottom + [-half * 1.15, s], bottom + [-half * 1.15, 0]])
    soft_polygon(canvas, neck, skin * 0.85, 1.0)
    soft_polygon(canvas, np.array([chin + [-0.6 * s, -0.5 * s], chin + [0.6 * s, -0.5 * s], chin + [0.3 * s, 0.2 * s], chin + [-0.3 * s, 0.2 * s]]), skin * 0.45, 0.07 * s, 0.8)
    edge = np.array([[-2.2, 0.75], [-1.3, 0.45], [-0.62, 0.18], [-0.3, 0.5], [0.0, 0.75], [0.3, 0.5], [0.62, 0.18], [1.3, 0.45], [2.2, 0.75], [2.6, 3.0], [-2.6, 3.0]])
    soft_polygon(canvas, bottom + edge * s, cloth * light.brightness, 0.8)
