# SPDX-License-Identifier: Apache-2.0
"""Label Studio's JSON export: key points in per cent of the picture, one task a picture.

Points of a task that was rotated on the screen are of the picture as it is: Label Studio turns them back before it
saves them. `data.convert.faces` turns back those that are not.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.convert.faces import ConvertedFace
from data.convert.label_studio_results import envelope_of, label_of, picture_size, position_of, turned_by
from data.convert.record import VISIBLE, Options, Record, shown
from data.convert.text import read_json
from data.source import Findings

SUFFIXES = (".json",)
ABOUT = "Label Studio's JSON"
Group = tuple[dict[str, Any] | None, list[dict[str, Any]]]  # a face's rectangle and its points
PICTURES = ("image", "img", "picture", "photo", "url", "file")  # keys of a task's data, the likelier first


def recognises(path: Path, head: bytes) -> bool:
    """Whether the first bytes of a file are this format's."""
    del path
    return b'"keypointlabels"' in head or (b'"result"' in head and b'"data"' in head)


def read(path: Path, options: Options, findings: Findings) -> list[Record]:
    """The faces of a file; faults of single tasks are collected. Raises ValueError when it is no such file at all."""
    tasks = read_json(path, options.encoding, findings)
    tasks = [tasks] if isinstance(tasks, dict) and "data" in tasks else tasks
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise ValueError(f"{path}: no list of tasks; export the project as 'JSON'")
    if tasks and not any("data" in task for task in tasks):
        raise ValueError(f"{path}: tasks without data, as 'JSON-MIN' has them; export the project as 'JSON'")
    records = []
    for number, task in enumerate(tasks):
        try:
            records += _faces(
                path, task, f"{path}: task {shown(task.get('id', f'number {number}'))}", options, findings
            )
        except ValueError as error:
            findings.faults.append(str(error))
    return records


def _faces(path: Path, task: dict[str, Any], where: str, options: Options, findings: Findings) -> list[Record]:
    data = task.get("data")
    texts = {key: value for key, value in data.items() if isinstance(value, str)} if isinstance(data, dict) else {}
    picture = next((texts[key] for key in (*PICTURES, *texts) if texts.get(key)), "")
    if not picture:
        raise ValueError(f"{where}: its data name no picture; export it again")
    where = f"{where} ({picture.rpartition('/')[2][:80]})"
    results = _chosen(task, where, options, findings)
    if results is None:
        findings.counts["tasks_without_annotation_left_out"] += 1
        return []
    points = [result for result in results if result.get("type") in ("keypointlabels", "keypoint")]
    boxes = [result for result in results if result.get("type") in ("rectanglelabels", "rectangle")]
    findings.counts["results_of_other_types_left_out"] += len(results) - len(points) - len(boxes)
    turned = turned_by(points, where)
    findings.counts["rotated_tasks"] += bool(turned)
    size = picture_size(points, where)
    fields = {key: str(value) for key, value in data.items() if isinstance(value, str | int)}
    records = []
    for box, group in _by_face(points, boxes, where, findings):
        named = {label_of(result, where): (*position_of(result, where), VISIBLE) for result in group}
        records.append(
            Record(
                where,
                path,
                picture,
                named,
                envelope_of(box, size, where) if box else None,
                size,
                fields=fields,
                turned=turned,
            )
        )
    return records


def _chosen(task: dict[str, Any], where: str, options: Options, findings: Findings) -> list[dict[str, Any]] | None:
    """The results of the annotation that counts: the annotator's, or the ground truth, or the latest one."""
    raw = task.get("annotations", task.get("completions")) or []
    if not isinstance(raw, list) or not all(isinstance(annotation, dict) for annotation in raw):
        raise ValueError(f"{where}: its annotations are no list of objects; export it again")
    valid = [annotation for annotation in raw if not annotation.get("was_cancelled")]
    findings.counts["cancelled_annotations_left_out"] += len(raw) - len(valid)
    if options.annotator:
        valid = [annotation for annotation in valid if options.annotator in _people(annotation.get("completed_by"))]
    if len(valid) > 1:
        findings.counts["tasks_of_several_annotations_of_which_one_counts"] += 1
    if not valid:
        return None
    best = max(
        valid, key=lambda one: (bool(one.get("ground_truth")), str(one.get("updated_at", one.get("created_at", ""))))
    )
    results = best.get("result")
    if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
        raise ValueError(f"{where}: an annotation without a list of results; export it again")
    return results


def _people(completed_by: Any) -> list[str]:
    person = completed_by if isinstance(completed_by, dict) else {"id": completed_by}
    return [str(person[key]) for key in ("id", "email") if key in person]


def _by_face(points: list[dict[str, Any]], boxes: list[dict[str, Any]], where: str, findings: Findings) -> list[Group]:
    """The points of each face with its rectangle: by parent, else by the rectangle around each point where there are
    several, else one face if each label is there once, else by order, a new face beginning where a label comes again.
    """
    ids = {box.get("id"): box for box in boxes if isinstance(box.get("id"), str)}
    parents = {parent for p in points if isinstance(parent := p.get("parentID"), str)}
    if parents:
        if not all(isinstance(p.get("parentID"), str) for p in points):
            raise ValueError(f"{where}: some of its points belong to a region and some do not; assign them all")
        groups = [(ids.get(parent), [p for p in points if p["parentID"] == parent]) for parent in sorted(parents)]
        return _checked(groups, where)
    around = [[n for n, box in enumerate(boxes) if _holds(box, p, where)] for p in points]
    if not _twice(points, where) and not (len(boxes) > 1 and all(len(of_point) == 1 for of_point in around)):
        groups = [(boxes[0] if len(boxes) == 1 else None, points)] if points else []
    elif boxes:
        for p, of_point in zip(points, around, strict=True):
            if len(of_point) != 1:
                raise ValueError(
                    f"{where}: point {shown(label_of(p, where))} lies in {len(of_point)} rectangles, not one; "
                    "make it a child of its face's rectangle"
                )
        held = [[p for p, of_point in zip(points, around, strict=True) if of_point == [n]] for n in range(len(boxes))]
        groups = [(box, own) for box, own in zip(boxes, held, strict=True) if own]
    else:
        groups = [(None, [])]
        for p in points:
            if label_of(p, where) in [label_of(q, where) for q in groups[-1][1]]:
                groups.append((None, []))
            groups[-1][1].append(p)
        findings.counts["faces_told_apart_by_the_order_of_their_points"] += len(groups)
    return _checked(groups, where)


def _checked(groups: list[Group], where: str) -> list[Group]:
    """The groups, none of which has a label twice."""
    for _, group in groups:
        if again := _twice(group, where):
            raise ValueError(
                f"{where}: two points {shown(again)} of one face; make each face's points children of its rectangle"
            )
    return groups


def _twice(points: list[dict[str, Any]], where: str) -> str:
    """The first label that two points have; '' when there is none."""
    labels = [label_of(p, where) for p in points]
    return next((label for k, label in enumerate(labels) if label in labels[:k]), "")


def _holds(box: dict[str, Any], point: dict[str, Any], where: str) -> bool:
    x, y, w, h = envelope_of(box, None, where)
    px, py = position_of(point, where)
    return x <= px <= x + w and y <= py <= y + h


def write(folder: Path, split: str, faces: Sequence[ConvertedFace], names: Sequence[str], findings: Findings) -> None:
    """Writes `folder/<split>.json`: each face a rectangle whose children its points are. Occlusion is not kept."""
    tasks: dict[str, dict[str, Any]] = {}
    for number, face in enumerate(faces):
        picture = face.picture
        task = tasks.setdefault(
            picture.name,
            {"id": len(tasks) + 1, "data": {"image": f"images/{picture.name}"}, "annotations": [{"result": []}]},
        )
        width, height = picture.size
        about = {"to_name": "image", "original_width": width, "original_height": height, "image_rotation": 0}
        x, y, w, h = (float(v) * 100 / side for v, side in zip(face.box, (width, height, width, height), strict=True))
        rectangle = {"x": x, "y": y, "width": w, "height": h, "rotation": 0, "rectanglelabels": ["face"]}
        results = task["annotations"][0]["result"]
        results.append(
            {"id": f"face{number}", "type": "rectanglelabels", "from_name": "box", "value": rectangle} | about
        )
        for label, (px, py), visible in zip(names, face.points, face.visible, strict=True):
            if visible:
                value = {"x": px * 100 / width, "y": py * 100 / height, "width": 0.5, "keypointlabels": [label]}
                results.append(
                    {"parentID": f"face{number}", "type": "keypointlabels", "from_name": "kp", "value": value} | about
                )
        findings.counts["occluded_points_written_as_visible"] += int((face.visible == 1).sum())
    (folder / f"{split}.json").write_text(json.dumps(list(tasks.values()), allow_nan=False), encoding="utf-8")
