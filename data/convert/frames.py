# SPDX-License-Identifier: Apache-2.0
"""The width and height of pictures that viewers turn, where the annotations say none: those of the annotator's frame.

A result states sizes, by which its readers know the frame again (`data.coco.frames`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from barrel_jax.faces.landmarks import LandmarkScheme, Normaliser
from barrel_jax.faces.symmetry import find_scheme
from barrel_jax.pictures import TURNS
from data.coco.annotations import Row
from data.coco.frames import frame_of
from data.coco.upright import Axes, axes_of
from data.convert.record import Record
from data.source import Findings


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
    switch: str,
    findings: Findings,
) -> dict[Path, tuple[int, int]]:
    """Width and height, by picture, where they are not those stored: by the points, the faces, or the switch.

    Args:
        records: their points in pixels.
        located: the picture of each.
        pictures: as stored.
        names: of the landmarks, in order.
        switch: 'auto', 'stored' or 'upright'.
        findings: take the note on pictures for which nothing decides.
    """
    turned = {path for path, picture in pictures.items() if TURNS[picture.orientation][0]}
    rows: dict[Path, list[Row]] = {}
    for record, path in zip(records, located, strict=True):
        if path in turned and record.size is None:
            rows.setdefault(path, []).append(_row(record, names))
    if not rows:
        return {}
    axes, sizes, open_ones = _axes(records, names), {}, []
    for path, faces in rows.items():
        picture = pictures[path]
        frame = frame_of(picture.orientation, picture.size, faces, axes, switch)
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


def _row(record: Record, names: Sequence[str]) -> Row:
    values = np.array([record.points.get(name, (np.nan, np.nan, 0)) for name in names], np.float64)
    return Row(record.where, 0, record.picture, (0, 0), values[:, :2], values[:, 2], np.full(4, np.nan))


def _axes(records: Sequence[Record], names: Sequence[str]) -> Axes | None:
    rows = [_row(record, names) for record in records]
    points = np.stack([np.where(row.labelled[:, None], row.points, np.nan) for row in rows])
    try:
        scheme, _ = find_scheme(points, np.stack([row.visible for row in rows]))
    except ValueError:  # left and right cannot be paired
        scheme = LandmarkScheme("", len(names), (), Normaliser(), ())
    return axes_of(scheme, tuple(names))
