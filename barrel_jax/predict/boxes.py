# SPDX-License-Identifier: Apache-2.0
"""Boxes of faces by picture, from a file: x, y, w, h in source pixels (the left edge of the first column is 0)."""

import difflib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from barrel_jax.encodings import composed, digits, spelt
from barrel_jax.predict.box_tables import Row, read_table, read_text

SHOWN = 3  # missed names for which near ones are looked for: that takes long, and nobody reads more


@dataclass
class PictureBoxes:
    """The boxes of one picture."""

    boxes: list[Float[np.ndarray, " 4"]] = field(default_factory=list)  # x, y, w, h
    faces: list[int | None] = field(default_factory=list)  # the id that the file gives each, if it does
    size: tuple[int, int] | None = None  # width and height of the picture, as the file has them


@dataclass
class BoxFile:
    """What a file of boxes says."""

    path: Path
    pictures: dict[str, PictureBoxes]  # by the picture's file name, with its folders if they are given
    faults: list[str]  # a line for every record that is no box
    left_out: int = 0  # boxes of other categories than the faces'
    _near: dict[str, str] = field(default_factory=dict, init=False, repr=False)  # words on what is near a missed name
    _of_folders: dict[Path, set[str]] = field(default_factory=dict, init=False, repr=False)

    def of(self, path: Path) -> tuple[str, PictureBoxes]:
        """What is said of the picture at a path, under its name there.

        Raises ValueError where nothing is, or of several pictures of that name; names what is near.
        """
        found = self._names_of(path)
        if len(found) == 1:
            return found[0], self.pictures[found[0]]
        if found:
            raise ValueError(f"{path}: {self.path} has boxes of {' and '.join(found[:3])}; predict them apart")
        raise ValueError(f"{path}: no boxes for it in {self.path}{self._words_on(path)}")

    def mentions(self, path: Path) -> bool:
        """Whether something is said of the picture at a path, or of a name near its own."""
        return bool(self._names_of(path) or self._words_on(path))

    def unused(self, paths: list[Path]) -> list[str]:
        """The names of pictures with boxes that are not among the paths."""
        used = {name for path in paths for name in self._names_of(path)}
        return [key for key, picture in self.pictures.items() if picture.boxes and key not in used]

    def _names_of(self, path: Path) -> list[str]:
        """The names that may be of the picture at a path: those that have the longest end in common with it.

        A name that goes on in another folder is of another picture where the file knows the picture's own folder.
        """
        parts = [composed(part) for part in path.absolute().parts[1:]]
        for first in range(len(parts)):
            names = self._by_end.get("/".join(parts[first:]), [])
            if names and first and parts[first - 1] in self._folders:
                whole = "/".join(parts[first:])
                names = [name for name in names if whole in (composed(name), spelt(name))]
            if names:
                return names
        return []

    def _names_in(self, folder: Path) -> set[str]:
        """The names that are of pictures in a folder."""
        if folder not in self._of_folders:
            try:
                self._of_folders[folder] = {name for path in folder.iterdir() for name in self._names_of(path)}
            except OSError:  # a folder that may not be listed: its pictures are read all the same
                self._of_folders[folder] = set()
        return self._of_folders[folder]

    @cached_property
    def _folders(self) -> set[str]:
        """The names of all folders in the pictures' names."""
        return {folder for end in self._by_end for folder in end.split("/")[:-1]}

    @cached_property
    def _by_end(self) -> dict[str, list[str]]:
        """The pictures' names by every end that they have."""
        by_end: dict[str, list[str]] = {}
        for key in self.pictures:
            for end in _ends(key):
                by_end.setdefault(end, []).append(key)
        return by_end

    def _words_on(self, path: Path) -> str:
        """The end of a sentence on a picture whose name is missed: what is near it, of the first `SHOWN` names.

        A name that another picture of the folder has is none that was misspelt.
        """
        name = composed(path.name)
        if name not in self._near and len(self._near) < SHOWN:
            taken = self._names_in(path.absolute().parent)
            free = {end: keys for end, keys in self._by_end.items() if "/" not in end and taken.isdisjoint(keys)}
            folded = {end.casefold(): keys[-1] for end, keys in free.items()}
            alike = [other for other in folded if digits(other) == digits(name)]
            near = difflib.get_close_matches(name.casefold(), alike, n=1, cutoff=0.8)
            self._near[name] = f"; it has {folded[near[0]]}: give one the other's name" if near else ""
        return self._near.get(name, "")


def read_boxes(file: Path, unit: str = "pixel", category: str = "") -> BoxFile:
    """Reads one of four kinds of file; records that are no box are faults, and the others are kept.

    `unit` is of their numbers, one of `geometry.UNITS`; they are given as they are. Of COCO's annotations of several
    categories those of `category` are taken, '' for the one called face.

    `.json` is {"file name": [[x, y, w, h], ...]}, COCO's annotations (images, annotations with bbox), whose ids are
    kept, or `points.json` of `barrel_jax.predict`; `.csv` is a table (box_tables.py).

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is of another kind, or holds no box at all, or which of its categories is the faces' is open.
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file of boxes")
    suffix = file.suffix.lower()
    if suffix not in (".csv", ".tsv", ".json"):
        raise ValueError(f"{file}: boxes come in a .json, .csv or .tsv file")
    pictures: dict[str, PictureBoxes] = {}
    faults: list[str] = []
    if suffix == ".json":
        rows, left_out = _json_rows(file, pictures, faults, category)
    else:
        _refuse_category(file, category)
        rows, left_out = read_table(file), 0
    for row in rows:
        if not isinstance(row.name, str) or not row.name:
            faults.append(f"{file}, {row.where}: no name of a picture")
            continue
        picture = pictures.setdefault(row.name, PictureBoxes())
        if row.box is None:
            continue
        if fault := _fault(row, unit):
            faults.append(f"{file}, {row.where}: {fault}")
            continue
        picture.boxes.append(np.array(row.box, np.float64))
        picture.faces.append(row.face)
    if faults and not any(picture.boxes for picture in pictures.values()):
        more = f" (and {len(faults) - 1} more such records; none is a box)" if len(faults) > 1 else ""
        raise ValueError(f"{faults[0]}{more}")
    return BoxFile(file, pictures, faults, left_out)


def _fault(row: Row, unit: str) -> str:
    """What is wrong with a box, '' when nothing is."""
    box, written = row.box, row.written or str(row.box)[:80]
    try:
        numbers = np.array(box, np.float64)
    except (TypeError, ValueError, OverflowError):
        numbers = np.zeros(0)
    if numbers.shape != (4,) or not np.isfinite(numbers).all() or (numbers[2:] <= 0).any():
        if row.written:  # corners
            return f"{written} is no box: x2 and y2 must lie beyond x1 and y1; correct it, or leave it out"
        return f"{written} is no box: give x, y, w, h, with w and h above 0, or leave it out"
    if unit == "pixel" and (numbers[2:] < 1).any():
        why = "; are these fractions of the picture's sides? Give --unit fraction" if (numbers <= 1.5).all() else ""
        return f"{written} is a box below a pixel{why}"
    return ""


def _json_rows(
    file: Path, pictures: dict[str, PictureBoxes], faults: list[str], category: str
) -> tuple[list[Row], int]:
    """The rows of a file, and how many boxes of other categories it has."""
    try:
        content = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            str(error) if str(file) in str(error) else f"{file}: not JSON: {error}; correct it, or write it anew"
        ) from error
    if isinstance(content, dict) and {"images", "annotations"} <= content.keys():
        return _coco_rows(file, content, pictures, faults, category)
    _refuse_category(file, category)
    if isinstance(content, list) and all(isinstance(record, dict) for record in content):
        records = [
            Row(f"record {number} (from 0)", record.get("file", ""), _stated(record, "box"), _id(record, "face"))
            for number, record in enumerate(content)
        ]
        return records, 0
    if not isinstance(content, dict):
        raise ValueError(f"{file}: neither an object of boxes by file name, nor COCO's annotations, nor points.json")
    rows = []
    for name, boxes in content.items():
        if not isinstance(boxes, list):
            faults.append(f"{file}, {name!r}: {str(boxes)[:80]!r} is no list of boxes [[x, y, w, h], ...]")
            continue
        rows += [Row(repr(name), name, None)]
        rows += [
            Row(f"{name!r}, box {number}", name, "null" if box is None else box) for number, box in enumerate(boxes)
        ]
    return rows, 0


def _refuse_category(file: Path, category: str) -> None:
    if category:
        raise ValueError(f"{file}: of boxes COCO's annotations alone have categories; leave out --category {category}")


def _coco_rows(
    file: Path, content: dict[str, Any], pictures: dict[str, PictureBoxes], faults: list[str], category: str
) -> tuple[list[Row], int]:
    names, rows, left_out = {}, [], 0
    if not isinstance(content["images"], list) or not isinstance(content["annotations"], list):
        raise ValueError(f"{file}: images and annotations are not lists, as COCO writes them")
    for number, image in enumerate(content["images"]):
        if not isinstance(image, dict) or not isinstance(image.get("file_name"), str) or _id(image, "id") is None:
            faults.append(f"{file}, images: number {number} (from 0) has no id and file_name, as COCO writes them")
            continue
        name = names[image["id"]] = image["file_name"]
        sides = [side for side in (image.get("width"), image.get("height")) if type(side) is int]
        pictures[name] = PictureBoxes(size=(sides[0], sides[1]) if len(sides) == 2 else None)
    others = _other_categories(file, content, category)
    for number, annotation in enumerate(content["annotations"]):
        if not isinstance(annotation, dict):
            faults.append(f"{file}, annotations: number {number} (from 0) is no object")
            continue
        if _id(annotation, "category_id") in others:
            left_out += 1
            continue
        where = f"annotation {annotation.get('id', number)}"
        name = names.get(_id(annotation, "image_id"))
        if name is None:
            faults.append(f"{file}, {where}: its image_id is that of no image, as COCO writes it")
        elif not annotation.get("iscrowd"):
            rows.append(Row(where, name, _stated(annotation, "bbox"), _id(annotation, "id")))
    return rows, left_out


def _other_categories(file: Path, content: dict[str, Any], wanted: str) -> set[int | None]:
    """The ids of categories that are not the faces', of those that annotations have."""
    listed = content.get("categories")
    of_annotations = {_id(one, "category_id") for one in content["annotations"] if isinstance(one, dict)}
    names = {
        _id(one, "id"): str(one.get("name", ""))
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, dict) and _id(one, "id") in of_annotations
    }
    if not wanted and len(names) < 2:
        return set()
    faces = {one for one, name in names.items() if name.casefold() == (wanted or "face").casefold()}
    if not faces:
        there = ", ".join(sorted(names.values())) or "none"
        what = f"no box is of category {wanted!r}" if wanted else "boxes of several categories"
        raise ValueError(f"{file}: {what} ({there}); name the faces' with --category")
    return set(names) - faces


def _id(record: dict[str, Any], name: str) -> int | None:
    return record[name] if type(record.get(name)) is int else None


def _stated(record: dict[str, Any], name: str) -> Any:
    """What a record has for a box, in words where that is nothing: None is a picture without a face (`Row`)."""
    box = record.get(name, "nothing")
    return "null" if box is None else box


def _ends(key: str) -> set[str]:
    """Every end of a path, from its last part to all of it; back slashes part it, too, as another system has them."""
    ends = set()
    for spelling in (key, key.replace("\\", "/")):
        parts = composed(spelling).split("/")
        ends |= {"/".join(parts[first:]) for first in range(len(parts))}
    return ends
