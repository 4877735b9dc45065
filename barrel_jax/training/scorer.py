# SPDX-License-Identifier: Apache-2.0
"""The scores of a run's test faces while it is trained, and the best of them until now."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from barrel_jax import files
from barrel_jax.config import Config
from barrel_jax.devices.distributed import is_first
from barrel_jax.evaluation.score import face_errors, predict_all, score, write_evaluation
from barrel_jax.evaluation.scores import Scores
from barrel_jax.input.crops import FaceCrops
from barrel_jax.training.checkpoint import Checkpoints
from barrel_jax.training.log import Log
from barrel_jax.training.state import State
from barrel_jax.training.steps import TrainStep, make_predict_step


class Scored(NamedTuple):
    """The test faces by one state."""

    scores: Scores
    points_px: Float[np.ndarray, "n K 2"]  # in source pixels


class Scorer:
    """Scores the test faces and keeps the state that is best at them.

    Args:
        workdir: the run's folder.
        crops: the test faces.
        train_step: the run's; its model, config and mesh are used.
        checkpoints: the run's, whose best one so far is to be undercut.
        log: the run's.
    """

    def __init__(
        self, workdir: Path, crops: FaceCrops, train_step: TrainStep, checkpoints: Checkpoints, log: Log
    ) -> None:
        self._workdir, self._crops, self._checkpoints, self._log = workdir, crops, checkpoints, log
        self._config: Config = train_step.config
        self._mesh = train_step.mesh
        self._predict = log.compiled("the prediction", make_predict_step(train_step.model, train_step.mesh))
        self._best = checkpoints.best_nme()  # the lowest NME until now, percent

    def score(self, state: State) -> Scored:
        """The test faces by a state, 24 of which are drawn (process 0 alone)."""
        crops, config = self._crops, self._config
        points_px = predict_all(self._predict, state.variables(), crops, config.loop.eval_batch, self._mesh)
        about: dict[str, Any] = {
            "crop": config.data.crop,
            "checkpoint_step": int(state.step),
            "config": dataclasses.asdict(config),
        }
        scored = Scored(score(points_px, crops, **about), points_px)
        if is_first():
            self._draw(scored)
        return scored

    def _draw(self, scored: Scored) -> None:
        from barrel_jax.evaluation.face_sheets import draw_sample
        from barrel_jax.plotting import write_picture

        crops, points_px = self._crops, scored.points_px
        title = f"{crops.dataset} {crops.split} after {scored.scores.checkpoint_step} steps"
        picture = draw_sample(crops, points_px, face_errors(points_px, crops), title)
        files.write(self._workdir / "predictions.png", lambda path: write_picture(path, picture))

    def evaluate(self, state: State, done: int) -> Scored:
        """`score`, written to the log, and the state kept when it is the best until now."""
        with self._log.watch.during("evaluation"):
            scored = self.score(state)
        scores = scored.scores
        values = {"nme": scores.nme, "fr_0.10": scores.fr["0.10"], "auc_0.10": scores.auc["0.10"]}
        by, split = scores.normaliser, self._crops.split
        self._log.write(done, {f"{split}/{name}_{by}": value for name, value in values.items()})
        self._log.say(f"step {done}: {split} NME {scores.nme:.3f} % ({by})")
        if scores.nme < self._best:
            self._best = scores.nme
            self._checkpoints.save("best", state, {"nme": scores.nme})
        return scored

    def write(self, scored: Scored) -> None:
        """Writes the last scores and points into the run's folder (process 0 alone)."""
        if is_first():
            folder = self._workdir / "eval" / f"{self._crops.dataset}-{self._crops.split}"
            write_evaluation(folder, scored.scores, scored.points_px, self._crops)
