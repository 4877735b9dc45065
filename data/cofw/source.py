# SPDX-License-Identifier: Apache-2.0
"""COFW from its two MATLAB 7.3 files of colour images (docs/protocols.md).

Coordinates of `phis` and the x, y of `bboxes` are 1-based: the first pixel's centre is at 1, and it is pixel 1.
"""

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from barrel_jax.faces.landmarks import COFW_29
from data.cofw.cells import CellSource, ImageCells, cell_name
from data.cofw.face import Record, face_of
from data.cofw.matlab73 import Matlab73
from data.source import Face, Findings, digest_files, meant_instead


@dataclass(frozen=True)
class CofwFile:
    """The file of a split and its variables."""

    name: str
    images: str
    phis: str
    bboxes: str
    grey: str  # the file's name in the grey download, which is another one


FILES = {
    "train": CofwFile("COFW_train_color.mat", "IsTr", "phisTr", "bboxesTr", "COFW_train.mat"),
    "test": CofwFile("COFW_test_color.mat", "IsT", "phisT", "bboxesT", "COFW_test.mat"),
}
PUBLISHED = {"train": 1345, "test": 507}
GREY = 44  # images of the published training set that are grey
POINTS = COFW_29.num_points
PHIS, BBOXES = 3 * POINTS, 4  # x of all points, y of all points, occlusion of all points; x, y, w, h
FOLDERS = ("", "COFW", "COFW_color")  # where the files may lie in the source folder
GET = "unpack COFW_color.zip of https://doi.org/10.22002/D1.20099"
DOWNLOAD = (
    "unpack COFW_color.zip (503,327,162 bytes, MD5 8b21d126c4e1fb307cb463578eef0511, "
    "https://doi.org/10.22002/D1.20099) again"
)
ABOUT = (
    "COFW: CC BY 4.0, https://doi.org/10.22002/D1.20099. Cite X. P. Burgos-Artizzu, P. Perona, P. Dollár: "
    "Robust face landmark estimation under occlusion, ICCV 2013."
)


def find_files(directory: Path) -> dict[str, Path | None]:
    """Where the file of every split lies, None for one that is not there.

    Raises:
        FileNotFoundError: none is there.
    """
    if _is_source(directory):
        return {split: find_file(directory, file.name) for split, file in FILES.items()}
    there = "" if directory.is_dir() else "no such folder, so "
    grey = "".join(
        f"; {path} is of the grey COFW.zip, the colour one is needed"
        for file in FILES.values()
        if (path := find_file(directory, file.grey))
    )
    raise FileNotFoundError(
        f"{directory}: {there}no {' and no '.join(file.name for file in FILES.values())} here or in "
        f"{' or '.join(folder for folder in FOLDERS if folder)}{grey}; {DOWNLOAD}, and give --source the folder that "
        f"holds both{meant_instead(directory, _is_source)}"
    )


def _is_source(directory: Path) -> bool:
    return any(find_file(directory, file.name) for file in FILES.values())


def find_file(directory: Path, name: str) -> Path | None:
    """The file of that name in the source folder or in a folder of the download's own, None when it is not there."""
    paths = (directory / folder / name for folder in FOLDERS)
    return next((path for path in paths if path.is_file()), None)


def source_digest(directory: Path) -> str:
    """SHA-256 over the names and sizes of the files and the numbers of their annotations, quick enough for every start.

    Raises:
        FileNotFoundError: neither file is there.
    """
    files = {split: path for split, path in find_files(directory).items() if path}
    digest = hashlib.sha256(digest_files(directory, [], files.values()).encode())
    for split, path in files.items():
        # As for other sets: annotations count by content, images by size. A corrected coordinate leaves the size of the
        # file, 500 MB of pixels would take seconds to read, and where in the file the numbers lie is HDF5's business.
        try:
            with contextlib.closing(Matlab73(path, DOWNLOAD)) as matlab:
                for variable, columns in ((FILES[split].phis, PHIS), (FILES[split].bboxes, BBOXES)):
                    digest.update(matlab.matrix(variable, columns).tobytes())
        except ValueError as error:
            digest.update(str(error).encode())  # `read_source` tells it, with all other faults
    return digest.hexdigest()


def read_source(directory: Path) -> CellSource:
    """Reads the annotations of both splits and the sizes of the images. Faults are collected; no pixel is read.

    Raises:
        FileNotFoundError: neither file is there.
    """
    findings = Findings()
    source = CellSource(
        "cofw", directory, COFW_29, "The points are those of cofw-29, by the set's definition.",
        {split: [] for split in FILES}, findings, published=PUBLISHED, about=ABOUT,
    )  # fmt: skip
    for split, path in find_files(directory).items():
        file = FILES[split]
        if path is None:
            findings.gaps.append(f"{directory / file.name}: the file of split {split} is missing; {DOWNLOAD}")
            continue
        try:
            matlab = Matlab73(path, DOWNLOAD)
        except ValueError as error:
            findings.faults.append(str(error))
        else:
            source.splits[split] = _read_split(source, file, matlab)
    source.count_splits()
    return source


def _read_split(source: CellSource, file: CofwFile, matlab: Matlab73) -> list[Face]:
    """The faces of a file; what is wrong with them is added to the findings of the source."""
    findings = source.findings
    variables = {}
    for name, read in (
        (file.images, lambda: ImageCells(matlab, file.images)),
        (file.phis, lambda: matlab.matrix(file.phis, PHIS)),
        (file.bboxes, lambda: matlab.matrix(file.bboxes, BBOXES)),
    ):
        try:
            variables[name] = read()
        except ValueError as error:
            findings.faults.append(str(error))
    if len(variables) < 3:
        return []
    counts = {name: len(variable) for name, variable in variables.items()}
    if len(set(counts.values())) > 1:
        numbers = ", ".join(f"{count:,} in {name}" for name, count in counts.items())
        findings.faults.append(f"{matlab.path}: the numbers of records differ: {numbers}; {DOWNLOAD}")
        return []
    cells, phis, bboxes = variables.values()
    source.cells[file.name] = cells
    faces, grey_images = [], 0
    for index in range(len(cells)):
        findings.counts["images"] += 1
        try:
            width, height, grey = cells.size(index)
        except ValueError as error:
            findings.faults.append(str(error))
            continue
        grey_images += grey
        faces.append(face_of(_record(file, matlab.path, index, phis[index], bboxes[index], (width, height)), findings))
    _tell_grey(matlab.path, grey_images, len(cells), file, findings)
    return [face for face in faces if face]


def _record(file: CofwFile, path: Path, index: int, phi: np.ndarray, bbox: np.ndarray, size: tuple[int, int]) -> Record:
    name = f"{path}: {file.phis}, record {index} (from 0)"
    return Record(
        face=index,
        file=cell_name(file.name, file.images, index),
        points_px=phi[: 2 * POINTS].reshape(2, POINTS).T - 1,
        occluded=phi[2 * POINTS :],
        box=bbox - [1, 1, 0, 0],
        size=size,
        points_name=name,
        occluded_name=name,
        box_name=f"{path}: {file.bboxes}, record {index} (from 0)",
        remedy=DOWNLOAD,
    )


def _tell_grey(path: Path, count: int, images: int, file: CofwFile, findings: Findings) -> None:
    """Grey images are as published, unless they are more or fewer than there."""
    findings.counts["grey_images"] += count
    published = f" ({GREY} in the published set)" if file is FILES["train"] else ""
    sentence = f"{path}: {count:,} grey images{published}"
    if count > GREY:
        findings.faults.append(f"{sentence} of {images:,}: this is the grey COFW.zip, renamed; {DOWNLOAD}")
    elif published and images == PUBLISHED["train"] and count < GREY:
        findings.doubts.append(f"{sentence}: this is another version of the set; {DOWNLOAD}")
    elif count:
        findings.notes.append(f"{sentence}, taken with three equal channels")
