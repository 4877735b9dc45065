# SPDX-License-Identifier: Apache-2.0
"""A run that was trained, as what comes after training takes it: its config, its facts, its weights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from chex import ArrayTree
from jax.sharding import Mesh
from jaxtyping import Float, UInt8

from barrel_jax.config import Config, MeshConfig, load_run_config
from barrel_jax.devices.distributed import together
from barrel_jax.devices.sharding import layout, make_mesh, replicated
from barrel_jax.evaluation.score import predict_all
from barrel_jax.faces.wflw_to_300w import mapping
from barrel_jax.facts import Described, read_facts
from barrel_jax.input.crops import FaceCrops
from barrel_jax.models.attention_maps import attention_maps
from barrel_jax.models.build import build_model
from barrel_jax.models.truncation import MODULES, truncate
from barrel_jax.training.checkpoint import Checkpoints
from barrel_jax.training.state import State, abstract_weights
from barrel_jax.training.steps import make_predict_step


@dataclass(frozen=True)
class TrainedRun(Described):
    """A run's model at a checkpoint."""

    workdir: Path
    config: Config
    facts: dict[str, Any]  # of run.json: dataset, fingerprint, scheme, num_landmarks, ...
    step: int  # of the checkpoint
    variables: ArrayTree  # {params, batch_stats}, the moving average where there is one, laid out on the mesh
    mesh: Mesh

    @classmethod
    def open(cls, workdir: str | Path, checkpoint: str = "latest", mesh: Mesh | None = None) -> "TrainedRun":
        """Reads a run.

        Args:
            workdir: the run's folder.
            checkpoint: 'latest', 'best' (on the split that training scores) or a saved step.
            mesh: devices that the weights are laid out on; the first one by default.

        Raises:
            FileNotFoundError: the folder holds no run, or no such checkpoint; says which there are.
            ValueError: its files are damaged, or the checkpoint is of another model than the config describes.
        """
        workdir, mesh = Path(workdir), mesh or make_mesh(MeshConfig(data=1))
        config, facts = together(lambda: (load_run_config(workdir), read_facts(workdir)))
        variables, step = restore_variables(workdir, config, facts["num_landmarks"], checkpoint, mesh)
        return cls(workdir, config, facts, step, variables, mesh)

    def at_rank(self, rank: int, modules: Sequence[str] = MODULES) -> "TrainedRun":
        """The run with DQInit's and QAMem's weights at a rank (`truncation.truncate`, which says what it raises)."""
        try:
            model, variables = truncate(self.config.model, jax.device_get(self.variables), rank, modules)
        except ValueError as error:
            raise ValueError(f"{self.workdir}: {error}") from error
        variables = jax.device_put(variables, layout(variables, self.mesh, self.config.mesh))
        return replace(self, config=replace(self.config, model=model), variables=variables)

    def predict(self, crops: FaceCrops) -> Float[np.ndarray, "n K 2"]:
        """Points of crops in source pixels, float32 (`score.predict_all`).

        Raises:
            ValueError: the model's points cannot be compared with those of the crops, or are not finite.
        """
        try:
            mapping(self.num_landmarks, crops, self.scheme)
        except ValueError as error:
            raise ValueError(f"{self.workdir}: this run's model predicts {error}") from error
        return predict_all(self._program, self.variables, crops, self.config.loop.eval_batch, self.mesh)

    def attention(
        self, images: UInt8[np.ndarray, "B S S 3"]
    ) -> tuple[Float[np.ndarray, "B K 2"], Float[np.ndarray, "B K h w"]]:
        """Points of crops in crop units, and where each point's query looked (`attention_maps`).

        Raises:
            ValueError: the model has no decoder.
        """
        return jax.device_get(self._attention_program(self.variables, images))

    @cached_property
    def _attention_program(self) -> jax.stages.Wrapped:
        model = build_model(self.config.model, self.num_landmarks)
        return jax.jit(partial(attention_maps, model), out_shardings=replicated(self.mesh))

    @cached_property
    def _program(self) -> jax.stages.Wrapped:
        return make_predict_step(build_model(self.config.model, self.num_landmarks), self.mesh)


def find_checkpoint(workdir: Path, checkpoints: Checkpoints, which: str) -> tuple[str, int]:
    """Kind and step of a run's checkpoint `which`: 'best', 'latest' or a step.

    Raises:
        FileNotFoundError: there is none; says which there are.
    """
    saved = {kind: checkpoints.steps(kind) for kind in ("best", "latest")}
    if saved.get(which):
        return which, saved[which][-1]
    for kind, steps in saved.items():
        if which.isdecimal() and int(which) in steps:
            return kind, int(which)
    there = "; ".join(f"{kind} at step {', '.join(map(str, steps))}" for kind, steps in saved.items() if steps)
    raise FileNotFoundError(
        f"{workdir}: no checkpoint {which!r} in this run; --checkpoint can be: {there or 'none, train first'}"
    )


def restore_variables(
    workdir: Path, config: Config, num_landmarks: int, which: str, mesh: Mesh
) -> tuple[ArrayTree, int]:
    """Variables {params, batch_stats} of a run's model, the moving average where there is one, and their step.

    Args:
        workdir: the run's folder.
        config: the run's.
        num_landmarks: K.
        which: 'latest', 'best' or a saved step.
        mesh: devices that they are laid out on.

    Where the latest one is damaged, the one before is read, with a warning; the run may be trained meanwhile.

    Raises:
        FileNotFoundError: no such checkpoint; says which there are.
        ValueError: the checkpoint is damaged, or of another model than the config describes.
        OSError: one of its files cannot be read.
    """
    like = abstract_weights(build_model(config.model, num_landmarks), config, mesh)
    checkpoints = Checkpoints(workdir, reading=True)
    try:
        try:
            state = _restore(workdir, checkpoints, which, like)
        except (ValueError, FileNotFoundError):
            if not checkpoints.look_again():
                raise
            state = _restore(workdir, checkpoints, which, like)
        return state.variables(), int(state.step)
    finally:
        checkpoints.close()


def _restore(workdir: Path, checkpoints: Checkpoints, which: str, like: State) -> State:
    kind, step = find_checkpoint(workdir, checkpoints, which)
    latest = checkpoints.newest(like) if which == "latest" else None
    return latest or checkpoints.restore(kind, step, like)
