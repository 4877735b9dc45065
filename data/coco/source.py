# SPDX-License-Identifier: Apache-2.0
"""A folder of anyone's own faces: `<split>.json` files (COCO keypoints) beside `images/`."""

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from barrel_jax.faces.crop_windows import landmark_box
from barrel_jax.faces.landmarks import LandmarkScheme, Normaliser
from barrel_jax.faces.symmetry import find_scheme
from data.coco.annotations import Row, read_rows
from data.coco.categories import PointNames, count_points
from data.coco.document import read_document
from data.coco.file_names import find_files
from data.coco.frames import Frame, frames
from data.coco.mean_faces import is_unlike
from data.coco.placeholders import drop_placeholders
from data.coco.reading import Reading
from data.coco.units import Numbers, boxes_to_pixels, doubts_on, to_pixels
from data.coco.upright import axes_of, fault_of_mean_face
from data.convert.recognise import convert_hint, meant_format
from data.source import GRACE, Face, Findings, Source, digest_files, files_below

GET = "put train.json, val.json (COCO keypoints) and images/ of your own faces"
ABOUT = "Their licence is that of your own pictures."


@dataclass
class CocoSource(Source):
    """Anyone's own faces; their images lie in `images/`."""

    paths: dict[str, Path] = field(default_factory=dict)  # of the images, by file name
    missing: dict[str, str] = field(default_factory=dict)  # images that are not there, by file name: the fault

    def image(self, file: str) -> tuple[bytes, np.ndarray]:
        """As `Source`."""
        if file in self.missing:
            raise FileNotFoundError(self.missing[file])
        return super().image(file)

    def image_path(self, file: str) -> Path:
        """Where the image lies."""
        return self.paths.get(file, self.directory / "images" / file)


def split_files(directory: Path) -> list[Path]:
    """The `<split>.json` files of a source folder, train and val first.

    Raises:
        FileNotFoundError: the folder, its images or its JSON files are missing.
    """
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory}: no such folder; the source holds train.json, val.json and images/")
    # macOS leaves a hidden ._NAME beside a file on disks of other systems.
    found = [path for path in directory.glob("*.json") if not path.name.startswith(".")]
    files = sorted(found, key=lambda path: (path.stem != "train", path.stem != "val", path.stem))
    if not files:
        raise FileNotFoundError(
            f"{directory}: no <split>.json here; put train.json and val.json (COCO keypoints) there"
            f"{convert_hint(directory)}"
        )
    if meant_format(files[0]) not in ("coco", ""):
        raise FileNotFoundError(f"{files[0]}: not COCO keypoints JSON{convert_hint(directory)}")
    if not (directory / "images").is_dir():
        raise FileNotFoundError(
            f"{directory}/images: no such folder; put the images there under their file_name{convert_hint(directory)}"
        )
    return files


def source_digest(directory: Path, options: Mapping[str, Any] = {}) -> str:
    """SHA-256 over the JSON files, the names, sizes and sampled bytes of the images, and what `options` change.

    Raises:
        FileNotFoundError: the folder, its images or its JSON files are missing.
    """
    images = files_below(directory / "images")
    digest = digest_files(directory, filter(Path.is_file, split_files(directory)), images, sampled=True)
    changed = {name: value for name, value in options.items() if value != getattr(Reading.of({}), name)}
    return hashlib.sha256((digest + json.dumps(changed, sort_keys=True)).encode()).hexdigest() if changed else digest


def read_source(directory: Path, options: Mapping[str, Any] = {}) -> Source:
    """Reads every split of a source folder, as `options` (reading.py) say. Faults of the JSON are collected.

    Of the images only names and orientations are read.

    Raises:
        FileNotFoundError: the folder, its images or its JSON files are missing.
        ValueError: an option has an unknown value.
    """
    reading, findings = Reading.of(options), Findings()
    rows, names = _read_rows(directory, reading, findings)
    points = {path: to_pixels(of.points, reading.points, of.sizes) for path, of in _numbers(rows).items()}
    scheme, found = _scheme_of(list(points.values()), names.num_points)
    axes = axes_of(scheme, names.names)
    if not findings.faults:
        findings.faults += _never_labelled(directory, rows)
    images = directory / "images"
    files = {path: [row.file for row in group] for path, group in rows.items()}
    paths, missing = find_files(images, files_below(images), files, findings)
    placed = [
        replace(row, points=points) for path, of in points.items() for row, points in zip(rows[path], of, strict=True)
    ]
    turned = frames(directory, placed, paths, axes, reading.exif, findings)
    rows = {path: [_with_size(row, turned.get(row.file)) for row in group] for path, group in rows.items()}
    splits: dict[str, list[Face]] = {path.stem: [] for path in rows}
    for path, of in _numbers(rows).items():
        # Faces in pictures that were annotated as stored may lie sideways.
        upright = [row.file not in turned or turned[row.file].upright for row in rows[path]]
        wrong = fault_of_mean_face(points[path][upright], scheme, axes)
        doubts = doubts_on(path, of, reading.boxes, reading.points, wrong == "transposed")
        doubts += [_mean_doubt(path, wrong)] if wrong and not doubts else []
        first = next(iter(points))
        if not doubts and is_unlike(points[first], points[path]):
            doubts.append(
                f"{path}: the mean face is unlike that of {first.name}: the points are in another order there, "
                "whatever they are called, or mark other places; look at the contact sheet and correct points or names"
            )
        boxes = boxes_to_pixels(of.boxes, reading.boxes, of.sizes)
        faces = _faces(path, rows[path], points[path], boxes, bool(doubts), findings)
        splits[path.stem] = [
            replace(face, orientation=turned[face.file].turn) if face.file in turned else face for face in faces
        ]
        findings.doubts += doubts
        findings.doubted |= {path.stem} if doubts else set()
    findings.faults += missing.values()
    if rows and not {"train", "val"} <= splits.keys() and set(splits) != {"val"}:
        absent = " and ".join(f"{split}.json" for split in ("train", "val") if split not in splits)
        command = f"python -m data.convert coco {shlex.quote(str(directory))} --out NEW"
        findings.notes.append(f"{directory}: no {absent}, which training needs: `{command}` divides what is there")
    return CocoSource("coco", directory, scheme, found, splits, findings, paths=paths, missing=missing)


def _read_rows(directory: Path, reading: Reading, findings: Findings) -> tuple[dict[Path, list[Row]], PointNames]:
    """The faces of every document as written, but for placeholders, and the names of their points."""
    documents = {path: read_document(path, findings) for path in split_files(directory)}
    known = {path: document for path, document in documents.items() if document is not None}
    names = PointNames(known, count_points(directory, known, findings.faults), findings)
    rows: dict[Path, list[Row]] = {}
    for path, document in known.items() if names.num_points else ():
        before = len(findings.faults)
        written = read_rows(path, document, names, findings)
        rows[path] = drop_placeholders(path, written, reading.placeholders, findings)
        if not rows[path] and len(findings.faults) == before:
            findings.faults.append(f"{path}: no face with a labelled point; annotate some or remove the file")
    return rows, names


def _numbers(rows: dict[Path, list[Row]]) -> dict[Path, Numbers]:
    """The numbers of the splits that have faces."""
    return {path: _numbers_of(group) for path, group in rows.items() if group}


def _numbers_of(rows: list[Row]) -> Numbers:
    return Numbers(
        np.stack([np.where(row.labelled[:, None], row.points, np.nan) for row in rows]),
        np.stack([row.box for row in rows]),
        np.array([row.size for row in rows], np.float64),
    )


def _faces(
    path: Path, rows: list[Row], points: np.ndarray, boxes: np.ndarray, doubted: bool, findings: Findings
) -> list[Face]:
    """The faces of a split from their points [n, K, 2] and boxes [n, 4] in pixels, but for those with a fault.

    A box that misses its points is a doubt, unless the numbers of the whole split are `doubted`.
    """
    labelled, sizes = np.stack([row.labelled for row in rows]), np.array([row.size for row in rows])
    # Zero width or height says that nobody drew a box; one below zero is a mistake.
    empty = ~np.isfinite(boxes).all(axis=1) | ((boxes[:, 2:].min(axis=1) == 0) & (boxes[:, 2:].max(axis=1) >= 0))
    boxes = boxes.copy()
    for number in np.flatnonzero(empty):
        boxes[number] = landmark_box(points[number], labelled[number])
    edge = points + 0.5  # from the pixel's centre to the frame of boxes
    outside = (((edge < 0) | (edge > sizes[:, None])).any(axis=2) & labelled).sum(axis=1).tolist()
    low, high = boxes[:, None, :2], boxes[:, None, :2] + boxes[:, None, 2:]
    strangers = int((np.array(outside) > labelled.sum(axis=1) / 2).sum())
    if strangers > max(len(rows) / 5, 1) and not doubted:
        findings.doubts.append(
            f"{path}: {strangers:,} of {len(rows):,} faces have most of their points outside of their pictures: they "
            "may have been annotated in pictures of another size; look at the contact sheet and correct the points"
        )
    missed = (((edge < low - GRACE) | (edge > high + GRACE)).any(axis=2) & labelled).sum(axis=1).tolist()
    faces = []
    for number, (row, box, count) in enumerate(zip(rows, boxes, labelled.sum(axis=1).tolist(), strict=True)):
        if empty[number] and count < 2:
            findings.faults.append(
                f"{row.place} has no box and only one labelled point; add bbox [x, y, width, height]"
            )
            continue
        if fault := _box_fault(row, box.tolist()):
            findings.faults.append(fault)
            continue
        findings.counts["faces"] += 1
        findings.counts["points_not_labelled"] += int((row.visible == 0).sum())
        findings.counts["points_outside_image"] += outside[number]
        if missed[number] > count / 2:
            findings.counts["boxes_missing_points"] += 1
            if not doubted:
                findings.doubts.append(
                    f"{row.place} has a box that misses {missed[number]} of {count} labelled points; correct bbox"
                )
        faces.append(
            Face(
                face=row.face,
                file=row.file,
                size=row.size,
                box=box.astype(np.float32),
                points=np.where(row.labelled[:, None], points[number], np.nan).astype(np.float32),
                visible=np.where(row.labelled, row.visible, 0).astype(np.uint8),
            )
        )
    without = int(empty.sum())
    if without:
        findings.counts["faces_without_box"] += without
        findings.notes.append(
            f"{path}: {without:,} of {len(rows):,} faces have no box, or one of zero width or height; the tight box of "
            "their points was taken"
        )
    return faces


def _box_fault(row: Row, box: list[float]) -> str:
    """What is wrong with a box x, y, w, h in pixels; '' when nothing is."""
    (x, y, w, h), (width, height) = box, row.size
    if min(w, h) <= 0:
        shown = [float(f"{value:.6g}") for value in box]
        return f"{row.place} has a box without area: {shown}; correct bbox [x, y, width, height]"
    if min(min(x + w, width) - max(x, 0), min(y + h, height) - max(y, 0)) < 1:
        shown = [float(f"{value:.6g}") for value in box]
        return (
            f"{row.place} has a box {shown} that shows less than a pixel of its image of {width} x {height}; correct "
            "bbox"
        )
    return ""


def _with_size(row: Row, frame: Frame | None) -> Row:
    """The row with its picture's size in the frame of its points, where the annotations state that of the other one."""
    other = frame is not None and sorted(row.size) == sorted(frame.size)
    return replace(row, size=frame.size) if other and frame else row


def _mean_doubt(path: Path, wrong: str) -> str:
    why = {
        "mirrored": "left and right points are exchanged, or the pictures were mirrored",
        "sideways": "the pictures were turned after they were annotated, or before",
    }.get(wrong, "y may be counted from the bottom, or the pictures were turned")
    return f"{path}: the mean face is {wrong}: {why}; look at the contact sheet and correct the points"


def _never_labelled(directory: Path, rows: dict[Path, list[Row]]) -> list[str]:
    labelled = np.any([row.labelled for group in rows.values() for row in group], axis=0)
    return [
        f"{directory}: point {point} is labelled in no face; label it or take it out of every keypoints list"
        for point in np.flatnonzero(~labelled)
    ]


def _scheme_of(points: list[np.ndarray], num_points: int) -> tuple[LandmarkScheme, str]:
    """The landmark scheme that the labelled points [n, K, 2] of the splits tell, and a sentence on it.

    When left and right points cannot be paired, the scheme has an empty `flip` and `normaliser` and the sentence names
    the points: the set can be built, and the config must give both (`barrel_jax.faces.landmarks.make_scheme`).
    """
    unknown = LandmarkScheme(f"custom-{num_points}", num_points, (), Normaliser(), ())
    if not points:
        return unknown, ""
    every = np.concatenate(points)
    try:
        return find_scheme(every, np.isfinite(every).all(axis=2))
    except ValueError as error:
        return unknown, str(error)
