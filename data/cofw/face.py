# SPDX-License-Identifier: Apache-2.0
"""A face of COFW or COFW-68 from its numbers, with everything that is wrong with them told."""

from dataclasses import dataclass

import numpy as np

from data.numbers import LIMIT
from data.source import Face, Findings, points_missed


@dataclass(frozen=True)
class Record:
    """The numbers of one face, moved to the frames of `Face`, and what to call them in messages."""

    face: int
    file: str
    points_px: np.ndarray  # float64 [K, 2]
    occluded: np.ndarray  # [K], 1 occluded, 0 visible
    box: np.ndarray  # float64 [4], x, y, w, h
    size: tuple[int, int] | None  # width and height of the image, None when it is not there
    points_name: str  # the file, the variable and the record
    occluded_name: str
    box_name: str
    remedy: str


def face_of(record: Record, findings: Findings) -> Face | None:
    """The face, counted in the findings; None when its numbers make none, which the findings then say."""
    faults = [*_points_faults(record), *_box_faults(record)]
    if faults:
        findings.faults += [f"{fault}; {record.remedy}" for fault in faults]
        return None
    edge = record.points_px + 0.5  # from the pixel's centre to the frame of boxes
    findings.counts["faces"] += 1
    findings.counts["occluded_points"] += int(record.occluded.sum())
    if record.size is not None:
        findings.counts["points_outside_image"] += int(((edge < 0) | (edge > record.size)).any(axis=1).sum())
    missed = points_missed(record.box, record.points_px)
    if missed > len(edge) / 2:
        findings.counts["boxes_missing_points"] += 1
        findings.doubts.append(f"{record.box_name}: the box misses {missed} of {len(edge)} landmarks; {record.remedy}")
    return Face(
        face=record.face,
        file=record.file,
        box=record.box.astype(np.float32),
        points=record.points_px.astype(np.float32),
        visible=(2 - record.occluded).astype(np.uint8),
        size=record.size,
    )


def _points_faults(record: Record) -> list[str]:
    faults = []
    # Written so that NaN is bad too.
    bad = np.flatnonzero(~(np.abs(record.points_px) <= LIMIT).all(axis=1))
    if len(bad):
        x, y = record.points_px[bad[0]]
        faults.append(
            f"{record.points_name} has {len(bad)} point(s) that lie nowhere, the first is point {bad[0]} (from 0) at "
            f"({x:.4g}, {y:.4g})"
        )
    odd = np.flatnonzero((record.occluded != 0) & (record.occluded != 1))
    if len(odd):
        faults.append(
            f"{record.occluded_name} has {len(odd)} occlusion(s) that are neither 0 nor 1, the first is "
            f"{record.occluded[odd[0]]:.4g} of point {odd[0]} (from 0)"
        )
    return faults


def _box_faults(record: Record) -> list[str]:
    box, size = record.box, record.size
    shown = "[" + ", ".join(f"{value:.6g}" for value in box) + "]"
    if not (np.abs(box) <= LIMIT).all():
        return [f"{record.box_name} has a box that lies nowhere: {shown} (x, y, w, h)"]
    if min(box[2:]) <= 0:
        return [f"{record.box_name} has a box without area: {shown} (x, y, w, h)"]
    if size is not None and min(np.minimum(box[:2] + box[2:], size) - np.maximum(box[:2], 0)) < 1:
        image = f"its image of {size[0]} x {size[1]}"
        return [f"{record.box_name} has a box {shown} (x, y, w, h) that shows less than a pixel of {image}"]
    return []
