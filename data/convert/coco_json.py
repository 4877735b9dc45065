# SPDX-License-Identifier: Apache-2.0
"""COCO keypoints JSON in any layout: one file or several, one category or several, in whatever folder."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.convert.faces import ConvertedFace
from data.convert.record import NOT_LABELLED, Options, Record, read_number, read_side, shown
from data.convert.text import read_json
from data.source import Findings

SUFFIXES = (".json",)
ABOUT = "COCO keypoints JSON"
LISTS = ("images", "annotations")


def recognises(path: Path, head: bytes) -> bool:
    """Whether the first bytes of a file are this format's."""
    del path
    return b'"result"' not in head and any(key in head for key in (b'"annotations"', b'"images"', b'"keypoints"'))


def read(path: Path, options: Options, findings: Findings) -> list[Record]:
    """The faces of a file; faults of single ones are collected. Raises ValueError when it is no such file at all."""
    document = read_json(path, options.encoding, findings)
    missing = [key for key in LISTS if not isinstance(document, dict) or not isinstance(document.get(key), list)]
    if missing:
        raise ValueError(f"{path}: no COCO JSON, for want of a list {' and '.join(missing)}; export it again")
    images = {}
    for image in document["images"]:
        if not isinstance(image, dict) or not isinstance(image.get("id"), int | str):
            raise ValueError(f"{path}: an image without an id: {shown(image)}; add it")
        if image["id"] in images:
            raise ValueError(f"{path}: image {shown(image['id'])} comes twice; give every image its own id")
        images[image["id"]] = image
    categories = _categories(path, document.get("categories"))
    records, left_out = [], set()
    for number, annotation in enumerate(document["annotations"]):
        identity = annotation.get("id", f"number {number}") if isinstance(annotation, dict) else f"number {number}"
        where = f"{path}: annotation {shown(identity)}"
        try:
            if not isinstance(annotation, dict):
                raise ValueError(f"{where} is no object; export it again")
            if annotation.get("iscrowd"):
                findings.counts["crowd_annotations_left_out"] += 1
            elif not annotation.get("keypoints"):
                findings.counts["annotations_without_keypoints_left_out"] += 1
            elif not isinstance(annotation["keypoints"], list):
                raise ValueError(f"{where} has keypoints that are no list; x, y, v of each point is right")
            else:
                category = _category(where, annotation, categories, len(annotation["keypoints"]))
                if options.category and category[0] != options.category:
                    findings.counts["faces_of_other_categories_left_out"] += 1
                    left_out.add(category[0])
                else:
                    records.append((category[0], _record(path, where, annotation, images, category[1])))
        except ValueError as error:
            findings.faults.append(str(error))
    kinds = {kind for kind, _ in records}
    layouts = {tuple(record.points) for _, record in records}
    if len(layouts) > 1 and len(kinds) > 1:
        raise ValueError(
            f"{path}: categories with unlike points ({', '.join(sorted(kinds))}); name one with --category"
        )
    if options.category and not records and left_out:
        raise ValueError(f"{path}: no face of category {options.category!r}; there are {', '.join(sorted(left_out))}")
    return [record for _, record in records]


def _categories(path: Path, raw: Any) -> dict[Any, tuple[str, list[str]]]:
    """Name and names of points by category id."""
    categories = {}
    for category in raw if isinstance(raw, list) else ():
        if not isinstance(category, dict) or not isinstance(category.get("id"), int | str):
            raise ValueError(f"{path}: a category without an id: {shown(category)}; add it")
        names = category.get("keypoints") or []
        if not isinstance(names, list) or len(set(map(str, names))) != len(names):
            raise ValueError(f"{path}: category {shown(category['id'])} names two points alike; name each once")
        categories[category["id"]] = (str(category.get("name", category["id"])), [str(name) for name in names])
    return categories


def _category(
    where: str, annotation: dict[str, Any], categories: dict[Any, tuple[str, list[str]]], length: int
) -> tuple[str, list[str]]:
    """Name of an annotation's category, and of its points: numbers from 0 where the category has no names."""
    category = annotation.get("category_id")
    name, names = (
        categories.get(category, (str(category), []))
        if isinstance(category, int | str | None)
        else (shown(category), [])
    )
    names = names or [str(k) for k in range(length // 3)]
    if length != 3 * len(names):
        raise ValueError(
            f"{where} has {length} keypoint values where {len(names)} points need {3 * len(names)} (x, y, v)"
        )
    return name, names


def _record(path: Path, where: str, annotation: dict[str, Any], images: dict[Any, Any], names: list[str]) -> Record:
    key = annotation.get("image_id")
    image = images.get(key) if isinstance(key, int | str) else None
    if image is None:
        raise ValueError(f"{where} is of image {shown(key)}, which is not in images; add it or remove the face")
    file = image.get("file_name")
    if not isinstance(file, str) or not file:
        raise ValueError(f"{path}: image {shown(key)} has no file_name; add it")
    where = f"{where} ({file[-80:]})"
    values, points = annotation["keypoints"], {}
    for k, name in enumerate(names):
        x, y, visible = values[3 * k : 3 * k + 3]
        if visible not in (0, 1, 2) or isinstance(visible, bool):
            raise ValueError(f"{where} has a visibility {shown(visible)} of point {shown(name)}; 0, 1 or 2 is right")
        gone = visible == 0 or any(value is None or value != value for value in (x, y))
        position = (
            (0.0, 0.0)
            if gone
            else tuple(read_number(v, where, f"{a} of point {shown(name)}") for v, a in ((x, "x"), (y, "y")))
        )
        points[name] = (*position, NOT_LABELLED if gone else int(visible))
    box = annotation.get("bbox")
    if isinstance(box, list) and len(box) == 4:
        box = tuple(read_number(value, where, "bbox") for value in box)
    elif box:
        raise ValueError(f"{where} has a bbox {shown(box)}; x, y, width, height in pixels are right")
    width, height = (read_side(image.get(side)) for side in ("width", "height"))
    fields = {k: str(v) for k, v in (image | annotation).items() if isinstance(v, str | int)}
    own = annotation.get("id")
    face = own if isinstance(own, int) and not isinstance(own, bool) and abs(own) < 2**63 else None
    return Record(
        where, path, file, points, box or None, (width, height) if width and height else None, fields=fields, face=face
    )


def write(folder: Path, split: str, faces: Sequence[ConvertedFace], names: Sequence[str], findings: Findings) -> None:
    """Writes `folder/<split>.json`. Ids of faces are kept where every face has one of its own."""
    del findings
    own = [face.face for face in faces if face.face is not None]
    ids = own if len(set(own)) == len(faces) else range(1, len(faces) + 1)
    images: dict[str, dict[str, Any]] = {}
    annotations = []
    for number, face in zip(ids, faces, strict=True):
        picture = face.picture
        width, height = picture.size
        image = images.setdefault(
            picture.name, {"id": len(images) + 1, "file_name": picture.name, "width": width, "height": height}
        )
        labelled = face.visible > 0
        values = np.where(labelled[:, None], np.column_stack([face.points, face.visible]), 0.0)
        annotations.append({
            "id": number, "image_id": image["id"], "category_id": 1, "iscrowd": 0, "num_keypoints": int(labelled.sum()),
            "bbox": face.box.tolist(), "area": float(face.box[2] * face.box[3]), "keypoints": values.ravel().tolist(),
        })  # fmt: skip
    categories = [{"id": 1, "name": "face", "keypoints": list(names), "skeleton": []}]
    document = {"categories": categories, "images": list(images.values()), "annotations": annotations}
    (folder / f"{split}.json").write_text(json.dumps(document, allow_nan=False), encoding="utf-8")
