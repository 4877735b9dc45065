# SPDX-License-Identifier: Apache-2.0
"""Predictions matched to annotated faces, by ids and by the boxes that the predictions were made from.

`face` is an annotation's id in a set; in `points.json` of `barrel_jax.predict` it is that too where COCO's boxes were
given, and else counts the faces of a picture. Ids are taken for ids where their boxes agree; else boxes decide.
"""

from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Real

from barrel_jax.encodings import spelt
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
        ValueError: a prediction is of no picture of the set, overlaps no annotated face of its picture or one that has
          another prediction, a face has no prediction, or faces cannot be told apart; names them.
    """
    from scipy.optimize import linear_sum_assignment  # takes a second, which a training's start need not wait for

    keys = list(zip(faces.files, faces.faces.tolist(), strict=True))
    files = as_the_set_has_them(files, faces)
    if ids is not None:
        rows = {key: row for row, key in enumerate(zip(files, ids, strict=True))}
        if len(rows) == len(files) and rows.keys() == set(keys):
            order = np.array([rows[key] for key in keys])
            if (overlaps(boxes[order], faces.boxes).diagonal() >= LEAST).all():
                return order
    order = np.full(len(faces), -1)
    strange: list[str] = []
    unmatched: list[str] = []
    second: list[str] = []
    alike: list[str] = []
    true_rows, given_rows = _by_file(faces.files), _by_file(files)
    for name, predicted in given_rows.items():
        if name not in true_rows:
            alike_named = {own for own in true_rows if _last(own) == _last(name)}
            strange.append(f"{name} ({len(alike_named)} pictures are called so)" if len(alike_named) > 1 else name)
            continue
        true = true_rows[name]
        shared = overlaps(boxes[predicted], faces.boxes[true])
        assigned = zip(*(side.tolist() for side in linear_sum_assignment(-shared)), strict=True)
        pairs = [(mine, theirs) for mine, theirs in assigned if shared[mine, theirs] >= LEAST]
        for mine, theirs in pairs:
            order[true[theirs]] = predicted[mine]
        if any(_as_well(shared, one, other) for one, other in combinations(pairs, 2)):
            alike.append(name)
        for number, row in enumerate(predicted):
            if row not in order[true]:
                most = max(shared[number], default=0)
                words = f"{name} box {np.round(boxes[row], 1).tolist()} (at most {most:.0%} of a face's)"
                (second if most >= LEAST else unmatched).append(words)
    missing = [f"{faces.files[row]} face {faces.faces[row]}" for row in np.flatnonzero(order < 0)]
    where = f"{faces.dataset} {faces.split}"
    for names, problem, remedy in (
        (strange, f"pictures are none of {where}", "leave them out, or name their set"),
        (unmatched, f"overlap no face of {where} in their pictures", "leave them out, or predict on the set's boxes"),
        (second, f"overlap a face of {where} for which another prediction is there", "leave one of them"),
        (missing, f"faces of {where} have no prediction whose box overlaps theirs", "every face needs points"),
        (alike, f"pictures of {where} have boxes that fit two faces alike", "give the annotations' ids as the faces"),
    ):
        if names:
            raise ValueError(f"{file}: {len(names)} {problem}, first: {', '.join(names[:3])}; {remedy}")
    return order


def _as_well(shared: Float[np.ndarray, "n m"], one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two pairs of a prediction and a face overlap as much the other way round."""
    (mine, theirs), (their_mine, their_theirs) = one, other
    now = shared[mine, theirs] + shared[their_mine, their_theirs]
    return bool(np.isclose(shared[mine, their_theirs] + shared[their_mine, theirs], now, rtol=0, atol=1e-9))


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


def as_the_set_has_them(files: list[str], faces: FaceTruth) -> list[str]:
    """Names as the set has them: in its spelling, and with the folders where it has one picture of that last part."""
    by_path: dict[str, set[str]] = {}
    by_name: dict[str, set[str]] = {}
    for name in faces.files:
        by_path.setdefault(spelt(name), set()).add(name)
        by_name.setdefault(_last(name), set()).add(name)

    def meant(name: str) -> str:
        found = by_path.get(spelt(name)) or by_name.get(spelt(name), set())
        return name if name in found or len(found) != 1 else next(iter(found))

    return [meant(name) for name in files]


def _last(name: str) -> str:
    return spelt(name).rpartition("/")[2]
