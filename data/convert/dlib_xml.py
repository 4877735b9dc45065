# SPDX-License-Identifier: Apache-2.0
"""dlib's imglab XML: <image file><box top left width height><part name x y/></box></image>."""

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from data.convert.faces import ConvertedFace
from data.convert.markup import Element, faces_of, read_xml
from data.convert.record import VISIBLE, Options, Record, read_number, read_side, shown
from data.source import Findings

SUFFIXES = (".xml",)
ABOUT = "dlib's imglab XML"


def recognises(path: Path, head: bytes) -> bool:
    """Whether the first bytes of a file are this format's."""
    del path
    return b"<dataset" in head and b"<image" in head


def read(path: Path, options: Options, findings: Findings) -> list[Record]:
    """The faces of a file; faults of single ones are collected. Raises ValueError when it is no such file at all."""
    del options
    root = read_xml(path)
    if root.tag != "dataset":
        raise ValueError(f"{path}: its root is <{root.tag}>, imglab's is <dataset>; is it of another tool?")
    images = (image for group in root.all("images") for image in group.all("image"))
    return faces_of(images, lambda image: _faces(path, image, findings), findings)


def _faces(path: Path, image: Element, findings: Findings) -> list[Record]:
    file = image.attributes.get("file", "")
    if not file:
        raise ValueError(f"{path}:{image.line}: an image without its file; name it")
    width, height = (read_side(image.attributes.get(side)) for side in ("width", "height"))
    records = []
    for box in image.all("box"):
        where = f"{path}:{box.line}: a box of {file}"
        if box.attributes.get("ignore") == "1":
            findings.counts["boxes_marked_ignore_left_out"] += 1
            continue
        x, y, w, h = (_number(box, side, where) for side in ("left", "top", "width", "height"))
        points: dict[str, tuple[float, float, int]] = {}
        for part in box.all("part"):
            name = part.attributes.get("name", "")
            if not name or name in points:
                which = "two parts" if name else "a part"
                raise ValueError(f"{path}:{part.line}: {which} named {shown(name)} in a box; name each once")
            points[name] = (_number(part, "x", where), _number(part, "y", where), VISIBLE)
        size = (width, height) if width and height else None
        label = {label.tag: label.text.strip() for label in box.all("label")}
        records.append(Record(where, path, file, points, (x, y, w, h), size, fields=image.attributes | label))
    return records


def _number(element: Element, name: str, where: str) -> float:
    value = element.attributes.get(name)
    if value is None:
        raise ValueError(f"{where} has a <{element.tag}> without {name}; add it")
    return read_number(value, where, f"{name} of a <{element.tag}>")


def write(folder: Path, split: str, faces: Sequence[ConvertedFace], names: Sequence[str], findings: Findings) -> None:
    """Writes `folder/<split>.xml`. Points that are not labelled have no part; which are occluded is not kept.

    dlib reads whole pixels alone, and takes the parts in the order of their names as texts: numbers are padded with
    zeros, as imglab does.
    """
    digits = max(map(len, names), default=0) if all(map(str.isdecimal, names)) else 0
    parts = [name.zfill(digits) for name in names]
    if parts != sorted(parts):
        findings.notes.append("dlib takes the points in the order of their names as texts, not in that of the source")
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<dataset>", f"<name>{split}</name>", "<images>"]
    by_picture: dict[str, list[ConvertedFace]] = {}
    for face in faces:
        by_picture.setdefault(face.picture.name, []).append(face)
    for name, group in by_picture.items():
        width, height = group[0].picture.size
        lines.append(f'<image file={quoteattr(f"images/{name}")} width="{width}" height="{height}">')
        for face in group:
            (left, top), (right, bottom) = np.rint(face.box[:2]), np.rint(face.box[:2] + face.box[2:])
            sides = f'width="{max(right - left, 1):.0f}" height="{max(bottom - top, 1):.0f}"'
            lines.append(f'<box top="{top:.0f}" left="{left:.0f}" {sides}>')
            for part, (px, py), visible in zip(parts, np.rint(face.points), face.visible, strict=True):
                if visible:
                    lines.append(f'<part name={quoteattr(part)} x="{px:.0f}" y="{py:.0f}"/>')
            lines.append("</box>")
            points = face.points[face.visible > 0]
            findings.counts["points_rounded_to_whole_pixels"] += int((np.rint(points) != points).any(axis=1).sum())
            findings.counts["boxes_rounded_to_whole_pixels"] += int((np.rint(face.box) != face.box).any())
            findings.counts["occluded_points_written_as_visible"] += int((face.visible == 1).sum())
        lines.append("</image>")
    (folder / f"{split}.xml").write_text("\n".join([*lines, "</images>", "</dataset>", ""]), encoding="utf-8")
