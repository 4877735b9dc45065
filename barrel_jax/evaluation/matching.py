# SPDX-License-Identifier: Apache-2.0
"""Predictions matched to annotated faces, by ids and by the boxes that the predictions were made from.

`face` is an annotation's id in a set; in `points.json` of `barrel_jax.predict` it is that too where COCO's boxes were
given, and else counts the faces of a picture. Ids are taken for ids where their boxes agree; else boxes decide.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Real

from barrel_jax.faces.annotated import FaceTruth

LEAST = 0.3  # overlap (intersection over union) of a face's boxes by two hands, or a hand and a detector


def match_boxes(
    file: Path, files: list[str], ids: list[int] | None, boxes: Real[np.ndarray, "n 4"], faces: FaceTruth
) -> Int[np.ndarray, " m"]:
    """For each of the m faces of `faces` the row of the predictions that is of it [m].

    Args:
        file: of the predictions, for messages.
        files: names of the n predictions' pictures; with or without folders.
        ids: what the predictions call `face` [n], if anything.
        boxes: x, y, w, h in source pixels [n, 4].
        faces: the annotated faces.

    Raises:
        ValueError: a prediction overlaps no annotated face of its picture, or a face has no prediction; names both.
    """
    from scipy.optimize import linear_sum_assignment  # takes a second, which a training's start need not wait for

    keys = list(zip(faces.files, faces.faces.tolist(), strict=True))
    files = _with_folders(files, faces)
    if ids is not None:
        rows = {key: row for row, key in enumerate(zip(files, ids, strict=True))}
        if len(rows) == len(files) and rows.keys() == set(keys):
            order = np.array([rows[key] for key in keys])
            if (overlaps(boxes[order], faces.boxes).diagonal() >= LEAST).all():
                return order
    order = np.full(len(faces), -1)
    unmatched = []
    true_rows, given_rows = _by_file(faces.files), _by_file(files)
    for name, predicted in given_rows.items():
        true = true_rows.get(name, [])
        shared = overlaps(boxes[predicted], faces.boxes[true])
        for mine, theirs in zip(*linear_sum_assignment(-shared), strict=True):
            if shared[mine, theirs] >= LEAST:
                order[true[theirs]] = predicted[mine]
        unmatched += [
            f"{name} box {np.round(boxes[row], 1).tolist()} (at most {max(shared[number], default=0):.0%} of a face's)"
            for number, row in enumerate(predicted)
            if row not in order[true]
        ]
    missing = [f"{faces.files[row]} face {faces.faces[row]}" for row in np.flatnonzero(order < 0)]
    for names, problem in (
        (unmatched, f"overlap no face of {faces.dataset} {faces.split} in their pictures"),
        (missing, f"faces of {faces.dataset} {faces.split} have no prediction whose box overlaps theirs"),
    ):
        if names:
            raise ValueError(f"{file}: {len(names)} {problem}, first: {', '.join(names[:3])}")
    return order


def overlaps(first: Real[np.ndarray, "n 4"], second: Real[np.ndarray, "m 4"]) -> Float[np.ndarray, "n m"]:
    """Intersection over union of boxes x, y, w, h [n, 4] with others [m, 4]: float64 [n, m]."""
    first, second = np.asarray(first, np.float64)[:, None], np.asarray(second, np.float64)[None]
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., :2] + first[..., 2:], second[..., :2] + second[..., 2:])
    shared = np.maximum(high - low, 0).prod(axis=-1)
    union = first[..., 2:].prod(axis=-1) + second[..., 2:].prod(axis=-1) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _by_file(files: list[str] | tuple[str, ...]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(files):
        rows.setdefault(name, []).append(row)
    return rows


def _with_folders(files: list[str], faces: FaceTruth) -> list[str]:
    """Names as the set has them, where it has one picture of that last part."""
    whole: dict[str, set[str]] = {}
    for name in faces.files:
        whole.setdefault(Path(name).name, set()).add(name)
    return [name if len(whole.get(name, ())) != 1 else next(iter(whole[name])) for name in files]
