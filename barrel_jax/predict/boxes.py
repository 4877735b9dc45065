# SPDX-License-Identifier: Apache-2.0
"""Boxes of faces by picture, from a file: x, y, w, h in source pixels (the left edge of the first column is 0)."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np


def read_boxes(file: Path) -> dict[str, np.ndarray]:
    """Boxes [n, 4] by the picture's file name (its last part), from one of three kinds of file.

    `.json` is {"file name": [[x, y, w, h], ...]} or COCO's annotations (images, annotations with bbox); `.csv` has the
    columns file, x, y, w, h, with or without that heading.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is of another kind, a record (names it) has no four numbers with w and h above 0, or two pictures
            have one name.
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file of boxes")
    if file.suffix == ".csv":
        rows = _csv_rows(file)
    elif file.suffix == ".json":
        rows = _json_rows(file)
    else:
        raise ValueError(f"{file}: boxes come in a .json or .csv file")
    boxes: dict[str, list[np.ndarray]] = {}
    whole: dict[str, str] = {}
    for where, name, numbers in rows:
        short = Path(name).name
        if whole.setdefault(short, name) != name:
            raise ValueError(f"{file}, {where}: {name} and {whole[short]} have one file name; predict them apart")
        boxes.setdefault(short, []).extend([] if numbers is None else [_box(file, where, numbers)])
    return {name: np.array(values, np.float64).reshape(-1, 4) for name, values in boxes.items()}


def _box(file: Path, where: str, numbers: Any) -> np.ndarray:
    try:
        box = np.array(numbers, np.float64)
    except (TypeError, ValueError):
        box = np.zeros(0)
    if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] <= 0).any():
        raise ValueError(f"{file}, {where}: {numbers} is no box: x, y, w, h, with w and h above 0")
    return box


def _csv_rows(file: Path) -> list[tuple[str, str, Any]]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        lines = [(f"line {number}", row) for number, row in enumerate(csv.reader(stream), 1) if row]
    if lines and lines[0][1] == ["file", "x", "y", "w", "h"]:
        lines = lines[1:]
    return [(where, row[0], row[1:]) for where, row in lines]


def _json_rows(file: Path) -> list[tuple[str, str, Any]]:
    """Where, file name, and box or None for a picture without a face."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file}: neither an object of boxes by file name nor COCO's annotations")
    if not {"images", "annotations"} <= content.keys():
        rows = [(f"{name!r}", name, None) for name in content]
        for name, boxes in content.items():
            if not isinstance(boxes, list):
                raise ValueError(f"{file}, {name!r}: {boxes!r} is no list of boxes [[x, y, w, h], ...]")
            rows += [(f"{name!r}, box {number}", name, box) for number, box in enumerate(boxes)]
        return rows
    where = "its images"
    try:
        names = {image["id"]: image["file_name"] for image in content["images"]}
        rows = [(f"image {number}", name, None) for number, name in names.items()]
        for number, annotation in enumerate(content["annotations"]):
            where = f"annotation {annotation.get('id', number)}"
            rows.append((where, names[annotation["image_id"]], annotation["bbox"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file}, {where}: not as COCO writes it (id, file_name; image_id, bbox): {error!r}"
        ) from error
    return rows
