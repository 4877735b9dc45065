# SPDX-License-Identifier: Apache-2.0
"""A download as read: its faces by split, what is wrong with it, and where the pixels are."""

import hashlib
import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from barrel_jax.faces.landmarks import LandmarkScheme
from barrel_jax.files import open_file, read_bytes
from data.grouping import grouped
from data.images import read_image

GRACE = 0.5  # pixels by which a point may lie outside its box: boxes are often drawn from rounded points
SAMPLES, SAMPLE = 16, 1024  # places of a file and bytes at each that its digest takes
FORMAT = b"faces 3"  # part of every digest: changes with the stored record, so that sets built before are built anew


@dataclass(frozen=True)
class Face:
    """One annotated face."""

    face: int  # annotation id, or the face's number in the set
    file: str  # name of the image below the source folder, unique in the set
    box: np.ndarray  # float32 [4], x, y, w, h in source pixels, edge coordinates
    points: np.ndarray  # float32 [K, 2], source pixels, NaN where not labelled
    visible: np.ndarray  # uint8 [K]: 0 not labelled, 1 occluded, 2 visible
    flags: tuple[int, ...] = ()  # [F], 0 or 1
    size: tuple[int, int] | None = None  # width and height of the image as the annotations give them, or None
    orientation: int = 1  # EXIF's: how the stored pixels are turned (barrel_jax.pictures) into the frame of the points

    @property
    def labelled(self) -> np.ndarray:
        """bool [K]."""
        return (self.visible > 0) & np.isfinite(self.points).all(axis=-1)


def points_missed(box: np.ndarray, points_px: np.ndarray) -> int:
    """How many of points [n, 2] lie outside a box [4] (x, y, w, h in edge coordinates)."""
    edge = points_px + 0.5
    return int(((edge < box[:2] - GRACE) | (edge > box[:2] + box[2:] + GRACE)).any(axis=1).sum())


@dataclass
class Findings:
    """What was counted in a source and what is wrong with it, one sentence each, naming file, record and remedy."""

    counts: Counter = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)  # forbid a build
    gaps: list[str] = field(default_factory=list)  # things that are not there; a build only with --allow-partial
    doubts: list[str] = field(default_factory=list)  # probably wrong: the face is kept and reported
    notes: list[str] = field(default_factory=list)  # known or harmless oddities, and what was done about them
    doubted: set[str] = field(default_factory=set)  # splits whose points as a whole are doubted


@dataclass
class Source:
    """A source folder as read. A set's own class says where its pixels are (`image`)."""

    dataset: str
    directory: Path
    scheme: LandmarkScheme
    found: str  # how the scheme is known, for people
    splits: dict[str, list[Face]]
    findings: Findings
    flag_names: tuple[str, ...] = ()
    published: dict[str, int] = field(default_factory=dict)  # how many faces each split has; {} when nobody says
    about: str = ""  # licence and citation
    has_images: bool = True  # False for annotations alone, which can score predictions

    def image(self, file: str) -> tuple[bytes, np.ndarray]:
        """The encoded bytes of an image (b'' when it is not stored as a file) and its pixels uint8 [H, W, 3], BGR.

        Raises:
            FileNotFoundError, ValueError: it is missing or broken; names the file and the remedy.
        """
        return read_image(self.image_path(file))

    def image_path(self, file: str) -> Path:
        """Where the image lies."""
        return self.directory / file

    def faces(self) -> list[Face]:
        """The faces of all splits."""
        return [face for faces in self.splits.values() for face in faces]

    @property
    def partial(self) -> str:
        """What is missing of the published set, as every table says it; '' when nothing is."""
        short = {name: count for name, count in self.published.items() if len(self.splits[name]) != count}
        parts = [f"{len(self.splits[name]):,} of {count:,} {name} faces" for name, count in short.items()]
        return f"PARTIAL SET: {', '.join(parts)}" if parts else ""

    def count_splits(self) -> None:
        """Compares the numbers of faces with the published ones: fewer are a gap, more are a fault."""
        for split, published in self.published.items():
            count = len(self.splits[split])
            sentence = f"{self.directory}: split {split} has {count:,} faces, the published set {published:,}"
            if count < published:
                self.findings.gaps.append(f"{sentence}; complete the download, or take it as it is (--allow-partial)")
            elif count > published:
                self.findings.faults.append(f"{sentence}; this is another version of the set, or has strange files")

    def raise_faults(self, allow_partial: bool) -> None:
        """Raises ValueError with the first ten faults, if there is any; gaps are faults unless they are allowed."""
        faults = self.findings.faults + ([] if allow_partial else self.findings.gaps)
        if faults:
            lines = grouped(faults)
            more = f"  (and {len(lines) - 10} more)\n" if len(lines) > 10 else ""
            raise ValueError(
                f"{self.directory} has {len(faults)} fault(s):\n  " + "\n  ".join(lines[:10]) + "\n" + more + "all: "
                f"`python -m data.prepare {self.dataset} --source {shlex.quote(str(self.directory))} --check`"
            )

    def summary(self) -> str:
        """What the source holds, for people: faces by split, points, the range of face sizes, and what was counted."""
        splits = ", ".join(
            f"{split} {len(faces):,}" + (f" of {self.published[split]:,}" if split in self.published else "")
            for split, faces in self.splits.items()
        )
        sides = [np.sqrt(face.box[2] * face.box[3]) for face in self.faces()]
        spread = f" of {min(sides):.0f} to {max(sides):.0f} pixels (root of the box's area)" if sides else ""
        counts = "".join(f"\n  {name.replace('_', ' ')}: {count:,}" for name, count in self.findings.counts.items())
        points = self.scheme.num_points
        return f"{self.directory}: faces{spread} with {points} points: {splits or 'none'}{counts}"


def first_few(sentences: list[str], what: str) -> list[str]:
    """The first ten sentences, and one that counts the others, which are `what`."""
    more = len(sentences) - 10
    return sentences if more <= 0 else [*sentences[:10], f"... and {more:,} more {what}"]


def digest_files(directory: Path, read: Iterable[Path], listed: Iterable[Path], *, sampled: bool = False) -> str:
    """SHA-256 in hex over the bytes of some files and the names and sizes of others, quick enough for every start.

    Args:
        directory: names count relative to it.
        read: files whose bytes count (annotations).
        listed: files that count by name and size (images).
        sampled: bytes of the listed files, from `SAMPLES` places of each, count too: a bitmap that was painted over has
            the name and size that it had.
    """
    digest = hashlib.sha256(FORMAT)
    for path in sorted(read):
        digest.update(os.fsencode(os.path.relpath(path, directory)) + b"\0" + read_bytes(path))
    for path in sorted(listed):
        size = os.stat(path).st_size if os.path.exists(path) else "dangling link"
        digest.update(os.fsencode(f"{os.path.relpath(path, directory)}\0{size}\n"))
        if sampled and size != "dangling link":
            digest.update(_sample(path, size))
    return digest.hexdigest()


def _sample(path: Path, size: int) -> bytes:
    """The bytes of a small file, or those of `SAMPLES` places spread evenly over a larger one."""
    with open_file(path) as file:
        if size <= SAMPLES * SAMPLE:
            return file.read(size)
        step = (size - SAMPLE) // (SAMPLES - 1)
        return b"".join(os.pread(file.fileno(), SAMPLE, step * place) for place in range(SAMPLES))


def stamp_files(paths: Iterable[Path]) -> str:
    """SHA-256 in hex over the time stamps and sizes of files: it changes when any was written, and with every copy."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        if os.path.exists(path):
            status = os.stat(path)
            digest.update(os.fsencode(f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}\n"))
    return digest.hexdigest()


def files_below(directory: Path) -> list[Path]:
    """Every regular file below a folder and every dangling link, none when the folder is missing.

    Links are followed, but no folder is entered twice: one that leads back would go round for ever. Reading a pipe
    would wait for ever. A folder counts under its own name before any link to it.
    """
    found, visited = [], set()
    folders, links = [str(directory)] if directory.is_dir() else [], []
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in visited:
            continue
        visited.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_symlink() and os.path.isdir(entry.path):
                    links.append(entry.path)
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file(follow_symlinks=False) or (entry.is_symlink() and not _is_special(entry.path)):
                    found.append(Path(entry.path))
    return found


def _is_special(path: str) -> bool:
    """Whether a link ends at a pipe, a socket or a device."""
    return os.path.exists(path) and not os.path.isfile(path)


def meant_instead(directory: Path, is_source: Callable[[Path], bool]) -> str:
    """'; give --source FOLDER' for the first folder just below `directory`, or up to three above, that is the set.

    Args:
        directory: the folder that was given; it need not be there.
        is_source: says whether a folder is the set.

    Returns:
        The end of an error sentence, '' when there is no such folder.
    """
    below = sorted(path for path in directory.iterdir() if path.is_dir()) if directory.is_dir() else []
    meant = next(filter(is_source, [*below, *directory.absolute().parents[:3]]), None)
    return "" if meant is None else f"; {meant} is such a folder: give --source {meant}"
