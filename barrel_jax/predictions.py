# SPDX-License-Identifier: Apache-2.0
"""Anybody's predictions, read from .npz or .json and matched to the faces of a split."""

import json
import operator
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from barrel_jax.input.crops import FaceCrops


def read_predictions(file: Path, crops: FaceCrops) -> np.ndarray:
    """Anybody's predictions for the faces of `crops`, in the order of `crops`: float32 [n, K, 2], source pixels.

    A `.npz` holds `points` [n, K, 2] and, to match by, `files` [n] and `faces` [n] (either or both). A `.json` holds
    the same columns as an object, or a list of records {"file", "face", "points": [[x, y], ...]}. Without files and
    faces the order is that of the set. Pixels count from the centre of the top-left pixel, (0, 0).

    Raises FileNotFoundError, and ValueError (names the file and the face) when the file is of another kind or damaged,
    the number of faces or points differs, a face is unknown, missing, given twice or cannot be told from another, or
    a point is not finite.
    """
    file = Path(file)
    columns = _read_columns(file)
    try:
        points = np.asarray(columns["points"], np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{file}: the points of all faces must make one array of numbers [n, K, 2]: {error}"
        ) from error
    total, count = crops.visible.shape
    if points.ndim != 3 or points.shape[2] != 2:
        raise ValueError(f"{file}: points must be [n, K, 2], got {list(points.shape)}")
    if points.shape[1] != count:
        raise ValueError(
            f"{file}: {points.shape[1]} points a face, but {crops.dataset} {crops.split} has {count} "
            f"({crops.scheme.name}); score them on a set with their landmarks"
        )
    keys = [name for name in ("files", "faces") if name in columns]
    for name in keys:
        if len(columns[name]) != len(points):
            raise ValueError(f"{file}: {len(columns[name])} {name} for {len(points)} faces with points")
    order = _match(file, {name: columns[name] for name in keys}, crops) if keys else np.arange(len(points))
    if len(order) != total or len(points) != total:
        raise ValueError(
            f"{file}: {len(points)} faces, but {crops.dataset} {crops.split} has {total}; "
            "predictions without files and faces must be all, in the set's order"
        )
    points = points[order]
    broken = np.flatnonzero(~np.isfinite(points).all((1, 2)))
    if len(broken):
        raise ValueError(
            f"{file}: points that are not finite for {len(broken)} faces, first: {face_name(crops, broken[0])}"
        )
    return points


def _read_columns(file: Path) -> dict[str, Any]:
    """The columns `points` and, where given, `files` and `faces`."""
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such predictions file")
    if file.suffix == ".npz":
        try:
            # np.load leaves a file that it opened itself open when the archive is broken.
            with file.open("rb") as stream:
                archive = np.load(stream, allow_pickle=False)
                if not isinstance(archive, np.lib.npyio.NpzFile):
                    raise ValueError("it holds one array without a name")
                columns = {name: archive[name] for name in ("points", "files", "faces") if name in archive}
        except (ValueError, zipfile.BadZipFile, EOFError, OSError) as error:
            raise ValueError(f"{file}: not a readable .npz of plain arrays: {error}") from error
    elif file.suffix == ".json":
        try:
            columns = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{file}: not JSON: {error}") from error
        if isinstance(columns, list):
            columns = _records_to_columns(file, columns)
    else:
        raise ValueError(
            f"{file}: predictions are read from .npz or .json, not {file.suffix or 'a file without suffix'}"
        )
    if not isinstance(columns, dict) or "points" not in columns:
        raise ValueError(f"{file}: no 'points'; it needs the predicted points [n, K, 2] under that name")
    return columns


def _records_to_columns(file: Path, records: list) -> dict[str, list]:
    """A list of {"file", "face", "points"} as columns; all records must have the same of these names."""
    for number, record in enumerate(records):
        if not isinstance(record, dict) or "points" not in record:
            raise ValueError(f"{file}: record {number} (counted from 0) has no 'points'")
        if record.keys() & {"file", "face"} != records[0].keys() & {"file", "face"}:
            raise ValueError(
                f"{file}: record {number} (counted from 0) does not have the same of 'file' and 'face' as record 0"
            )
        if len(record["points"]) != len(records[0]["points"]):
            raise ValueError(
                f"{file}: record {number} (counted from 0) has {len(record['points'])} points, "
                f"record 0 has {len(records[0]['points'])}"
            )
    names = {"points": "points", "file": "files", "face": "faces"}
    return {
        plural: [record[name] for record in records]
        for name, plural in names.items()
        if not records or name in records[0]
    }


def _match(file: Path, columns: dict[str, Any], crops: FaceCrops) -> np.ndarray:
    """For each face of `crops` the row of the predictions that names it [n]."""
    convert = {"files": str, "faces": operator.index}
    truth = list(zip(*([convert[name](value) for value in getattr(crops, name)] for name in columns), strict=True))
    try:
        given = list(
            zip(*([convert[name](value) for value in values] for name, values in columns.items()), strict=True)
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: faces must be whole numbers: {error}") from error
    names = " and ".join(columns)
    for keys, whose in ((truth, f"{crops.dataset} {crops.split}"), (given, str(file))):
        if len(set(keys)) != len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(
                f"{file}: {names} do not tell the faces apart: {_key(twice)} is more than once in {whose}; "
                "give both files and faces"
            )
    rows, known = {key: row for row, key in enumerate(given)}, set(truth)
    unknown, missing = [key for key in given if key not in known], [key for key in truth if key not in rows]
    for keys, problem in (
        (unknown, f"faces that {crops.dataset} {crops.split} does not have"),
        (missing, f"faces of {crops.dataset} {crops.split} are missing"),
    ):
        if keys:
            raise ValueError(f"{file}: {len(keys)} {problem}, first: {', '.join(map(_key, keys[:3]))}")
    return np.array([rows[key] for key in truth])


def _key(key: tuple) -> str:
    return " face ".join(map(str, key)) if len(key) == 2 else str(key[0])


def face_name(crops: FaceCrops, index: int) -> str:
    """How messages name a face: its file and its id."""
    return f"{crops.files[index]} face {crops.faces[index]}"
