# SPDX-License-Identifier: Apache-2.0
"""From records to faces: pictures found and read, points and boxes in pixels, landmarks in one order."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from barrel_jax.faces.crop_windows import landmark_box
from barrel_jax.faces.geometry import UNITS
from barrel_jax.pictures import orientation
from barrel_jax.progress import follow
from data.convert.frames import Frame, Stored, annotated_sizes
from data.convert.pictures import Pictures
from data.convert.record import NOT_LABELLED, Record
from data.convert.split_names import named_split
from data.images import read_image
from data.numbers import LIMIT
from data.source import Findings


@dataclass(frozen=True)
class Picture:
    """A picture as the result has it."""

    path: Path
    name: str  # below the result's folder of pictures
    size: tuple[int, int]  # width and height in the annotator's frame
    digest: str  # of its bytes


@dataclass(frozen=True)
class ConvertedFace:
    """One face in pixels, the centre of the top-left pixel being (0, 0)."""

    where: str  # file and record
    picture: Picture
    points: np.ndarray  # float64 [K, 2], NaN where not labelled
    visible: np.ndarray  # uint8 [K]: 0 not labelled, 1 occluded, 2 visible
    box: np.ndarray  # float64 [4], x, y, w, h, edge coordinates
    split: str
    fields: Mapping[str, str]
    face: int | None


def landmark_names(records: Sequence[Record], wanted: Sequence[str], findings: Findings) -> list[str]:
    """The landmarks in order: the wanted ones, or all, by number if all are numbers, else as the fullest face has them.

    Raises:
        ValueError: a wanted one is in no record.
    """
    found = dict.fromkeys(name for record in sorted(records, key=lambda r: -len(r.points)) for name in record.points)
    if wanted:
        strange = [name for name in wanted if name not in found]
        if strange:
            raise ValueError(f"--landmarks {strange[0]!r} is in no face; there are {', '.join(list(found)[:100])}")
        findings.counts["landmarks_left_out"] = len(found) - len(set(wanted))
        return list(dict.fromkeys(wanted))
    if all(name.isascii() and name.isdecimal() and len(name) < 9 for name in found):
        return sorted(found, key=lambda name: (int(name), name))
    return list(found)


def make_faces(
    records: Sequence[Record], pictures: Pictures, names: Sequence[str], frame: Frame, findings: Findings
) -> list[ConvertedFace]:
    """The faces of records whose pictures are there and sound; faults of the others are collected.

    Args:
        records: of all annotation files.
        pictures: where they lie.
        names: of the landmarks, in order.
        frame: what the records' numbers mean.
        findings: what was mended, left out or found wrong.
    """
    usual = Counter(len(record.points) for record in records if record.positional).most_common(1)
    located: list[Path | None] = []
    for record in records:
        try:
            path, mended = pictures.find(record.picture, record.file.parent, record.where, named_split(record.split))
            if record.positional and len(record.points) != usual[0][0]:
                raise ValueError(
                    f"{record.where}: {len(record.points)} points where most have {usual[0][0]}, and which are missing "
                    "cannot be told; complete them"
                )
        except ValueError as error:
            findings.faults.append(str(error))
            path, mended = None, ""
        findings.counts[mended] += bool(mended)
        located.append(path)
    read = _read_pictures(list(dict.fromkeys(path for path in located if path)), findings)
    sizes = annotated_sizes(records, located, read, names, frame, findings)
    targets = pictures.targets(read)
    faces: list[ConvertedFace] = []
    for record, path in zip(records, located, strict=True):
        if path not in read:
            continue
        try:
            size, turned = _size(record, path, sizes.get(path, read[path].size), frame, findings)
            picture = Picture(path, targets[path], size, read[path].digest)
            face = _face(record, picture, names, frame, turned, findings)
        except ValueError as error:
            findings.faults.append(str(error))
            continue
        if face.visible.any():
            faces.append(face)
        else:
            findings.counts["faces_without_points_left_out"] += 1
    return faces


def _read_pictures(paths: list[Path], findings: Findings) -> dict[Path, Stored]:
    """Every picture that is sound."""

    def read(path: Path) -> Stored | str:
        try:
            encoded, pixels = read_image(path)
        except (ValueError, FileNotFoundError) as error:
            return str(error)
        return Stored((pixels.shape[1], pixels.shape[0]), orientation(encoded), sha256(encoded).hexdigest())

    sound = {}
    with ThreadPoolExecutor() as threads:
        for path, result in zip(paths, follow(threads.map(read, paths), len(paths), "read", "picture"), strict=True):
            if isinstance(result, str):
                findings.faults.append(result)
            else:
                sound[path] = result
    return sound


def _size(
    record: Record, path: Path, stored: tuple[int, int], frame: Frame, findings: Findings
) -> tuple[tuple[int, int], int]:
    """The picture's width and height in the annotator's frame, and by how many degrees its points must be turned back.

    Raises:
        ValueError: the file says another size, and not that of the picture turned or scaled.
    """
    if record.size is None or record.size == stored:
        return stored, record.turned if frame.as_shown else 0
    if record.size == stored[::-1]:
        if record.turned in (90, 270):
            return stored, record.turned
        findings.counts["pictures_whose_width_and_height_are_said_exchanged"] += 1
        return record.size, 0
    if frame.unit != "pixel" and abs(record.size[0] / record.size[1] / (stored[0] / stored[1]) - 1) < 0.01:
        findings.counts["pictures_of_another_scale_than_said"] += 1
        return stored, record.turned if frame.as_shown else 0
    raise ValueError(
        f"{record.where}: {path} is {stored[0]} x {stored[1]} pixels but the annotation says {record.size[0]} x "
        f"{record.size[1]}, so that its points belong to another version; put that one there, or correct the size"
    )


def _face(
    record: Record, picture: Picture, names: Sequence[str], frame: Frame, turned: int, findings: Findings
) -> ConvertedFace:
    visible = np.array([record.points.get(name, (0, 0, NOT_LABELLED))[2] for name in names], np.uint8)
    points = np.array(
        [record.points[name][:2] if shown else (np.nan,) * 2 for name, shown in zip(names, visible, strict=True)]
    )
    findings.counts["points_not_labelled"] += int((visible == 0).sum())
    corners = None if record.box is None else np.array([record.box[:2], np.add(record.box[:2], record.box[2:])])
    if frame.unit != "pixel":
        whole = UNITS[frame.unit]
        side = np.array(picture.size) / whole
        findings.counts["faces_turned_back"] += bool(turned)
        points = _turned_back(points, turned, whole) * side
        corners = None if corners is None else np.sort(_turned_back(corners, turned, whole) * side, axis=0)
    points -= frame.origin
    if (np.abs(points[visible > 0]) > LIMIT).any():
        raise ValueError(f"{record.where}: a point beyond {LIMIT:,.0f} pixels, as no picture has; correct it")
    box = None if corners is None else np.concatenate([corners[0] - frame.origin, corners[1] - corners[0]])
    if visible.any() and (box is None or _pixels_shown(box, picture.size) < 1):
        findings.counts["boxes_made_from_points" if box is None else "boxes_without_area_made_from_points"] += 1
        if (visible > 0).sum() < 2:
            raise ValueError(f"{record.where}: has no box that shows a pixel, and only one point; draw its box")
        box = landmark_box(points, visible > 0)
        if _pixels_shown(box, picture.size) < 1:
            raise ValueError(
                f"{record.where}: its points lie outside its picture of {picture.size[0]} x {picture.size[1]} pixels; "
                "correct them, or name their unit with --unit"
            )
    return ConvertedFace(
        record.where, picture, points, visible, np.zeros(4) if box is None else box, record.split, record.fields,
        record.face,
    )  # fmt: skip


def _pixels_shown(box: np.ndarray, size: tuple[int, int]) -> float:
    """The shorter side of what a box x, y, w, h shows of a picture, not above 0 when that is nothing."""
    return float((np.minimum(box[:2] + box[2:], size) - np.maximum(box[:2], 0)).min())


def _turned_back(points: np.ndarray, turned: int, whole: float) -> np.ndarray:
    """Points [n, 2] of a picture that was turned to the right, in the picture as it is; sides are `whole` long."""
    x, y = points[:, 0], points[:, 1]
    return np.stack({0: (x, y), 90: (y, whole - x), 180: (whole - x, whole - y), 270: (whole - y, x)}[turned], axis=1)
