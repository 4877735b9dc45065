# SPDX-License-Identifier: Apache-2.0
"""A folder of annotations in one format made into one in another: read, found wrong or mended, divided, written."""

import os
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from data.convert.faces import ConvertedFace, landmark_names, make_faces
from data.convert.formats import FORMATS, recognise
from data.convert.frames import Frame
from data.convert.given_twice import given_once
from data.convert.pictures import Pictures, files_of
from data.convert.record import Options, Record
from data.convert.split import Division, divide
from data.convert.split_names import own_split
from data.convert.stated_splits import of_known_splits
from data.grouping import grouped
from data.source import Findings, first_few

ANNOTATIONS = ("annotations", "annotation", "labels", "json", "xml")  # folders of annotation files alone
LINES = 10  # of faults or notes that are said


@dataclass(frozen=True)
class Task:
    """What is to be converted, and how."""

    form: str  # name of the source's format
    source: Path  # a folder, or one annotation file
    out: Path
    to: str = "coco"
    images: Path | None = None  # the folder that holds the pictures; None: the source's
    landmarks: tuple[str, ...] = ()  # which ones, in this order; () for all
    unit: str = ""  # of points and boxes; '' for the format's own
    origin: int | None = None  # what the file calls the first pixel's centre; None for the format's own
    exif: str = "auto"  # frame of pictures that viewers turn and whose sizes the file does not say
    as_shown: bool = False  # points of rotated tasks are of what the screen showed
    skip_faulty: bool = False  # leaves out what has faults
    link: bool = False  # hard links in the place of copies
    options: Options = field(default_factory=Options)
    division: Division = field(default_factory=Division)


def convert(task: Task) -> str:
    """Converts, and returns what was done, for people. The result is there whole or not at all.

    Raises:
        FileNotFoundError: the source, or an annotation file in it, is missing.
        ValueError: a file is not of the format, faces have faults, the result's folder is not empty, or an option is
          none of the format's.
    """
    source, out, form = task.source, task.out, FORMATS[task.form]
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: is there already and not empty; name another folder with --out, or remove it")
    _check_options(task)
    findings = Findings()
    root = source if source.is_dir() else source.parent
    if source.is_file() and root.name in ANNOTATIONS:  # their pictures lie beside that folder
        root = root.parent
    records: list[Record] = []
    for path in annotation_files(task, findings):
        split = own_split(path, root, form.beside)
        try:
            found = form.read(path, task.options, findings)
            known = found if task.division.anew else of_known_splits(found, findings)
            records += [replace(record, split=record.split or split) for record in known]
        except ValueError as error:
            findings.faults.append(str(error))
    _raise_faults(task, findings)
    names = landmark_names(records, task.landmarks, findings)
    frame = Frame(task.unit or form.unit, form.origin if task.origin is None else task.origin, task.exif, task.as_shown)
    _check_unit(task, frame, records)
    pictures = Pictures(task.images or root, without=out)
    faces = given_once(make_faces(records, pictures, names, frame, findings), findings)
    if frame.origin:
        findings.notes.append("points are taken as counted from 1 and moved by one pixel; --origin 0 leaves them")
    _raise_faults(task, findings)
    if not faces:
        raise ValueError(f"{source}: no face with a labelled point; annotate some, or export again")
    splits = divide(faces, task.division, findings)
    _write(task, splits, names, findings)
    return _summary(task, len(records), splits, names, findings)


def annotation_files(task: Task, findings: Findings) -> list[Path]:
    """The files of the format in the source; others that could be annotations are noted.

    Raises:
        FileNotFoundError: there is none; says what the others look like.
    """
    source, form = task.source, FORMATS[task.form]
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file or folder; name the folder of the annotations, or one of them")
    if source.is_file():
        return [source]
    looks = {path: recognise(path) for path in files_of(source, form.suffixes, task.out)}
    # What looks like nothing may be a damaged file of this format, whose fault is to be said; a .txt may be anything.
    fitting = [path for path, look in looks.items() if look == task.form or (not look and path.suffix != ".txt")]
    others = {path: FORMATS[look].about if look else "a text" for path, look in looks.items() if path not in fitting}
    listed = [f"{path} ({about})" for path, about in others.items()]
    if not fitting:
        there = f"; there is {', '.join(listed[:3])}" if listed else f": none ends in {' or '.join(form.suffixes)}"
        raise FileNotFoundError(f"{source}: no file of {form.about} here{there}")
    if listed:
        findings.notes.append(f"files that are not {form.about} are left out: {', '.join(first_few(listed, 'files'))}")
    return fitting


def _check_options(task: Task) -> None:
    form, default = FORMATS[task.form], Options()
    chosen = [name for name, value in vars(task.options).items() if value != getattr(default, name)]
    for name in [*chosen, *["as_shown"] * task.as_shown]:
        if name not in form.options:
            readers = ", ".join(reader for reader, other in FORMATS.items() if name in other.options)
            raise ValueError(
                f"--{name.replace('_', '-')} says nothing of {form.about}; leave it out (it is read with: {readers})"
            )
    if task.options.corners and not task.options.box_columns:
        raise ValueError("--corners says what --box-columns hold; name the box's four columns with --box-columns")


def _check_unit(task: Task, frame: Frame, records: Sequence[Record]) -> None:
    values = [abs(v) for record in records for x, y, visible in record.points.values() if visible for v in (x, y)]
    if frame.unit == "pixel" and values and max(values) <= 1:
        raise ValueError(
            f"{task.source}: no point is beyond 1, so that these are fractions of the pictures; add --unit fraction"
        )


def _raise_faults(task: Task, findings: Findings) -> None:
    """Raises ValueError with the first faults, or counts them where they are to be left out."""
    count, faults = len(findings.faults), grouped(findings.faults)
    if task.skip_faulty:
        findings.counts["records_with_faults_left_out"] += count
        findings.notes += [f"left out: {fault}" for fault in first_few(faults, "left out")]
        findings.faults = []
    elif count == 1:
        raise ValueError(f"{faults[0]} (--skip-faulty leaves it out)")
    elif count:
        more = [f"  (and {len(faults) - LINES:,} more lines)"] if len(faults) > LINES else []
        listed = "\n".join([*(f"  {fault}" for fault in faults[:LINES]), *more])
        raise ValueError(
            f"{task.source} has {count:,} faults:\n{listed}\nmend them, or leave them out with --skip-faulty"
        )


def _write(task: Task, splits: dict[str, list[ConvertedFace]], names: Sequence[str], findings: Findings) -> None:
    """Writes beside the result's place, then renames: a killed run leaves no half of a set that would be read."""
    form, out = FORMATS[task.to], task.out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        for split, faces in splits.items():
            form.write(temporary, split, faces, names, findings)
            home = temporary / (split if form.beside else "images")
            for picture in {face.picture.name: face.picture for face in faces}.values():
                place = home / picture.name
                place.parent.mkdir(parents=True, exist_ok=True)
                if task.link:
                    try:
                        os.link(os.path.realpath(picture.path), place)
                        findings.counts["pictures_linked"] += 1
                        continue
                    except OSError:  # another file system, or one without links
                        pass
                if not place.exists():
                    shutil.copyfile(picture.path, place)
                    findings.counts["pictures_copied"] += 1
        temporary.chmod(0o777 & ~_umask())
        os.replace(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _summary(
    task: Task, read: int, splits: dict[str, list[ConvertedFace]], names: Sequence[str], findings: Findings
) -> str:
    form = FORMATS[task.to]
    counts = ", ".join(f"{name} {len(faces):,}" for name, faces in splits.items())
    shown = ", ".join(names if len(names) <= 8 else [*names[:4], "...", names[-1]])
    lines = [
        f"{task.source}: {read:,} faces read as {FORMATS[task.form].about}",
        f"{task.out}: {sum(map(len, splits.values())):,} faces written as {form.about}: {counts}",
        f"  {len(names)} landmarks: {shown}",
        *(f"  {name.replace('_', ' ')}: {count:,}" for name, count in findings.counts.items() if count),
        *(f"note: {note}" for note in first_few(findings.notes, "notes")),
    ]
    if task.to == "coco":
        lines.append(f"look at it with `python -m data.prepare coco --source {shlex.quote(str(task.out))} --check`")
    return "\n".join(lines)
