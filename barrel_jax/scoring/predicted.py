# SPDX-License-Identifier: Apache-2.0
"""Predicted points beside the truth that they are scored against."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Real

from barrel_jax.config import DataConfig, MeshConfig
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.evaluation.predictions import read_predictions
from barrel_jax.evaluation.score import score
from barrel_jax.evaluation.scores import Scores
from barrel_jax.faces.annotated import FaceTruth
from barrel_jax.faces.landmarks import Normaliser
from barrel_jax.faces.normalisers import normalised_by
from barrel_jax.faces.wflw_to_300w import comparable
from barrel_jax.input.crops import FaceCrops
from barrel_jax.input.splits import load_split
from barrel_jax.scoring.arguments import ModelChoice
from barrel_jax.training.trained import TrainedRun


@dataclass(frozen=True)
class FaceReaders:
    """What reads the faces of data settings: other people's files are no matter of this package."""

    prepare: Callable[[DataConfig], Path]  # builds the set and returns its folder
    truth_alone: Callable[[DataConfig], FaceTruth | None]  # from annotations whose images are not there, else None


@dataclass(frozen=True)
class Model:
    """The model that predicted."""

    choice: ModelChoice
    run: TrainedRun  # at the rank that was chosen
    full: TrainedRun  # at full rank
    crops: FaceCrops  # the faces as it saw them
    crop: str  # the protocol that they were cut by


@dataclass(frozen=True)
class Predicted:
    """Points of a split's faces and the truth, with the same landmarks."""

    points_px: Real[np.ndarray, "n K 2"]  # in source pixels
    faces: FaceTruth
    mapped: str  # what was mapped to make the two comparable
    crop_frame: str  # protocol of the faces' windows, '' without any
    model: Model | None  # None for predictions from elsewhere

    def score(self) -> Scores:
        """The metrics of the points."""
        return self._score(self.points_px)

    def score_at_full_rank(self, model: Model) -> Scores:
        """The metrics of the points that the model predicts at full rank."""
        return self._score(comparable(model.full.predict(model.crops), self.faces)[0])

    def _score(self, points_px: Real[np.ndarray, "n K 2"]) -> Scores:
        about: dict[str, Any] = {"crop_frame": self.crop_frame}
        if self.model:
            run = self.model.run
            about |= {"crop": self.model.crop, "checkpoint_step": run.step, "config": run.config}
        return score(points_px, self.faces, mapped=self.mapped, **about)


def read(file: Path, data: DataConfig, readers: FaceReaders, normaliser: Normaliser | None) -> Predicted:
    """Anybody's predictions, on faces whose images need not be there.

    Args:
        file: .npz, .json or .txt (`read_predictions`).
        data: the settings; their `test_split` is scored.
        readers: of the faces.
        normaliser: what divides the errors; None for the set's own.

    Raises:
        FileNotFoundError: the set or the predictions are missing.
        ValueError: one of the two is damaged, or they do not belong together.
    """
    faces = readers.truth_alone(data)
    if faces is None:
        faces = load_split(data, readers.prepare(data), data.test_split)
    return _compared(read_predictions(file, faces), faces, data.crop, normaliser, None)


def predict(choice: ModelChoice, data: DataConfig, readers: FaceReaders, normaliser: Normaliser | None) -> Predicted:
    """A model's points for every face of a split, on all devices.

    Args:
        choice: the run, its checkpoint and its rank.
        data, readers, normaliser: as in `read`.

    Raises:
        FileNotFoundError: the set, the run or the checkpoint is missing.
        ValueError: one of them is damaged, or the model has other landmarks than the faces.
    """
    crops = load_split(data, readers.prepare(data), data.test_split)
    full = TrainedRun.open(choice.workdir, choice.checkpoint, make_mesh(MeshConfig()))
    run = full if choice.rank is None else full.at_rank(choice.rank)
    return _compared(run.predict(crops), crops, data.crop, normaliser, Model(choice, run, full, crops, data.crop))


def _compared(
    points_px: Real[np.ndarray, "n K 2"],
    faces: FaceTruth,
    crop: str,
    normaliser: Normaliser | None,
    model: Model | None,
) -> Predicted:
    crop_frame = "" if faces.windows is None else crop
    points_px, faces, mapped = comparable(points_px, faces)
    if normaliser:
        faces = replace(faces, scheme=normalised_by(faces.scheme, normaliser))
    return Predicted(points_px, faces, mapped, crop_frame, model)
