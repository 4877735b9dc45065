# SPDX-License-Identifier: Apache-2.0
"""COFW-68 from its MATLAB 5 files, and the test images of COFW where they are there (docs/protocols.md).

`Points` are 1-based: the first pixel's centre is at 1. Boxes are MATLAB rectangle positions, in whose frame the left
edge of the first column is at 0.5. Face i of 1..507 is on the image `IsT{i}`.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from barrel_jax.faces.landmarks import W300_68
from data.cofw import source as cofw
from data.cofw.cells import CellSource, ImageCells, cell_name
from data.cofw.face import Record, face_of
from data.cofw.matlab73 import Matlab73
from data.cofw68.matlab5 import read_matrices
from data.source import Face, Findings, digest_files, meant_instead

POINTS = W300_68.num_points
ANNOTATIONS = ("test_annotations", "cofw68_test_annotations")  # PIPNet renames the folder
BOXES = "cofw68_test_bboxes.mat"
NUMBERED = re.compile(r"([1-9][0-9]{0,8})_points\.mat")
IMAGES = cofw.FILES["test"]
PUBLISHED = {"test": 507}
GET = (
    "copy COFW68_Data of https://github.com/golnazghiasi/cofw68-benchmark and COFW_test_color.mat (of COFW_color.zip, "
    "https://doi.org/10.22002/D1.20099; predictions are scored without it)"
)
DOWNLOAD = "take COFW68_Data of https://github.com/golnazghiasi/cofw68-benchmark again"
ABOUT = (
    "COFW-68: cite G. Ghiasi, C. C. Fowlkes: Occlusion Coherence: Detecting and Localizing Occluded Faces, 2015, and "
    "COFW, whose test images it annotates (CC BY 4.0, https://doi.org/10.22002/D1.20099). Its authors state no licence "
    "for the annotations: ask them before you use these for more than research."
)


@dataclass(frozen=True)
class Files:
    """What there is of COFW-68."""

    annotations: Path  # the folder
    points: dict[int, Path]  # by the number of the face, in its order
    others: tuple[str, ...]  # names in the folder that are no annotations
    boxes: Path
    images: Path | None  # COFW_test_color.mat


def find_files(directory: Path) -> Files:
    """Finds the files of COFW-68 in a folder or in its `COFW68_Data`.

    Raises:
        FileNotFoundError: there are no annotations.
    """
    annotations = _annotations(directory)
    if annotations is None:
        there = "" if directory.is_dir() else "no such folder, so "
        raise FileNotFoundError(
            f"{directory}: {there}no {' or '.join(ANNOTATIONS)} with 1_points.mat to 507_points.mat here or in "
            f"COFW68_Data; {DOWNLOAD}, and give --source the folder that holds it"
            f"{meant_instead(directory, lambda folder: _annotations(folder) is not None)}"
        )
    names = _names(annotations)
    numbers = {int(match[1]): annotations / name for name in names if (match := NUMBERED.fullmatch(name))}
    others = tuple(name for name in names if not NUMBERED.fullmatch(name))
    root = annotations.parent
    return Files(annotations, dict(sorted(numbers.items())), others, root / BOXES, _find_images(root))


def _annotations(directory: Path) -> Path | None:
    """The folder of the annotations, None when there is none that has some."""
    paths = (root / name for root in (directory, directory / "COFW68_Data") for name in ANNOTATIONS)
    return next((path for path in paths if any(map(NUMBERED.fullmatch, _names(path)))), None)


def _names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory)) if directory.is_dir() else []


def _find_images(root: Path) -> Path | None:
    """COFW_test_color.mat beside the annotations or a folder above; None when it is in neither."""
    above = Path(os.path.abspath(root)).parent
    return cofw.find_file(root, IMAGES.name) or cofw.find_file(above, IMAGES.name)


def source_digest(directory: Path) -> str:
    """SHA-256 over the annotations and boxes, and the size of the images' file, quick enough for every start.

    Raises:
        FileNotFoundError: there are no annotations.
    """
    files = find_files(directory)
    boxes = [files.boxes] if files.boxes.is_file() else []
    # A dangling link or a folder in place of a file is for `read_source` to tell.
    points = [path for path in files.points.values() if path.is_file()]
    return digest_files(directory, [*points, *boxes], [files.images] if files.images else [])


def read_source(directory: Path) -> CellSource:
    """Reads all annotations and boxes, and the sizes of the images when they are there. Faults are collected.

    Raises:
        FileNotFoundError: there are no annotations.
    """
    files = find_files(directory)
    findings = Findings()
    source = CellSource(
        "cofw68", directory, W300_68, "The points are those of 300w-68, by the set's definition.", {"test": []},
        findings, published=PUBLISHED, about=ABOUT, has_images=files.images is not None,
    )  # fmt: skip
    if files.others:
        some = ", ".join(files.others[:3]) + (", ..." if len(files.others) > 3 else "")
        findings.notes.append(f"{files.annotations}: {len(files.others)} other file(s) passed over: {some}")
    if files.images is None:
        findings.notes.append(
            f"{directory}: {IMAGES.name} is neither here nor a folder above: these annotations can score predictions; "
            f"to build the set, {cofw.DOWNLOAD} and put it there"
        )
    else:
        _open_images(source, files.images)
    boxes = _read_boxes(files, findings)
    if boxes is not None:
        source.splits["test"] = _read_faces(source, files, boxes)
    source.count_splits()
    return source


def _open_images(source: CellSource, path: Path) -> None:
    try:
        source.cells[IMAGES.name] = ImageCells(Matlab73(path, cofw.DOWNLOAD), IMAGES.images)
    except ValueError as error:
        source.findings.faults.append(str(error))


def _read_boxes(files: Files, findings: Findings) -> np.ndarray | None:
    """Boxes float64 [n, 4], or None with a fault noted."""
    if not files.boxes.is_file():
        findings.faults.append(f"{files.boxes}: the file of the boxes is missing; {DOWNLOAD}")
        return None
    try:
        return read_matrices(files.boxes, {"bboxes": (None, 4)}, DOWNLOAD)["bboxes"]
    except ValueError as error:
        findings.faults.append(str(error))
        return None


def _read_faces(source: CellSource, files: Files, boxes: np.ndarray) -> list[Face]:
    """The faces that have points, a box and, where there are images, an image: paired by their numbers."""
    findings, cells = source.findings, source.cells.get(IMAGES.name)
    numbers, boxed = set(files.points), set(range(1, len(boxes) + 1))
    pictured = boxed | numbers if cells is None else set(range(1, len(cells) + 1))
    for what, missing, remedy in (
        (f"{files.annotations}: no _points.mat", boxed - numbers, DOWNLOAD),
        (f"{files.boxes}: no box", numbers - boxed, DOWNLOAD),
        (f"{files.images}: no image", (numbers & boxed) - pictured, cofw.DOWNLOAD),
    ):
        if missing:
            findings.gaps.append(f"{what} for face(s) {_ranges(missing)}, left out; {remedy}")
    faces = []
    for number in sorted(numbers & boxed & pictured):
        try:
            matrices = read_matrices(files.points[number], {"Points": (POINTS, 2), "Occ": (1, POINTS)}, DOWNLOAD)
            size = cells.size(number - 1)[:2] if cells else None
            findings.counts.update(images=1 if cells else 0)
        except ValueError as error:
            findings.faults.append(str(error))
            continue
        record = Record(
            face=number,
            file=cell_name(IMAGES.name, IMAGES.images, number - 1),
            points_px=matrices["Points"] - 1,
            occluded=matrices["Occ"][0],
            box=boxes[number - 1] - [0.5, 0.5, 0, 0],
            size=size,
            points_name=f"{files.points[number]}: Points",
            occluded_name=f"{files.points[number]}: Occ",
            box_name=f"{files.boxes}: bboxes, row {number} (from 1)",
            remedy=DOWNLOAD,
        )
        faces.append(face_of(record, findings))
    return [face for face in faces if face]


def _ranges(numbers: Iterable[int]) -> str:
    """Whole numbers in order, runs shortened: '1, 4-507'."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
