# SPDX-License-Identifier: Apache-2.0
"""Single results of Label Studio's JSON: labels, positions and rectangles, in per cent of the picture."""

import math
from typing import Any

from data.convert.record import read_number, read_side, shown

Box = tuple[float, float, float, float]


def picture_size(points: list[dict[str, Any]], where: str) -> tuple[int, int] | None:
    """Width and height of the picture that the points are of, None where they are not said. Raises ValueError."""
    sizes = {(read_side(p.get("original_width")), read_side(p.get("original_height"))) for p in points}
    if len(sizes) > 1:
        raise ValueError(f"{where}: its points are of pictures of several sizes; export it again")
    width, height = next(iter(sizes), (None, None))
    return (width, height) if width and height else None


def turned_by(points: list[dict[str, Any]], where: str) -> int:
    """The degrees by which the picture was turned to the right on the screen. Raises ValueError."""
    turns = {turn if isinstance(turn := p.get("image_rotation") or 0, int) else -1 for p in points} or {0}
    if len(turns) > 1 or not turns <= {0, 90, 180, 270}:
        raise ValueError(
            f"{where}: its points have image_rotation {shown(sorted(turns))}; one of 0, 90, 180, 270 is right"
        )
    return turns.pop()


def value_of(result: dict[str, Any], where: str) -> dict[str, Any]:
    """A result's value. Raises ValueError."""
    value = result.get("value")
    if not isinstance(value, dict):
        raise ValueError(f"{where}: a result without its value; export it again")
    return value


def label_of(result: dict[str, Any], where: str) -> str:
    """The one label of a point. Raises ValueError."""
    labels = value_of(result, where).get("keypointlabels", value_of(result, where).get("labels"))
    if not isinstance(labels, list) or len(labels) != 1 or not isinstance(labels[0], str):
        raise ValueError(f"{where}: a point with {shown(labels)} as its label; give each point one label")
    return labels[0]


def position_of(result: dict[str, Any], where: str) -> tuple[float, float]:
    """x and y of a point in per cent of the picture's sides. Raises ValueError."""
    value = value_of(result, where)
    x, y = (read_number(value.get(axis), where, f"{axis} of point {shown(label_of(result, where))}") for axis in "xy")
    return x, y


def envelope_of(result: dict[str, Any], size: tuple[int, int] | None, where: str) -> Box:
    """A rectangle in per cent, upright: one that is rotated about its corner gives the box around it."""
    value = value_of(result, where)
    x, y, w, h = (
        read_number(value.get(side), where, f"{side} of a rectangle") for side in ("x", "y", "width", "height")
    )
    degrees = read_number(value.get("rotation", 0) or 0, where, "rotation of a rectangle", unit="degrees")
    angle = math.radians(degrees)
    if not angle:
        return x, y, w, h
    aspect = size[0] / size[1] if size else 1.0
    corners = [
        (
            i * w * math.cos(angle) - j * h / aspect * math.sin(angle),
            i * w * aspect * math.sin(angle) + j * h * math.cos(angle),
        )
        for i in (0, 1)
        for j in (0, 1)
    ]
    left, top = min(corner[0] for corner in corners), min(corner[1] for corner in corners)
    return x + left, y + top, max(corner[0] for corner in corners) - left, max(corner[1] for corner in corners) - top
