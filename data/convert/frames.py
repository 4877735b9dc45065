# SPDX-License-Identifier: Apache-2.0
"""The meaning of records' numbers, and the width and height of pictures that viewers turn, in the annotator's frame.

Where the annotations say no size, the points, the faces or the switch decide. A result states sizes, by which its
readers know the frame again (`data.coco.frames`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from barrel_jax.faces.geometry import UNITS
from barrel_jax.faces.landmarks import LandmarkScheme, Normaliser
from barrel_jax.faces.symmetry import find_scheme
from barrel_jax.pictures import TURNS
from data.coco.annotations import Row
from data.coco.frames import frame_of
from data.coco.upright import Axes, axes_of
from data.convert.record import Record
from data.source import Findings


@dataclass(frozen=True)
class Frame:
    """What the numbers of records mean."""

    unit: str = "pixel"  # one of geometry.UNITS
    origin: int = 0  # what is given to the centre of the first pixel
    exif: str = "auto"  # frame of pictures that viewers turn: 'auto', 'stored' or 'upright' (data.coco.frames)
    as_shown: bool = False  # points of a picture that was turned on the screen are of what the screen showed


@dataclass(frozen=True)
class Stored:
    """A picture file as it is stored."""

    size: tuple[int, int]  # width and height
    orientation: int  # EXIF's
    digest: str  # of its bytes


def annotated_sizes(
    records: Sequence[Record],
    located: Sequence[Path | None],
    pictures: Mapping[Path, Stored],
    names: Sequence[str],
    meaning: Frame,
    findings: Findings,
) -> dict[Path, tuple[int, int]]:
    """Width and height, by picture, where they are not those stored: by the points, the faces, or the switch.

    Args:
        records: of all files.
        located: the picture of each.
        pictures: as stored.
        names: of the landmarks, in order.
        meaning: of the records' numbers. Parts of a picture's sides lie inside it in either frame, so that of them the
            faces and the switch alone decide.
        findings: take the note on pictures for which nothing decides.
    """
    turned = {path for path, picture in pictures.items() if TURNS[picture.orientation][0]}
    whole = UNITS[meaning.unit]
    rows: dict[Path, list[Row]] = {}
    every = []
    for record, path in zip(records, located, strict=True):
        if path not in pictures:
            continue
        row = _row(record, names, np.array(pictures[path].size) / whole if whole else np.ones(2))
        every.append(row)
        if path in turned and record.size is None:
            rows.setdefault(path, []).append(row)
    if not rows:
        return {}
    axes, sizes, open_ones = _axes(every, names), {}, []
    for path, faces in rows.items():
        picture = pictures[path]
        frame = frame_of(picture.orientation, picture.size, faces, axes, meaning.exif)
        if frame.upright:
            sizes[path] = frame.size
        if not frame.by:
            open_ones.append(path)
    findings.counts["pictures_taken_as_viewers_show_them"] += len(sizes)
    if open_ones:
        findings.notes.append(
            f"{len(open_ones):,} pictures (such as {open_ones[0]}) are turned by viewers, and neither sizes nor points "
            "say whether they were annotated so; they were taken as stored; --exif upright takes them as viewers do"
        )
    return sizes


def _row(record: Record, names: Sequence[str], scale: np.ndarray) -> Row:
    values = np.array([record.points.get(name, (np.nan, np.nan, 0)) for name in names], np.float64)
    return Row(record.where, 0, record.picture, (0, 0), values[:, :2] * scale, values[:, 2], np.full(4, np.nan))


def _axes(rows: Sequence[Row], names: Sequence[str]) -> Axes | None:
    points = np.stack([np.where(row.labelled[:, None], row.points, np.nan) for row in rows])
    try:
        scheme, _ = find_scheme(points, np.stack([row.visible for row in rows]))
    except ValueError:  # left and right cannot be paired
        scheme = LandmarkScheme("", len(names), (), Normaliser(), ())
    return axes_of(scheme, tuple(names))
