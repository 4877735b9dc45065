# SPDX-License-Identifier: Apache-2.0
"""Points that stand for none: (0, 0) or (-1, -1) with the visibility of a labelled point.

What another value stands for, such as (1, 1), is open: far from their faces, in one place of several pictures, such
points are doubted.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from data.coco.annotations import Row
from data.source import Findings

PLACEHOLDERS = ("auto", "keep", "drop")  # of far ones and near ones: drop the far, keep all, drop all
FAR = 0.15  # of the longer side of the face, from its other points
SEVERAL = 3  # faces of which one has a point in the very place of another's


def drop_placeholders(path: Path, rows: Sequence[Row], mode: str, findings: Findings) -> list[Row]:
    """The rows with their placeholders taken as not labelled; counted, and said in a note or, when kept, in a doubt.

    A placeholder lies far from the other points of its face. One near them, as in a face in the picture's corner, may
    be true. A box that was laid around the placeholder too is taken as none.
    """
    rows = _without_repeated(path, rows, mode, findings)
    found = [(row, *_placeholders(row)) for row in rows]
    written = sum(int(placeholders.sum()) for _, placeholders, _ in found)
    if not written:
        return list(rows)
    far = sum(int(beyond.sum()) for _, _, beyond in found)
    named = [
        f"{row.place.removeprefix(f'{path}: ')} point {point}"
        for row, placeholders, _ in found
        for point in np.flatnonzero(placeholders)[:1]
    ]
    values = sorted({f"({x:g}, {y:g})" for row, placeholders, _ in found for x, y in row.points[placeholders]})
    where = f"{written:,} points of {len(named):,} faces lie at {' or '.join(values[:3])} with v = 1 or 2, such as " + (
        ", ".join(named[:3])
    )
    switch = "(training: --config.data.placeholders={0}), or give such points v = 0"
    if mode == "keep" or (mode == "auto" and not far):
        findings.counts["points_at_zero"] += written
        findings.doubts.append(
            f"{path}: {where}; they were taken as true: take them as not labelled with --placeholders drop "
            + switch.format("drop")
        )
        return list(rows)
    kept = written - far if mode == "auto" else 0
    findings.counts["placeholder_points"] += written - kept
    near = f", all but {kept:,} that lie near their faces" if kept else ""
    findings.notes.append(
        f"{path}: {where}, and were taken as not labelled{near}; keep them with --placeholders keep "
        + switch.format("keep")
    )
    cleaned = [
        _without(row, placeholders if mode == "drop" else beyond, findings) for row, placeholders, beyond in found
    ]
    return [row for row in cleaned if row.labelled.any()]


def _without_repeated(path: Path, rows: Sequence[Row], mode: str, findings: Findings) -> Sequence[Row]:
    """The rows with their far points in one place of several pictures dropped, where the mode says so; else doubted."""
    apart = np.flatnonzero(_have_points_apart(rows)) if rows else ()
    seen = Counter(value for _, value in {(rows[at].file, value) for at in apart for value in _extremes(rows[at])})
    for x, y in sorted(value for value, files in seen.items() if files >= SEVERAL and not value[0] == value[1] <= 0):
        placeholders = [row.labelled & (row.points == (x, y)).all(axis=1) for row in rows]
        far = [
            of & _beyond(row, row.labelled & ~of) if of.any() else of
            for row, of in zip(rows, placeholders, strict=True)
        ]
        faces = [row for row, of in zip(rows, far, strict=True) if of.any()]
        if len(faces) < SEVERAL or 2 * len(faces) < sum(of.any() for of in placeholders):
            continue
        points = sum(int(of.sum()) for of in far)
        if mode == "drop":
            findings.counts["placeholder_points"] += points
            rows = [_without(row, of, findings) for row, of in zip(rows, far, strict=True)]
        elif mode == "auto":
            findings.doubts.append(
                f"{path}: {points:,} points of {len(faces):,} faces lie at ({x:g}, {y:g}), far from their faces, such "
                f"as {faces[0].place.removeprefix(f'{path}: ')}: they may stand for points that are not labelled; take "
                "them so with --placeholders drop (training: --config.data.placeholders=drop), or keep them with "
                "--placeholders keep"
            )
    return rows


def _have_points_apart(rows: Sequence[Row]) -> np.ndarray:
    """Which faces have a point that may be far from the others: bool [n], all faces at once, since most have none."""
    points = np.stack([np.where(row.labelled[:, None], row.points, np.nan) for row in rows])
    apart = np.zeros(len(rows), bool)
    for end in (points, -points):
        high = np.where(np.isnan(end), -np.inf, end).max(axis=1)
        low = np.where(np.isnan(end), np.inf, end).min(axis=1)
        second = np.where(end > low[:, None], end, np.inf).min(axis=1)
        with np.errstate(invalid="ignore"):  # where one point is all that is labelled
            apart |= (second - low > FAR * (high - second)).any(axis=1)
    return apart


def _extremes(row: Row) -> set[tuple[float, float]]:
    """The points that are farthest to a side of a face."""
    points = row.points[row.labelled]
    ends = {*points.argmin(axis=0).tolist(), *points.argmax(axis=0).tolist()} if len(points) else ()
    return {(float(points[end, 0]), float(points[end, 1])) for end in ends}


def _beyond(row: Row, others: np.ndarray) -> np.ndarray:
    """Which points lie far from the others of their face: bool [K]."""
    if not others.any():
        return np.zeros_like(others)
    low, high = row.points[others].min(axis=0), row.points[others].max(axis=0)
    reach = FAR * max((high - low).max(), 1.0)
    return ((row.points < low - reach) | (row.points > high + reach)).any(axis=1)


def _placeholders(row: Row) -> tuple[np.ndarray, np.ndarray]:
    """Which labelled points are written as placeholders are, and which of these are none of the face: bool [K].

    Those that lie far from it, and those of which a face has several, since no two points of a face coincide.
    """
    marked = row.labelled & (row.points[:, 0] == row.points[:, 1]) & (row.points[:, 0] <= 0)
    others = row.labelled & ~marked
    if not marked.any():
        return marked, marked
    if marked.sum() > 1 or not others.any():
        return marked, marked if marked.sum() > 1 else np.zeros_like(marked)
    return marked, marked & _beyond(row, others)


def _without(row: Row, dropped: np.ndarray, findings: Findings) -> Row:
    if not dropped.any():
        return row
    box, places = row.box, row.points[dropped]
    if (np.abs(box[:2] - places) <= 1).all(axis=1).any():
        findings.counts["boxes_around_placeholders"] += 1
        box = np.full(4, np.nan)
    points = np.where(dropped[:, None], np.nan, row.points)
    return replace(row, points=points, visible=np.where(dropped, 0, row.visible), box=box)
