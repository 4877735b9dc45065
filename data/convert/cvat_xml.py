# SPDX-License-Identifier: Apache-2.0
"""CVAT's "CVAT for images 1.1" XML: points, skeletons, and boxes around them."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

from data.convert.cvat_parts import (
    check_skeletons,
    count_points,
    label_of,
    point_names,
    shapes_of_faces,
    usual_parts,
)  # fmt: skip
from data.convert.faces import ConvertedFace
from data.convert.markup import Element, faces_of, read_xml
from data.convert.record import NOT_LABELLED, OCCLUDED, VISIBLE, Options, Record, read_number, read_side, shown
from data.source import Findings

SUFFIXES = (".xml",)
ABOUT = "CVAT's XML for images"
DEFAULT = "default"  # subset of tasks that nobody has put into one
Box = tuple[float, float, float, float]
Points = dict[str, tuple[float, float, int]]


def recognises(path: Path, head: bytes) -> bool:
    """Whether the first bytes of a file are this format's."""
    del path
    return b"<annotations" in head and b"imglab" not in head


def read(path: Path, options: Options, findings: Findings) -> list[Record]:
    """The faces of a file; faults of single ones are collected.

    Raises:
        ValueError: it is no such file at all, or one for videos, or its skeletons are of several kinds of things.
    """
    root = read_xml(path)
    if root.tag != "annotations":
        raise ValueError(f"{path}: its root is <{root.tag}>, CVAT's is <annotations>; is it of another tool?")
    if next(root.all("track"), None):
        raise ValueError(f"{path}: this is CVAT for video, which names no pictures; export 'CVAT for images 1.1'")
    check_skeletons(path, root.all("image"), options.category)
    usual = usual_parts(root.all("image"))
    return faces_of(root.all("image"), lambda image: _faces(path, image, usual, options.category, findings), findings)


def _faces(path: Path, image: Element, usual: Mapping[str, int], category: str, findings: Findings) -> list[Record]:
    """The faces of an image: its skeletons, those of a `category` where it is not '', and what `cvat_parts` makes of
    its points.
    """
    name = image.attributes.get("name", "")
    if not name:
        raise ValueError(f"{path}:{image.line}: an image without its name; name it")
    width, height = (read_side(image.attributes.get(side)) for side in ("width", "height"))
    boxes = [(box, _box(path, box)) for box in image.all("box")]
    skeletons = list(image.all("skeleton"))
    chosen = [shape for shape in skeletons if not category or label_of(shape) == category]
    findings.counts["skeletons_of_other_labels_left_out"] += len(skeletons) - len(chosen)
    faces = [(shape, _skeleton(path, shape), False) for shape in chosen]
    for shapes in shapes_of_faces(path, image):
        points: Points = {}
        for shape in shapes:
            named = dict(zip(point_names(path, shape, usual), _points(path, shape), strict=True))
            if twice := points.keys() & named.keys():
                raise ValueError(f"{path}:{shape.line}: two points would be called {shown(min(twice))}; rename a label")
            points |= named
        faces.append((shapes[0], points, not usual and count_points(shapes[0]) > 1))
    for shape in image.children:
        if shape.tag not in ("skeleton", "points", "box", "tag"):
            findings.counts[f"{shape.tag}_shapes_left_out"] += 1
    size, split = (width, height) if width and height else None, image.attributes.get("subset", "").strip()
    records = []
    for shape, points, positional in faces:
        fields = {field.attributes.get("name", ""): field.text.strip() for field in shape.all("attribute")}
        records.append(
            Record(
                f"{path}:{shape.line}: <{shape.tag}> of {name}",
                path,
                name,
                points,
                _around(shape, points, boxes),
                size,
                "" if split.lower() == DEFAULT else split,
                "subset",
                image.attributes | shape.attributes | fields,
                positional=positional,
            )
        )
    return records


def _skeleton(path: Path, shape: Element) -> Points:
    skeleton: Points = {}
    for point in shape.all("points"):
        label, where = point.attributes.get("label", ""), f"{path}:{point.line}"
        if not label or label in skeleton:
            raise ValueError(
                f"{where}: {'two points' if label else 'a point'} named {shown(label)} in a skeleton; name each once"
            )
        found = _points(path, point)
        if len(found) != 1:
            raise ValueError(f"{where}: {len(found)} positions of the point {shown(label)}; a skeleton has one of each")
        skeleton[label] = found[0]
    return skeleton


def _points(path: Path, shape: Element) -> list[tuple[float, float, int]]:
    where, visible = f"{path}:{shape.line}", VISIBLE
    if shape.attributes.get("occluded") == "1":
        visible = OCCLUDED
    if shape.attributes.get("outside") == "1":
        visible = NOT_LABELLED
    points = []
    for k, pair in enumerate(shape.attributes.get("points", "").split(";")):
        parts = pair.split(",")
        if len(parts) != 2:
            raise ValueError(f"{where}: point {k} is {shown(pair)} instead of x,y; export it again")
        points.append(
            (read_number(parts[0], where, f"x of point {k}"), read_number(parts[1], where, f"y of point {k}"), visible)
        )
    return points


def _box(path: Path, box: Element) -> Box:
    """x, y, w, h; of one that is rotated about its centre, of the upright box around it."""
    left, top, right, bottom = (
        read_number(box.attributes.get(side, ""), f"{path}:{box.line}", side) for side in ("xtl", "ytl", "xbr", "ybr")
    )
    width, height = right - left, bottom - top
    degrees = read_number(box.attributes.get("rotation", "0"), f"{path}:{box.line}", "rotation", unit="degrees")
    angle = math.radians(degrees)
    across, along = abs(math.cos(angle)), abs(math.sin(angle))
    wide, high = width * across + height * along, width * along + height * across
    return left + (width - wide) / 2, top + (height - high) / 2, wide, high


def _around(shape: Element, points: Points, boxes: list[tuple[Element, Box]]) -> Box | None:
    """The box of a face: that of its group, else the smallest that holds all its points."""
    group = shape.attributes.get("group_id", "0")
    own = [box for element, box in boxes if group != "0" and element.attributes.get("group_id") == group]
    labelled = [(x, y) for x, y, visible in points.values() if visible]
    around = own or [
        (x, y, w, h) for _, (x, y, w, h) in boxes if all(x <= px <= x + w and y <= py <= y + h for px, py in labelled)
    ]
    return min(around, key=lambda box: box[2] * box[3], default=None)


def write(folder: Path, split: str, faces: Sequence[ConvertedFace], names: Sequence[str], findings: Findings) -> None:
    """Writes `folder/<split>.xml`: each face a skeleton and a box, which one group holds together."""
    del findings
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "<version>1.1</version>"]
    by_picture: dict[str, list[ConvertedFace]] = {}
    for face in faces:
        by_picture.setdefault(face.picture.name, []).append(face)
    for number, (name, group) in enumerate(by_picture.items()):
        width, height = group[0].picture.size
        lines.append(f'<image id="{number}" name={quoteattr(name)} width="{width}" height="{height}">')
        for together, face in enumerate(group, 1):
            x, y, w, h = face.box
            corners = f'xtl="{x:.8g}" ytl="{y:.8g}" xbr="{x + w:.8g}" ybr="{y + h:.8g}"'
            lines.append(f'<box label="box" source="manual" occluded="0" {corners} z_order="0" group_id="{together}"/>')
            lines.append(f'<skeleton label="face" source="manual" z_order="0" group_id="{together}">')
            for label, (px, py), visible in zip(names, face.points, face.visible, strict=True):
                at = f"{px:.8g},{py:.8g}" if visible else "0,0"
                state = f'outside="{int(not visible)}" occluded="{int(visible == OCCLUDED)}"'
                lines.append(f'<points label={quoteattr(label)} source="manual" {state} points="{at}"/>')
            lines.append("</skeleton>")
        lines.append("</image>")
    (folder / f"{split}.xml").write_text("\n".join([*lines, "</annotations>", ""]), encoding="utf-8")
