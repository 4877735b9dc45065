# SPDX-License-Identifier: Apache-2.0
"""The faces of one COCO keypoints document as written, with every fault of it collected, one sentence each."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from data.coco.categories import PointNames, hashable
from data.coco.document import LARGEST
from data.numbers import LIMIT
from data.source import Findings


@dataclass(frozen=True)
class Row:
    """One annotated face as written, its points in the order of the set."""

    place: str  # file, annotation and image, for sentences
    face: int  # its id
    file: str
    size: tuple[int, int]  # width and height of the image
    points: np.ndarray  # float64 [K, 2], NaN where they are written so
    visible: np.ndarray  # float64 [K]: 0, 1 or 2
    box: np.ndarray  # float64 [4], NaN where there is none

    @cached_property
    def labelled(self) -> np.ndarray:
        """bool [K]."""
        return (self.visible > 0) & np.isfinite(self.points).all(axis=1)


def read_rows(path: Path, document: dict[str, Any], names: PointNames, findings: Findings) -> list[Row]:
    """The faces of the document read from `path`, in the order of its images, then of its annotations."""
    images = _read_images(path, document, findings)
    rows: dict[object, list[Row]] = {number: [] for number in images}
    seen, skipped = set(), 0
    for annotation in document["annotations"]:
        place = f"{path}: annotation {str(annotation['id'])[:40]}"
        if not -LARGEST <= annotation["id"] <= LARGEST:
            findings.faults.append(f"{place} has an id beyond 64 bits; number the annotations anew")
            continue
        if annotation["id"] in seen:
            findings.faults.append(f"{place} has an id that another annotation has; give every face its own")
        seen.add(annotation["id"])
        number = hashable(annotation.get("image_id"))
        if number not in images:
            findings.faults.append(
                f"{place} is of image {str(number)[:40]}, which is not in images; add the image or remove the face"
            )
        elif annotation.get("iscrowd"):
            findings.counts["crowd_annotations"] += 1
        elif _has_no_keypoints(annotation.get("keypoints"), names.num_points):
            skipped += 1
        elif (image := images[number]) and (row := _read_row(path, place, annotation, image, names, findings)):
            rows[number].append(row)
    if skipped:
        findings.counts["annotations_without_keypoints"] += skipped
        findings.notes.append(f"{path}: {skipped:,} annotations have no keypoints and were left out")
    findings.counts["images"] += sum(bool(group) for group in rows.values())
    findings.counts["images_without_faces"] += sum(not group for group in rows.values())
    return [row for group in rows.values() for row in group]


def _has_no_keypoints(raw: object, num_points: int) -> bool:
    """Whether there are none, or those of another category, such as a body, and none of them labelled."""
    if raw in (None, []):
        return True
    return isinstance(raw, list) and len(raw) not in (0, 3 * num_points) and set(map(str, raw)) <= {"0", "0.0"}


def _read_images(path: Path, document: dict[str, Any], findings: Findings) -> dict[object, dict[str, Any] | None]:
    """The images by their ids; None for those with a fault."""
    images: dict[object, dict[str, Any] | None] = {}
    files: dict[str, int] = {}
    for image in document["images"]:
        place, file = f"{path}: image {str(image['id'])[:40]}", image.get("file_name")
        sides = [image.get(side) for side in ("width", "height")]
        if image["id"] in images:
            findings.faults.append(f"{place} has an id that another image has; give every image its own")
        elif not isinstance(file, str) or not file:
            findings.faults.append(f"{place} has no file_name; add it")
        elif "\0" in file:
            findings.faults.append(f"{place} has a file_name that no file can have, {file[:40]!r}; correct it")
        elif not all(isinstance(side, int) and 0 < side <= LIMIT for side in sides):
            findings.faults.append(f"{place} ({file}) has no width and height in whole pixels; add them")
        else:
            images[image["id"]] = image
            files[file] = files.get(file, 0) + 1
            continue
        images[image["id"]] = None
    twice = [file for file, count in files.items() if count > 1]
    if twice:
        findings.counts["files_under_several_image_ids"] += len(twice)
        findings.notes.append(
            f"{path}: {len(twice):,} files stand under two image ids or more, such as {twice[0]}; give every file one"
        )
    return images


def _read_row(
    path: Path, place: str, annotation: dict[str, Any], image: dict[str, Any], names: PointNames,
    findings: Findings,
) -> Row | None:  # fmt: skip
    """One face, or None when it has no labelled point (counted) or a fault (noted under `place`)."""
    place = f"{place} ({image['file_name']})"
    keypoints = _keypoints(place, annotation["keypoints"], names.num_points, findings)
    box = _box(place, annotation.get("bbox"), findings)
    if keypoints is None or box is None:
        return None
    order = names.order(path, annotation.get("category_id"))
    keypoints = keypoints if order is None else keypoints[order]
    row = Row(
        place, annotation["id"], image["file_name"], (image["width"], image["height"]), keypoints[:, :2],
        keypoints[:, 2], box,
    )  # fmt: skip
    findings.counts["nan_points"] += int((row.visible > 0).sum() - row.labelled.sum())
    if not row.labelled.any():
        findings.counts["faces_without_points"] += 1
        return None
    return row


def _keypoints(place: str, raw: object, num_points: int, findings: Findings) -> np.ndarray | None:
    """x, y, v [K, 3], or None with a fault noted."""
    if not isinstance(raw, list) or len(raw) != 3 * num_points:
        length = len(raw) if isinstance(raw, list) else "no"
        findings.faults.append(
            f"{place} has {length} keypoint values where {num_points} points need {3 * num_points} numbers x, y, v; "
            "give all faces the same list of points, with v = 0 for those not labelled, or keep one category alone"
        )
        return None
    keypoints = _plain_numbers(raw)
    values = [] if keypoints is not None else [_number(value) for value in raw]
    for at, value in enumerate(values):
        if value is None:
            findings.faults.append(
                f"{place} has {len(raw)} keypoint values, of which number {at} (from 0), {repr(raw[at])[:40]}, is "
                "not a number; give x, y, v as numbers, with v = 0 for points not labelled"
            )
            return None
        if abs(value) > LIMIT:  # False for NaN, which stands for a point that is not labelled
            findings.faults.append(
                f"{place} has a keypoint value (number {at}, from 0) of {str(raw[at])[:12]}, beyond any picture; "
                "correct it"
            )
            return None
    keypoints = (np.array(values, np.float64) if keypoints is None else keypoints).reshape(-1, 3)
    if not set(keypoints[:, 2].tolist()) <= {0.0, 1.0, 2.0}:
        findings.faults.append(
            f"{place} has a visibility that is not 0 (not labelled), 1 (occluded) or 2 (visible); correct it"
        )
        return None
    return keypoints


def _box(place: str, raw: object, findings: Findings) -> np.ndarray | None:
    """The four numbers of a box, NaN when there is none; None with a fault noted."""
    if raw is None or raw == []:
        return np.full(4, np.nan)
    values = [_number(value) for value in raw] if isinstance(raw, list) and len(raw) == 4 else [None]
    if None in values:
        findings.faults.append(f"{place} has a box that is not four numbers; correct bbox [x, y, width, height]")
    elif any(abs(value) > LIMIT for value in values if value is not None):
        findings.faults.append(f"{place} has a box with numbers beyond any picture; correct bbox [x, y, width, height]")
    elif not np.isfinite(np.array(values, np.float64)).all():
        findings.faults.append(f"{place} has a box without area: {raw}; correct bbox [x, y, width, height]")
    else:
        return np.array(values, np.float64)
    return None


def _plain_numbers(raw: list[Any]) -> np.ndarray | None:
    """The values as float64 [n] when all are numbers of a usual size, as in most lists: many times as quick."""
    if not set(map(type, raw)) <= {int, float}:
        return None
    try:
        values = np.array(raw, np.float64)
    except OverflowError:
        return None
    return values if np.abs(values).max() <= LIMIT else None


def _number(value: object) -> float | None:
    """A JSON number, NaN for null, an infinity for one that is too large; None when it is anything else."""
    if value is None:
        return float("nan")
    if not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf")
