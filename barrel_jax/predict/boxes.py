# SPDX-License-Identifier: Apache-2.0
"""Boxes of faces by picture, from a file: x, y, w, h in source pixels (the left edge of the first column is 0)."""

import difflib
import json
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from barrel_jax.files import readable_name
from barrel_jax.predict.box_tables import Row, read_table, read_text


@dataclass
class PictureBoxes:
    """The boxes of one picture."""

    boxes: list[np.ndarray] = field(default_factory=list)  # x, y, w, h [4]
    faces: list[int | None] = field(default_factory=list)  # the id that the file gives each, if it does
    size: tuple[int, int] | None = None  # width and height of the picture, as the file has them


@dataclass
class BoxFile:
    """What a file of boxes says."""

    path: Path
    pictures: dict[str, PictureBoxes]  # by the picture's file name, with its folders if they are given
    faults: list[str]  # a line for every record that is no box

    def of(self, path: Path) -> tuple[str, PictureBoxes]:
        """What is said of the picture at a path, under its name there.

        Raises ValueError where nothing is, or of several pictures of that name; names what is near.
        """
        name = _composed(readable_name(path))
        found = [key for key in self.pictures if name in _lasts(key)]
        if len(found) > 1:
            whole = _composed(str(path.absolute()))
            longest = max(_common(key, whole) for key in found)
            found = [key for key in found if _common(key, whole) == longest]
        if len(found) == 1:
            return found[0], self.pictures[found[0]]
        if found:
            raise ValueError(f"{path}: {self.path} has boxes of {' and '.join(found[:3])}; predict them apart")
        folded = {last.casefold(): key for key in self.pictures for last in _lasts(key)}
        near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.8)
        meant = f"; it has {folded[near[0]]}: give one the other's name" if near else ""
        raise ValueError(f"{path}: no boxes for it in {self.path}{meant}")

    def unused(self, paths: list[Path]) -> list[str]:
        """The names of pictures with boxes that are not among the paths."""
        there = {_composed(readable_name(path)) for path in paths}
        return [key for key, picture in self.pictures.items() if picture.boxes and there.isdisjoint(_lasts(key))]


def read_boxes(file: Path) -> BoxFile:
    """Reads one of four kinds of file; records that are no box are faults, and the others are kept.

    `.json` is {"file name": [[x, y, w, h], ...]}, COCO's annotations (images, annotations with bbox), whose ids are
    kept, or `points.json` of `barrel_jax.predict`; `.csv` is a table (box_tables.py).

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is of another kind, or holds no box at all.
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file of boxes")
    suffix = file.suffix.lower()
    if suffix not in (".csv", ".tsv", ".json"):
        raise ValueError(f"{file}: boxes come in a .json or .csv file")
    pictures: dict[str, PictureBoxes] = {}
    faults: list[str] = []
    for row in _json_rows(file, pictures, faults) if suffix == ".json" else read_table(file):
        if not isinstance(row.name, str) or not row.name:
            faults.append(f"{file}, {row.where}: no name of a picture")
            continue
        picture = pictures.setdefault(row.name, PictureBoxes())
        if row.box is None:
            continue
        if fault := _fault(row.box):
            faults.append(f"{file}, {row.where}: {fault}")
            continue
        picture.boxes.append(np.array(row.box, np.float64))
        picture.faces.append(row.face)
    if faults and not any(picture.boxes for picture in pictures.values()):
        more = f" (and {len(faults) - 1} more such records; none is a box)" if len(faults) > 1 else ""
        raise ValueError(f"{faults[0]}{more}")
    return BoxFile(file, pictures, faults)


def _fault(box: Any) -> str:
    """What is wrong with a box, '' when nothing is."""
    said = str(box)[:80]
    try:
        numbers = np.array(box, np.float64)
    except (TypeError, ValueError, OverflowError):
        numbers = np.zeros(0)
    if numbers.shape != (4,) or not np.isfinite(numbers).all() or (numbers[2:] <= 0).any():
        return f"{said} is no box: give x, y, w, h, with w and h above 0, or leave it out"
    if (numbers[2:] < 1).any():
        why = "; are these fractions of the picture's sides? Give pixels" if (numbers <= 1.5).all() else ""
        return f"{said} is a box below a pixel{why}"
    return ""


def _json_rows(file: Path, pictures: dict[str, PictureBoxes], faults: list[str]) -> list[Row]:
    try:
        content = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            str(error) if str(file) in str(error) else f"{file}: not JSON: {error}; correct it, or write it anew"
        ) from error
    if isinstance(content, list) and all(isinstance(record, dict) for record in content):
        return [
            Row(f"record {number} (from 0)", record.get("file", ""), record.get("box", "nothing"), _id(record, "face"))
            for number, record in enumerate(content)
        ]
    if not isinstance(content, dict):
        raise ValueError(f"{file}: neither an object of boxes by file name, nor COCO's annotations, nor points.json")
    if {"images", "annotations"} <= content.keys():
        return _coco_rows(file, content, pictures, faults)
    rows = []
    for name, boxes in content.items():
        if not isinstance(boxes, list):
            faults.append(f"{file}, {name!r}: {str(boxes)[:80]!r} is no list of boxes [[x, y, w, h], ...]")
            continue
        rows += [Row(repr(name), name, None)]
        rows += [Row(f"{name!r}, box {number}", name, box) for number, box in enumerate(boxes)]
    return rows


def _coco_rows(file: Path, content: dict[str, Any], pictures: dict[str, PictureBoxes], faults: list[str]) -> list[Row]:
    names, rows = {}, []
    if not isinstance(content["images"], list) or not isinstance(content["annotations"], list):
        raise ValueError(f"{file}: images and annotations are not lists, as COCO writes them")
    for number, image in enumerate(content["images"]):
        if not isinstance(image, dict) or not isinstance(image.get("file_name"), str) or _id(image, "id") is None:
            faults.append(f"{file}, images: number {number} (from 0) has no id and file_name, as COCO writes them")
            continue
        name = names[image["id"]] = image["file_name"]
        sides = [side for side in (image.get("width"), image.get("height")) if type(side) is int]
        pictures[name] = PictureBoxes(size=(sides[0], sides[1]) if len(sides) == 2 else None)
    for number, annotation in enumerate(content["annotations"]):
        if not isinstance(annotation, dict):
            faults.append(f"{file}, annotations: number {number} (from 0) is no object")
            continue
        where = f"annotation {annotation.get('id', number)}"
        name = names.get(_id(annotation, "image_id"))
        if name is None:
            faults.append(f"{file}, {where}: its image_id is that of no image, as COCO writes it")
        elif not annotation.get("iscrowd"):
            rows.append(Row(where, name, annotation.get("bbox", "nothing"), _id(annotation, "id")))
    return rows


def _id(record: dict[str, Any], name: str) -> int | None:
    return record[name] if type(record.get(name)) is int else None


def _composed(name: str) -> str:
    """A name in composed letters, whichever way the system that wrote it splits accents off."""
    return unicodedata.normalize("NFC", name)


def _lasts(key: str) -> tuple[str, str]:
    """The last part of a path, and that of one with the back slashes of another system."""
    last = _composed(key).rpartition("/")[2]
    return last, last.rpartition("\\")[2]


def _common(key: str, whole: str) -> int:
    """How many last parts of a path are those of another."""
    parts = _composed(key).replace("\\", "/").split("/")
    pairs = list(zip(reversed(parts), reversed(whole.split("/")), strict=False))
    return next((number for number, (mine, theirs) in enumerate(pairs) if mine != theirs), len(pairs))
