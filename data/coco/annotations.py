# SPDX-License-Identifier: Apache-2.0
"""The faces of one COCO keypoints document, with every fault of it collected, one sentence each."""

from pathlib import Path
from typing import Any

import numpy as np

from data.source import Face, Findings, points_missed


def read_faces(path: Path, document: dict[str, Any], num_points: int, findings: Findings) -> list[Face]:
    """The faces of the document read from `path`, in the order of its images, then of its annotations."""
    faults = findings.faults
    images, faces = {}, {}
    for image in document["images"]:
        name = f"{path}: image {image['id']}"
        if image["id"] in images:
            faults.append(f"{name} has an id that another image has; give every image its own")
        elif not isinstance(image.get("file_name"), str) or not image["file_name"]:
            faults.append(f"{name} has no file_name; add it")
        elif not all(isinstance(image.get(side), int) and image[side] > 0 for side in ("width", "height")):
            faults.append(f"{name} ({image['file_name']}) has no width and height in whole pixels; add them")
        else:
            images[image["id"]], faces[image["id"]] = image, []
            continue
        images[image["id"]] = None
    seen = set()
    for annotation in document["annotations"]:
        name = f"{path}: annotation {annotation['id']}"
        if annotation["id"] in seen:
            faults.append(f"{name} has an id that another annotation has; give every face its own")
        seen.add(annotation["id"])
        image_id = annotation.get("image_id")
        if image_id not in images:
            faults.append(f"{name} is of image {image_id}, which is not in images; add the image or remove the face")
        elif annotation.get("iscrowd"):
            findings.counts["crowd_annotations"] += 1
        elif images[image_id] and (face := _read_face(name, annotation, images[image_id], num_points, findings)):
            faces[image_id].append(face)
    findings.counts["images"] += sum(bool(group) for group in faces.values())
    findings.counts["images_without_faces"] += sum(not group for group in faces.values())
    return [face for group in faces.values() for face in group]


def _read_face(
    name: str, annotation: dict[str, Any], image: dict[str, Any], num_points: int, findings: Findings
) -> Face | None:
    """One face, or None when it has no labelled point (counted) or a fault (noted under `name`)."""
    name = f"{name} ({image['file_name']})"
    keypoints = _numbers(annotation.get("keypoints"), 3 * num_points)
    if keypoints is None:
        given = annotation.get("keypoints")
        if isinstance(given, list) and len(given) == 3 * num_points:
            at = next(i for i, value in enumerate(given) if _numbers([value], 1) is None)
            findings.faults.append(
                f"{name} has {len(given)} keypoint values, of which number {at} (from 0), {given[at]!r}, is not "
                "a number; give x, y, v as numbers, with v = 0 for points not labelled"
            )
            return None
        length = len(given) if isinstance(given, list) else "no"
        findings.faults.append(
            f"{name} has {length} keypoint values where {num_points} points need {3 * num_points} numbers x, y, v; "
            "give all faces the same list of points, with v = 0 for those not labelled"
        )
        return None
    points, visible = keypoints.reshape(-1, 3)[:, :2], keypoints[2::3]
    if not np.isin(visible, (0, 1, 2)).all():
        findings.faults.append(
            f"{name} has a visibility that is not 0 (not labelled), 1 (occluded) or 2 (visible); correct it"
        )
        return None
    labelled = (visible > 0) & np.isfinite(points).all(axis=1)
    findings.counts["nan_points"] += int((visible > 0).sum() - labelled.sum())
    if not labelled.any():
        findings.counts["faces_without_points"] += 1
        return None
    size = (image["width"], image["height"])
    box = _read_box(name, annotation.get("bbox"), size, findings)
    if box is None:
        return None
    findings.counts["faces"] += 1
    findings.counts["points_not_labelled"] += int((visible == 0).sum())
    edge = points[labelled] + 0.5  # from the pixel's centre to the frame of boxes
    findings.counts["points_outside_image"] += int(((edge < 0) | (edge > size)).any(axis=1).sum())
    missed = points_missed(box, points[labelled])
    if missed > len(edge) / 2:
        findings.counts["boxes_missing_points"] += 1
        findings.doubts.append(f"{name} has a box that misses {missed} of {len(edge)} labelled points; correct bbox")
    return Face(
        face=annotation["id"],
        file=image["file_name"],
        size=size,
        box=box.astype(np.float32),
        points=np.where(labelled[:, None], points, np.nan).astype(np.float32),
        visible=np.where(labelled, visible, 0).astype(np.uint8),
    )


def _read_box(name: str, given: object, size: tuple[int, int], findings: Findings) -> np.ndarray | None:
    box = _numbers(given, 4)
    if box is None:
        findings.faults.append(f"{name} has no box; add bbox [x, y, width, height] in pixels")
    elif not np.isfinite(box).all() or min(box[2:]) <= 0:
        findings.faults.append(f"{name} has a box without area: {given}; correct bbox [x, y, width, height]")
    elif min(np.minimum(box[:2] + box[2:], size) - np.maximum(box[:2], 0)) < 1:
        findings.faults.append(
            f"{name} has a box {given} that shows less than a pixel of its image of {size[0]} x {size[1]}; correct bbox"
        )
    else:
        return box
    return None


def _numbers(values: object, length: int) -> np.ndarray | None:
    """A JSON list of `length` numbers as float64, null as NaN; None when it is anything else."""
    if not isinstance(values, list) or len(values) != length:
        return None
    if not all(isinstance(value, int | float | None) for value in values):
        return None
    return np.array(values, np.float64)
