# SPDX-License-Identifier: Apache-2.0
"""The renderer: a painted chart wrapped onto the posed head and drawn into the picture."""

import cv2
import numpy as np

from data.synthetic.camera import Camera
from data.synthetic.chart import CIRCLE, HEIGHT, VOLUME, WIDTH, Chart, soft_polygon
from data.synthetic.head import THETA_MAX, Head
from data.synthetic.light import Light
from data.synthetic.looks import Looks

COARSE = (76, 72)  # columns, rows where the surface is computed
FINE = (240, 188)  # columns, rows that are thrown onto the picture


def spread_angle(u: np.ndarray) -> np.ndarray:
    """Angle of the grid's column u in -1..1: columns lie thrice as dense at the nose, whose sides are steep."""
    return THETA_MAX * (0.35 * u + 0.65 * u**3)


def cells(n: int) -> np.ndarray:
    """Centres of n cells of -1..1."""
    return (np.arange(n) + 0.5) / n * 2 - 1


def fixed_maps(columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps for cv2.remap, in its quick fixed-point form, that read column `columns[j]` and row `rows[i]` for pixel
    (i, j).
    """
    across, down = np.meshgrid(columns, rows)
    return cv2.convertMaps(across.astype(np.float32), down.astype(np.float32), cv2.CV_16SC2)


# Where the coarse grid lies on the chart of hair, and the chart on the coarse grid: maps for cv2.remap.
GRID_TO_VOLUME = fixed_maps(
    (spread_angle(cells(COARSE[0])) / THETA_MAX + 1) / 2 * VOLUME[0] - 0.5,
    (cells(COARSE[1]) + 1) / 2 * VOLUME[1] - 0.5,
)
CHART_TO_GRID = fixed_maps(
    np.interp(cells(WIDTH) * THETA_MAX, spread_angle(cells(COARSE[0])), np.arange(COARSE[0])),
    (cells(HEIGHT) + 1) / 2 * COARSE[1] - 0.5,
)
# The fine grid's places, column by column: their number, and by number the chart position they show (the last:
# nothing).
NUMBERS = np.arange(FINE[0] * FINE[1], dtype=np.int32).reshape(FINE)
FINE_ANGLES, COARSE_ANGLES = spread_angle(cells(FINE[0])), spread_angle(cells(COARSE[0]))
COLUMN_OF = np.append(np.repeat((FINE_ANGLES / THETA_MAX + 1) / 2 * WIDTH - 0.5, FINE[1]), 0).astype(np.float32)
ROW_OF = np.append(np.tile((cells(FINE[1]) + 1) / 2 * HEIGHT - 0.5, FINE[0]), 0).astype(np.float32)
COARSE_SHARES = (cells(COARSE[1]) + 1) / 2
NEIGHBOURS = np.ones((3, 3), np.uint8)
STEEPER = np.clip(np.arange(256) / 255 * 2.2 - 0.6, 0, 1).astype(np.float32)  # makes a blurred outline crisp


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., 3] at length 1."""
    return vectors / np.maximum(np.sqrt((vectors**2).sum(-1, keepdims=True)), 1e-9)


def surface_normals(places: np.ndarray) -> np.ndarray:
    """Outward unit normals of a surface grid [n, m, 3]."""
    # Central differences; the outermost rows and columns repeat their neighbours.
    across, down = places[1:-1, 2:] - places[1:-1, :-2], places[2:, 1:-1] - places[:-2, 1:-1]
    (ax, ay, az), (dx, dy, dz) = np.moveaxis(across, -1, 0), np.moveaxis(down, -1, 0)
    normals = unit(np.stack([ay * dz - az * dy, az * dx - ax * dz, ax * dy - ay * dx], -1).astype(np.float32))
    return cv2.copyMakeBorder(normals, 1, 1, 1, 1, cv2.BORDER_REPLICATE)


def place_surface(head: Head, hair: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The surface on the coarse grid [rows, columns, 3] with the hair's volume, and its normals."""
    y = head.top_y + COARSE_SHARES * (head.chin_y - head.top_y)
    places = head.grid(COARSE_ANGLES, y)
    middle = np.array([0, -0.3, -0.72], np.float32)
    thick = (
        cv2.remap(hair, *GRID_TO_VOLUME, cv2.INTER_LINEAR)[..., None]
        * np.clip(1.2 - y, 0, 1).astype(np.float32)[:, None, None]
    )
    places = places + (places - middle) * thick
    return places, surface_normals(places)


def visible_chart(points: np.ndarray, facing: np.ndarray, view: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Which place of the chart each pixel shows.

    Places are thrown onto the picture from the far side of the head to the near one, and the last one stays: for a
    surface around a vertical axis that is the painter's order.

    Args:
        points: [rows, columns, 2] float32, pixel positions of the coarse grid.
        facing: [rows, columns] float32, the part of its unit normals that points to the camera.
        view: [3], direction to the camera in the head's frame.
        size: side of the picture in pixels.

    Returns:
        Chart positions [size, size, 2] float32, and coverage [size, size] 0..1.
    """
    columns, rows = FINE
    upwards = view[1] <= 0
    layers = [points[..., 0], points[..., 1], facing]
    across, down, towards = (
        cv2.resize(np.ascontiguousarray(layer[::-1].T if upwards else layer.T), (rows, columns)) for layer in layers
    )
    for pixel in (across, down):
        pixel += 1.5
        np.minimum(np.maximum(pixel, 0, out=pixel), size + 1, out=pixel)
    flat = down.astype(np.int32)
    flat *= size + 2
    flat += across.astype(np.int32)
    # The back of the head must not show through the gaps that stretched columns leave.
    flat[towards < -0.2] = 0
    number = NUMBERS[:, ::-1] if upwards else NUMBERS
    shown = np.full((size + 2) ** 2, rows * columns, np.int32)
    middle = int(np.searchsorted(FINE_ANGLES, np.arctan2(view[0], view[2])))
    shown[flat[:middle].ravel()] = number[:middle].ravel()
    shown[flat[middle:][::-1].ravel()] = number[middle:][::-1].ravel()
    shown = shown.reshape(size + 2, size + 2)[1:-1, 1:-1]
    own_column, own_row = COLUMN_OF.take(shown), ROW_OF.take(shown)
    hit = (shown < rows * columns).astype(np.float32)
    column, row, share = (cv2.blur(layer, (3, 3)) for layer in (own_column, own_row, hit))
    weight = 1 / np.maximum(share, 1e-6)
    column *= weight
    row *= weight
    # Where a near part borders on a far one (nose on cheek) the mean of both would be a third place.
    # A pixel that nothing hit takes a neighbour's place there.
    missed = hit == 0
    for own in (own_column, own_row):
        np.copyto(own, cv2.dilate(own, NEIGHBOURS), where=missed)
    torn = cv2.max(cv2.absdiff(column, own_column), cv2.absdiff(row, own_row)) > 3
    np.copyto(column, own_column, where=torn)
    np.copyto(row, own_row, where=torn)
    solid = cv2.morphologyEx((share > 0.3).astype(np.uint8), cv2.MORPH_CLOSE, NEIGHBOURS) * np.uint8(255)
    coverage = cv2.LUT(cv2.blur(cv2.blur(solid, (3, 3)), (3, 3)), STEEPER)
    return cv2.merge([column, row]), coverage


def draw_head(
    canvas: np.ndarray, chart: Chart, hair: np.ndarray, camera: Camera, light: Light
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the head into `canvas` [S, S, 3] uint8 in place.

    Returns the chart position that each pixel shows [S, S, 2] and the coverage [S, S] 0..1.
    """
    places, normals = place_surface(chart.head, hair)
    points = camera.project(places).astype(np.float32)
    turned = normals @ camera.pose.rotation.T.astype(np.float32)
    # Factors as bytes, 80 standing for 1: OpenCV multiplies bytes several times quicker than floats.
    shade = cv2.convertScaleAbs(light.shade(turned), alpha=80)
    shade = cv2.remap(shade, *CHART_TO_GRID, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    grain = cv2.convertScaleAbs(chart.grain, alpha=128, beta=128)
    lit = cv2.multiply(cv2.multiply(chart.image, cv2.merge([grain] * 3), scale=1 / 128), shade, scale=1 / 80)
    where, coverage = visible_chart(points, turned[..., 2], camera.pose.view, canvas.shape[0])
    face = cv2.remap(lit, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    canvas[...] = cv2.blendLinear(face, canvas, coverage, 1 - coverage)
    return where, coverage


def draw_ear(
    canvas: np.ndarray, head: Head, camera: Camera, looks: Looks, light: Light, side: int, front: bool
) -> None:
    """The ear of one side (-1 left, 1 right), if it belongs in front of the head (`front`) or behind it, in place."""
    width = head.who.face_width
    outwards = unit(np.array([side * 0.5, 0.0, -0.85]))
    facing = np.array([side * 0.85, 0.0, 0.5]) @ camera.pose.view > 0.25 and side * camera.pose.view[0] > 0.25
    if facing != front:
        return
    middle = np.array([side * 0.9 * width, 0.3, -0.74 * head.who.depth])

    def ring(r: float) -> np.ndarray:
        shape = np.outer(0.16 * r * CIRCLE[:, 0], outwards) + np.outer(
            0.29 * r * CIRCLE[:, 1], [0, 1, 0.24]
        )  # the lobe lies in front
        return camera.project(middle + shape)

    normal = np.array([side * 0.85, 0.0, 0.5]) @ camera.pose.rotation.T
    shade = light.shade(normal)
    soft_polygon(canvas, ring(1.0), np.clip(looks.skin * shade, 0, 255), 0.6)
    soft_polygon(canvas, ring(0.55), np.clip(looks.skin * shade * [0.62, 0.52, 0.5], 0, 255), 1.2, 0.7)


def draw_body(
    canvas: np.ndarray,
    head: Head,
    camera: Camera,
    looks: Looks,
    light: Light,
    cloth: np.ndarray,
    lean: float,
    drop: float,
) -> None:
    """Neck and shoulders, in place.

    `lean` moves the shoulders sideways, `drop` is the length of the neck, in head units.
    """
    s = camera.scale
    top = camera.project(np.array([0, 0.75, -0.75]))
    chin = camera.project(np.array([0, head.chin_y, -0.1]))
    down = np.array([lean * s, drop * s])
    half = 0.53 * s * head.who.face_width
    skin = np.clip(looks.skin * light.shade(unit(np.array([0.0, 0.35, 0.9]))), 0, 255)
    bottom = top + down
    neck = np.array(
        [
            top + [-half, 0],
            top + [half, 0],
            bottom + [half * 1.15, 0],
            bottom + [half * 1.15, s],
            bottom + [-half * 1.15, s],
            bottom + [-half * 1.15, 0],
        ]
    )
    soft_polygon(canvas, neck, skin * 0.85, 1.0)
    soft_polygon(
        canvas,
        np.array(
            [
                chin + [-0.6 * s, -0.5 * s],
                chin + [0.6 * s, -0.5 * s],
                chin + [0.3 * s, 0.2 * s],
                chin + [-0.3 * s, 0.2 * s],
            ]
        ),
        skin * 0.45,
        0.07 * s,
        0.8,
    )
    edge = np.array(
        [
            [-2.2, 0.75],
            [-1.3, 0.45],
            [-0.62, 0.18],
            [-0.3, 0.5],
            [0.0, 0.75],
            [0.3, 0.5],
            [0.62, 0.18],
            [1.3, 0.45],
            [2.2, 0.75],
            [2.6, 3.0],
            [-2.6, 3.0],
        ]
    )
    soft_polygon(canvas, bottom + edge * s, cloth * light.brightness, 0.8)
