# SPDX-License-Identifier: Apache-2.0
"""Predictions for a whole split, their score, and the files that keep both.

Every face is predicted and counted exactly once, whatever the batch size and the number of devices and processes; each
process reads its own devices' faces and has all points in the end. Predictions leave the model in crop units and are
scored in source pixels, so that the score does not depend on the crop; and once more in the crop, as PIPNet does.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Real, UInt8

from barrel_jax import files
from barrel_jax.config import Config
from barrel_jax.devices.sharding import from_local, local_rows
from barrel_jax.evaluation import metrics
from barrel_jax.evaluation.predictions import face_name
from barrel_jax.evaluation.scores import Scores, Summary
from barrel_jax.faces.annotated import FaceTruth
from barrel_jax.faces.geometry import px_to_unit, unit_to_px
from barrel_jax.faces.landmarks import REGIONS
from barrel_jax.faces.normalisers import distances, normaliser_points, normaliser_words
from barrel_jax.faces.wflw_to_300w import mapping
from barrel_jax.input.crops import FaceCrops


def predict_all(
    predict: Callable[[Any, UInt8[jax.Array, "B S S 3"]], Float[jax.Array, "B K 2"]],
    variables: Mapping[str, Any],
    crops: FaceCrops,
    batch_size: int,
    mesh: jax.sharding.Mesh,
) -> Float[np.ndarray, "n K 2"]:
    """Points of every face of a split in source pixels: float32 [n, K, 2].

    Args:
        predict: `barrel_jax.training.steps.make_predict_step(model, mesh)`: variables, images uint8 [B, S, S, 3] ->
            points [B, K, 2] in crop units.
        variables: the model's weights and statistics.
        crops: the split, n faces.
        batch_size: faces in a batch over all devices, rounded up to a multiple of the devices and not larger than
            the split needs. The last batch is filled with repeats of the last face, which are cut off again: all
            batches have one shape, so the program is compiled once.
        mesh: the devices that `predict` runs on.

    Raises ValueError when the split is empty, the batch size is not positive, the model's points cannot be compared
    with the split's (`wflw_to_300w.mapping`), or a prediction is not finite (names the face).
    """
    total = len(crops.images)
    if total == 0:
        raise ValueError(f"{crops.dataset} {crops.split} has no faces to predict")
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1")
    batch = math.ceil(min(batch_size, total) / mesh.size) * mesh.size
    results, running = [], None
    for start in range(0, total, batch):
        mine = np.minimum(start + local_rows(batch, mesh), total - 1)
        dispatched = predict(variables, from_local(np.asarray(crops.images[mine]), batch, mesh))
        if running is not None:  # fetched one batch late, so that the host prepares the next while the devices work
            results.append(jax.device_get(running))
        running = dispatched
    results.append(jax.device_get(running))
    points_unit = np.concatenate(results)[:total].astype(np.float32)
    mapping(points_unit.shape[1], crops)
    broken = np.flatnonzero(~np.isfinite(points_unit).all((1, 2)))
    if len(broken):
        raise ValueError(
            f"the model's points are not finite for {len(broken)} of {total} faces, first: "
            f"{face_name(crops, int(broken[0]))}; use an earlier checkpoint"
        )
    return unit_to_px(points_unit, crops.windows).astype(np.float32)


def face_errors(points_px: Real[np.ndarray, "n K 2"], faces: FaceTruth) -> Float[np.ndarray, " n"]:
    """Normalised mean error of each face, a fraction: float64 [n], NaN where there is no score.

    Args: `points_px` predicted points [n, K, 2] in source pixels. Raises ValueError as `metrics.point_errors` and
    `normalisers.distances`.
    """
    return metrics.face_means(_point_errors(points_px, faces))


def crop_errors(points_px: Real[np.ndarray, "n K 2"], faces: FaceTruth) -> Float[np.ndarray, " n"]:
    """`face_errors` measured in crop units, as PIPNet's lib/test.py measures: float64 [n]; all NaN without windows.

    Points and normaliser are taken to fractions of the crop's window, x of its width and y of its height. Where the
    window is a square this is `face_errors`.
    """
    if faces.windows is None:
        return np.full(len(faces), np.nan)
    inside = replace(faces, points_px=px_to_unit(np.asarray(faces.points_px, np.float64), faces.windows))
    return metrics.face_means(_point_errors(px_to_unit(np.asarray(points_px, np.float64), faces.windows), inside))


def score(
    points_px: Real[np.ndarray, "n K 2"],
    faces: FaceTruth,
    *,
    mapped: str = "",
    crop: str = "",
    crop_frame: str = "",
    checkpoint_step: int | None = None,
    config: Config | Mapping | None = None,
) -> Scores:
    """The metrics of a whole split and of each flag's faces.

    Args:
        points_px: predicted points [n, K, 2] in source pixels, in the order of `faces`.
        faces: the truth; its scheme says what normalises the errors.
        mapped: what was mapped to make the two comparable (`wflw_to_300w.comparable`).
        crop: the crop protocol under which a model saw the faces; '' for predictions from elsewhere.
        crop_frame: the protocol of the faces' windows, in which `nme_crop` is measured; `crop` by default.
        checkpoint_step, config: which model made them; None for predictions from elsewhere.

    A number that does not exist is NaN. Raises ValueError as `face_errors`.
    """
    errors, in_crop = _point_errors(points_px, faces), crop_errors(points_px, faces)
    nmes, scheme = metrics.face_means(errors), faces.scheme

    def summary(chosen: np.ndarray | slice) -> Summary:
        return metrics.summarise(nmes[chosen], in_crop[chosen])

    counted = np.isfinite(errors)
    return Scores(
        **vars(summary(slice(None))),
        dataset=faces.dataset,
        split=faces.split,
        fingerprint=faces.fingerprint,
        scheme=scheme.name,
        normaliser=str(scheme.normaliser),
        normaliser_points=normaliser_points(scheme),
        normalised_by=normaliser_words(scheme),
        partial=faces.partial,
        clamped=faces.clamped,
        mapped=mapped,
        crop=crop,
        crop_frame=crop_frame or crop,
        unscorable=metrics.unscorable(distances(scheme, faces.points_px, faces.labelled)),
        point_nme=[
            100 * float(column[seen].mean()) if seen.any() else math.nan
            for column, seen in zip(errors.T, counted.T, strict=True)
        ],
        regions={
            name: 100 * metrics.mean(metrics.face_means(errors[:, points]))
            for name, points in REGIONS.get(scheme.name, {}).items()
        },
        subsets={name: summary(faces.flags[:, flag]) for flag, name in enumerate(faces.flag_names)},
        checkpoint_step=checkpoint_step,
        config=files.plain(config),
    )


def write_evaluation(
    directory: Path, scores: Scores, points_px: Real[np.ndarray, "n K 2"], faces: FaceTruth
) -> list[Path]:
    """Writes the numbers and pictures of an evaluation into `directory`; returns their paths.

    `predictions.npz`, `ced.png`, with pixels (`FaceCrops`) `worst.png` and `faces.png` (faces spread over the split)
    and, last, `metrics.json`. Pictures of an earlier evaluation that has no successor are removed.

    Args: `scores` from `score`, `points_px` predicted points [n, K, 2] in source pixels.

    `predictions.npz` holds `points` float32 [n, K, 2] (source pixels, the centre of the top-left pixel is (0, 0)),
    `files` [n], `faces` int64 [n], `nme` and `nme_crop` float64 [n] (fractions), `flags` bool [n, F] and `flag_names`
    [F]: `read_predictions` reads it back. Each file is whole or absent; a number that does not exist (NaN) is `null` in
    the JSON. When no face has a score there is no curve.
    """
    # matplotlib takes a second to import, which a start need not wait for.
    from barrel_jax.evaluation.error_curves import draw_error_curve
    from barrel_jax.evaluation.face_sheets import draw_sample, draw_worst
    from barrel_jax.plotting import write_picture

    directory = Path(directory)
    nmes = face_errors(points_px, faces)
    columns: dict[str, Any] = {
        "points": np.asarray(points_px, np.float32),
        "files": np.array(faces.files),
        "faces": faces.faces,
        "nme": nmes,
        "nme_crop": crop_errors(points_px, faces),
        "flags": faces.flags,
        "flag_names": np.array(faces.flag_names, str),
    }
    contents = {"predictions.npz": lambda path: np.savez(path, **columns)}

    def add_picture(name: str, picture: np.ndarray) -> None:
        contents[name] = lambda path: write_picture(path, picture)

    if np.isfinite(nmes).any():
        curves = {"all faces": nmes} | {name: nmes[faces.flags[:, flag]] for flag, name in enumerate(faces.flag_names)}
        title = f"Cumulative error: {faces.dataset} {faces.split}"
        add_picture("ced.png", draw_error_curve(curves, normaliser_words(faces.scheme), title))
    if isinstance(faces, FaceCrops):
        title = f"Faces spread over {faces.dataset} {faces.split}"
        add_picture("worst.png", draw_worst(faces, points_px, nmes))
        add_picture("faces.png", draw_sample(faces, points_px, nmes, title))
    for name, fill in contents.items():
        files.write(directory / name, fill)
    for name in {"ced.png", "worst.png", "faces.png"} - contents.keys():
        (directory / name).unlink(missing_ok=True)
    files.write_json(directory / "metrics.json", files.plain(scores))
    return [directory / name for name in (*contents, "metrics.json")]


def _point_errors(points_px: np.ndarray, faces: FaceTruth) -> np.ndarray:
    unit = distances(faces.scheme, faces.points_px, faces.labelled)
    return metrics.point_errors(points_px, faces.points_px, faces.labelled, unit)
