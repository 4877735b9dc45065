# SPDX-License-Identifier: Apache-2.0
"""Predictions for a whole split, their score, and the files that keep both.

Every face is predicted and counted exactly once, whatever the batch size and the number of devices. Predictions leave
the model in crop units and are scored in source pixels, so that the score does not depend on the crop.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import jax
import numpy as np

from barrel_jax import files, metrics, report
from barrel_jax.config import Config
from barrel_jax.geometry import unit_to_px
from barrel_jax.input.crops import FaceCrops
from barrel_jax.predictions import face_name


def predict_all(
    predict: Callable[[Any, np.ndarray], jax.Array],
    variables: Mapping[str, Any],
    crops: FaceCrops,
    batch_size: int,
    mesh: jax.sharding.Mesh,
) -> np.ndarray:
    """Points of every face of a split in source pixels: float32 [n, K, 2].

    Args:
        predict: `barrel_jax.steps.make_predict_step(model, mesh)`: variables, images uint8 [B, S, S, 3] -> points
            [B, K, 2] in crop units.
        variables: the model's weights and statistics.
        crops: the split, n faces.
        batch_size: faces in a batch over all devices, rounded up to a multiple of the devices and not larger than
            the split needs. The last batch is filled with repeats of the last face, which are cut off again: all
            batches have one shape, so the program is compiled once.
        mesh: the devices that `predict` runs on.

    Raises ValueError when the split is empty, the batch size is not positive, the model has another number of points
    than the split, or a prediction is not finite (names the face).
    """
    total = len(crops.images)
    if total == 0:
        raise ValueError(f"{crops.dataset} {crops.split} has no faces to predict")
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1")
    batch = math.ceil(min(batch_size, total) / mesh.size) * mesh.size
    results, running = [], None
    for start in range(0, total, batch):
        index = np.minimum(np.arange(start, start + batch), total - 1)
        dispatched = predict(variables, np.asarray(crops.images[index]))
        if running is not None:  # fetched one batch late, so that the host prepares the next while the devices work
            results.append(jax.device_get(running))
        running = dispatched
    results.append(jax.device_get(running))
    points_unit = np.concatenate(results)[:total].astype(np.float32)
    if points_unit.shape[1] != crops.scheme.num_points:
        raise ValueError(
            f"the model predicts {points_unit.shape[1]} points, {crops.dataset} {crops.split} has "
            f"{crops.scheme.num_points} ({crops.scheme.name}): score it on a set with the same landmarks"
        )
    broken = np.flatnonzero(~np.isfinite(points_unit).all((1, 2)))
    if len(broken):
        raise ValueError(
            f"the model's points are not finite for {len(broken)} of {total} faces, first: "
            f"{face_name(crops, broken[0])}; use an earlier checkpoint"
        )
    return unit_to_px(points_unit, crops.windows).astype(np.float32)


def face_errors(points_px: np.ndarray, crops: FaceCrops) -> np.ndarray:
    """Normalised mean error of each face, a fraction: float64 [n], NaN where there is no score.

    Args: `points_px` predicted points [n, K, 2] in source pixels. Raises ValueError as `metrics.point_errors`.
    """
    return metrics.nme(points_px, crops.points_px, crops.labelled, crops.scheme.normaliser)


def score(
    points_px: np.ndarray,
    crops: FaceCrops,
    *,
    checkpoint_step: int | None = None,
    config: Config | Mapping | None = None,
) -> dict:
    """The content of `metrics.json` (design.md section 4): the whole split on top, each flag's faces under `subsets`.

    Args: `points_px` predicted points [n, K, 2] in source pixels, in the order of `crops`; `checkpoint_step` and
    `config` say which model made them, None for predictions from elsewhere.

    Beyond design.md's fields: the set's `fingerprint`, the two `normaliser_points`, `num_unscorable` and its reasons,
    `percentiles` of the faces' errors, `point_nme` [K] (percent, each point's mean over the scored faces). A number
    that does not exist is NaN. Raises ValueError as `metrics.point_errors`.
    """
    truth = (crops.points_px, crops.labelled, crops.scheme.normaliser)
    errors, nmes = metrics.point_errors(points_px, *truth), face_errors(points_px, crops)
    counted = np.isfinite(errors)
    return {
        "dataset": crops.dataset,
        "split": crops.split,
        "fingerprint": crops.fingerprint,
        "normaliser": crops.scheme.normaliser_name,
        "normaliser_points": [int(point) for point in crops.scheme.normaliser],
        **metrics.summarise(nmes),
        "unscorable": metrics.unscorable(*truth),
        "point_nme": [
            100 * float(column[seen].mean()) if seen.any() else math.nan
            for column, seen in zip(errors.T, counted.T, strict=True)
        ],
        "subsets": {name: metrics.summarise(nmes[crops.flags[:, flag]]) for flag, name in enumerate(crops.flag_names)},
        "checkpoint_step": checkpoint_step,
        "config": _plain(config),
    }


def write_evaluation(directory: Path, scores: dict, points_px: np.ndarray, crops: FaceCrops) -> list[Path]:
    """Writes the numbers and pictures of an evaluation into `directory`; returns their paths.

    `predictions.npz`, `ced.png`, `worst.png`, `faces.png` (faces spread over the split) and, last, `metrics.json`.

    Args: `scores` from `score`, `points_px` predicted points [n, K, 2] in source pixels.

    `predictions.npz` holds `points` float32 [n, K, 2] (source pixels, the centre of the top-left pixel is (0, 0)),
    `files` [n], `faces` int64 [n], `nme` float64 [n] (fraction): `read_predictions` reads it back. Each file is whole
    or absent; a number that does not exist (NaN) is `null` in the JSON. When no face has a score there is no curve.
    """
    directory = Path(directory)
    nmes = face_errors(points_px, crops)

    def write_predictions(path: Path) -> None:
        np.savez(
            path, points=np.asarray(points_px, np.float32), files=np.array(crops.files), faces=crops.faces, nme=nmes
        )

    contents = {"predictions.npz": write_predictions}
    if np.isfinite(nmes).any():
        curves = {"all faces": nmes} | {name: nmes[crops.flags[:, flag]] for flag, name in enumerate(crops.flag_names)}
        curve = report.draw_error_curve(curves, crops.scheme, f"Cumulative error: {crops.dataset} {crops.split}")
        contents["ced.png"] = lambda path: write_picture(path, curve)
    worst = report.draw_worst(crops, points_px, nmes)
    contents["worst.png"] = lambda path: write_picture(path, worst)
    sample = report.draw_sample(crops, points_px, nmes, f"Faces spread over {crops.dataset} {crops.split}")
    contents["faces.png"] = lambda path: write_picture(path, sample)
    for name, fill in contents.items():
        files.write(directory / name, fill)
    files.write_json(directory / "metrics.json", _plain(scores))
    return [directory / name for name in (*contents, "metrics.json")]


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Writes an RGB uint8 picture [H, W, 3] as PNG. Raises OSError when the file cannot be written."""
    encoded = cv2.imencode(".png", picture[..., ::-1])[1]
    Path(path).write_bytes(encoded.tobytes())


def _plain(node: object) -> object:
    """The same as JSON can say it: settings as objects, None in the place of NaN."""
    if dataclasses.is_dataclass(node):
        return _plain(vars(node))
    if isinstance(node, Mapping):
        return {name: _plain(value) for name, value in node.items()}
    if isinstance(node, list | tuple):
        return [_plain(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node
