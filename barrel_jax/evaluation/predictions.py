# SPDX-License-Identifier: Apache-2.0
"""Anybody's predictions, read from .npz, .json or .txt and matched to the faces of a split."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from barrel_jax import files
from barrel_jax.evaluation.archives import read_archive
from barrel_jax.evaluation.matching import as_the_set_has_them, match_boxes
from barrel_jax.evaluation.predictions_text import read_text
from barrel_jax.faces.annotated import FaceTruth
from barrel_jax.faces.wflw_to_300w import mapping


def read_predictions(file: Path, faces: FaceTruth) -> Float[np.ndarray, "n K 2"]:
    """Anybody's predictions for the faces of `faces`, in their order: float32 [n, K, 2], source pixels.

    A `.npz` holds `points` [n, K, 2] and, to match by, `files` [n] and `faces` [n] (either or both). A `.json` holds
    the same columns as an object, or a list of records {"file", "face", "points": [[x, y], ...]}. Without files and
    faces the order is that of the set. Pixels count from the centre of the top-left pixel, (0, 0). A `.txt` is in the
    format of the COFW-68 benchmark (predictions_text.py), matched by the faces' numbers. With `boxes` [n, 4] ("box" in
    records) beside the files, as `points.json` of `barrel_jax.predict` has them, boxes decide (matching.py).

    K is that of the faces, or 98 for 68 and 68 for 98 where WFLW's points can be mapped (wflw_to_300w.py).

    Raises FileNotFoundError, and ValueError (names the file and the face, or the line) when the file is of another kind
    or damaged, the number of faces or points differs, a face is unknown, missing, given twice or cannot be told from
    another, or a point is not finite.
    """
    file = Path(file)
    columns = _read_columns(file, len(faces))
    points = _points(file, columns["points"])
    total = len(faces)
    if points.ndim != 3 or points.shape[2] != 2:
        raise ValueError(f"{file}: points must be [n, K, 2], got {list(points.shape)}")
    try:
        mapping(points.shape[1], faces)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    keys: dict[str, list] = {name: _keys(file, name, columns[name]) for name in ("files", "faces") if name in columns}
    for name, values in keys.items():
        if len(values) != len(points):
            raise ValueError(f"{file}: {len(values)} {name} for {len(points)} faces with points")
    if "boxes" in columns:
        boxes = _boxes(file, columns["boxes"], len(points))
        if "files" not in keys:
            raise ValueError(f"{file}: boxes without files; give the file of each face too")
        order = match_boxes(file, keys["files"], keys.get("faces"), boxes, faces)
    else:
        order = _match(file, keys, faces) if keys else np.arange(len(points))
        if not keys and len(points) == total:
            print(
                f"note: {file} names no pictures: it is taken in the order of {faces.dataset} {faces.split}, unchecked"
            )
    if len(order) != total or len(points) != total:
        raise ValueError(
            f"{file}: {len(points)} faces, but {faces.dataset} {faces.split} has {total}; "
            "predictions without files and faces must be all, in the set's order"
        )
    points = points[order]
    broken = np.flatnonzero(~np.isfinite(points).all((1, 2)))
    if len(broken):
        raise ValueError(
            f"{file}: points that are not finite for {len(broken)} of {total} faces, first: "
            f"{face_name(faces, int(broken[0]))}; predict these faces again, every face needs all of its points"
        )
    return points


def _read_columns(file: Path, count: int) -> dict[str, Any]:
    """The columns `points` and, where given, `files`, `faces` and `boxes`, of a file for `count` faces."""
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such predictions file")
    if file.suffix == ".txt":
        return read_text(file)
    columns: Any
    if file.suffix == ".npz":
        columns = read_archive(file, ("points", "files", "faces", "boxes"), count)
    elif file.suffix == ".json":
        try:
            columns = json.loads(files.read_bytes(file))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file}: not JSON: {error}; correct it, or write it anew") from error
        if isinstance(columns, list):
            columns = _records_to_columns(file, columns)
    else:
        raise ValueError(
            f"{file}: predictions are read from .npz, .json or .txt, not {file.suffix or 'a file without suffix'}"
        )
    if not isinstance(columns, dict) or "points" not in columns:
        raise ValueError(f"{file}: no 'points'; it needs the predicted points [n, K, 2] under that name")
    return columns


def _records_to_columns(file: Path, records: list) -> dict[str, list]:
    """A list of {"file", "face", "box", "points"} as columns; all records must have the same of these names."""
    for number, record in enumerate(records):
        where = f"{file}: record {number} (counted from 0)"
        if not isinstance(record, dict) or not isinstance(record.get("points"), list):
            raise ValueError(f"{where} has no list of 'points'")
        if record.keys() & {"file", "face", "box"} != records[0].keys() & {"file", "face", "box"}:
            raise ValueError(f"{where} does not have the same of 'file', 'face' and 'box' as record 0")
        if len(record["points"]) != len(records[0]["points"]):
            raise ValueError(f"{where} has {len(record['points'])} points, record 0 has {len(records[0]['points'])}")
    names = {"points": "points", "file": "files", "face": "faces", "box": "boxes"}
    return {
        plural: [record[name] for record in records]
        for name, plural in names.items()
        if not records or name in records[0]
    }


def _points(file: Path, values: Any) -> np.ndarray:
    """The points as float32; what is too large for it becomes infinite."""
    problem = f"{file}: the points of all faces must make one array of numbers [n, K, 2]"
    try:
        points = np.asarray(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{problem}: {error}") from error
    if points.dtype.kind not in "iuf" and points.size:
        records = values if isinstance(values, list) else np.atleast_1d(points)
        first = next(number for number, own in enumerate(records) if np.asarray(own).dtype.kind not in "iuf")
        raise ValueError(f"{problem}: these are not all numbers, first in record {first}; correct it")
    with np.errstate(over="ignore"):
        return points.astype(np.float32)


def _boxes(file: Path, values: Any, count: int) -> np.ndarray:
    try:
        boxes = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        boxes = np.zeros(0)
    if boxes.shape != (count, 4) or not np.isfinite(boxes).all():
        raise ValueError(f"{file}: boxes must be x, y, w, h for each of the {count} faces with points")
    return boxes


def _keys(file: Path, name: str, values: Any) -> list:
    """The column `files` (texts) or `faces` (whole numbers) as a list."""
    values = values.tolist() if isinstance(values, np.ndarray) and values.ndim == 1 else values
    kind, what = (str, "texts") if name == "files" else (int, "whole numbers")
    if not isinstance(values, list) or not all(type(value) is kind for value in values):
        raise ValueError(f"{file}: {name} must be {what}, one for each face")
    return values


def _match(file: Path, columns: dict[str, list], faces: FaceTruth) -> np.ndarray:
    """For each face of `faces` the row of the predictions that names it [n]."""
    own = {"files": list(faces.files), "faces": faces.faces.tolist()}
    if "files" in columns:
        columns = columns | {"files": as_the_set_has_them(columns["files"], faces)}
    truth = list(zip(*(own[name] for name in columns), strict=True))
    predicted = list(zip(*columns.values(), strict=True))
    names = " and ".join(columns)
    for keys, whose in ((truth, f"{faces.dataset} {faces.split}"), (predicted, str(file))):
        if len(set(keys)) != len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(
                f"{file}: {names} do not tell the faces apart: {_key(twice)} is more than once in {whose}; "
                "give both files and faces"
            )
    rows, known = {key: row for row, key in enumerate(predicted)}, set(truth)
    unknown, missing = [key for key in predicted if key not in known], [key for key in truth if key not in rows]
    for keys, problem, remedy in (
        (unknown, f"faces that {faces.dataset} {faces.split} does not have", "leave them out, or name their set"),
        (missing, f"faces of {faces.dataset} {faces.split} are missing", "every face of the split needs points"),
    ):
        if keys:
            raise ValueError(f"{file}: {len(keys)} {problem}, first: {', '.join(map(_key, keys[:3]))}; {remedy}")
    return np.array([rows[key] for key in truth])


def _key(key: tuple) -> str:
    return " face ".join(map(str, key)) if len(key) == 2 else str(key[0])


def face_name(faces: FaceTruth, index: int) -> str:
    """How messages name a face: its file and its id."""
    return f"{faces.files[index]} face {faces.faces[index]}"
