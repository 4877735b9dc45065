# SPDX-License-Identifier: Apache-2.0
"""The columns of a table that hold the box of a face, found by their names."""

from collections.abc import Iterable
from typing import NamedTuple

PREFIXES = ("", "bbox_", "box_", "face_", "rect_")
# Names of four columns, and whether they are corners. Corners come first, and w and h before width and height: a width
# and height beside those are the picture's.
BOXES = (
    (("xmin", "ymin", "xmax", "ymax"), True),
    (("x_min", "y_min", "x_max", "y_max"), True),
    (("min_x", "min_y", "max_x", "max_y"), True),
    (("left", "top", "right", "bottom"), True),
    (("xtl", "ytl", "xbr", "ybr"), True),
    (("x", "y", "w", "h"), False),
    (("left", "top", "w", "h"), False),
    (("x", "y", "width", "height"), False),
    (("left", "top", "width", "height"), False),
    (("x1", "y1", "x2", "y2"), True),
)


class BoxColumns(NamedTuple):
    """The four columns of a box."""

    names: tuple[str, ...]
    corners: bool  # left, top, right, bottom; else x, y, width, height


def find_box(names: Iterable[str]) -> BoxColumns | None:
    """Those of the box among a table's names, in lower case; None where there is none."""
    there = set(names)
    for sides, corners in BOXES:
        for prefix in PREFIXES:
            found = tuple(prefix + side for side in sides)
            # x1, y1, x2, y2 are landmarks where there are x0 or x3.
            numbered = sides[0] == "x1" and {f"{prefix}x0", f"{prefix}x3"} & there
            if there.issuperset(found) and not numbered:
                return BoxColumns(found, corners)
    return None
