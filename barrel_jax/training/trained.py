# SPDX-License-Identifier: Apache-2.0
"""What a run has trained: the facts of run.json, and the weights at a checkpoint."""

from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from barrel_jax import files
from barrel_jax.config import Config
from barrel_jax.models.build import build_model
from barrel_jax.training.checkpoint import Checkpoints, has_checkpoint
from barrel_jax.training.optimiser import optimiser
from barrel_jax.training.state import abstract


def read_facts(workdir: Path) -> dict[str, Any]:
    """What `workdir.claim` wrote of a run: dataset, fingerprint, scheme, num_landmarks, versions, ...

    Raises:
      FileNotFoundError: the folder holds no run.
      ValueError: the file is damaged.
    """
    path = Path(workdir) / "run.json"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no run there; train first, or give the --workdir that train.py was given")
    facts = files.read_json(path, "start the run's own command in another --workdir, or put the file back")
    if not isinstance(facts, dict) or not {"scheme", "num_landmarks"} <= facts.keys():
        raise ValueError(f"{path}: a run's scheme and num_landmarks are missing; start its own command again")
    return facts


def find_checkpoint(checkpoints: Checkpoints, which: str) -> tuple[str, int]:
    """Kind and step of the checkpoint `which`: 'best', 'latest' or a step. FileNotFoundError tells which there are."""
    saved = {kind: checkpoints.steps(kind) for kind in ("best", "latest")}
    if saved.get(which):
        return which, saved[which][-1]
    for kind, steps in saved.items():
        if which.isdecimal() and int(which) in steps:
            return kind, int(which)
    there = "; ".join(f"{kind} at step {', '.join(map(str, steps))}" for kind, steps in saved.items() if steps)
    raise FileNotFoundError(f"no checkpoint {which!r} in this run; --checkpoint can be: {there or 'none, train first'}")


def restore_variables(
    workdir: Path, config: Config, num_landmarks: int, which: str, mesh: Mesh
) -> tuple[dict[str, Any], int]:
    """Variables {params, batch_stats} of a run's model, the moving average where there is one, and their step.

    Args:
      workdir: the run's folder.
      config: the run's.
      num_landmarks: K.
      which: 'latest', 'best' or a saved step.
      mesh: devices that they are laid out on.

    Raises:
      FileNotFoundError: no such checkpoint; says which there are.
      ValueError: the checkpoint is of another model than the config describes.
    """
    workdir = Path(workdir)
    if not has_checkpoint(workdir):  # looked for first, since `Checkpoints` makes folders
        raise FileNotFoundError(f"{workdir}: no checkpoint {which!r} in this run, there is none; train first")
    like = abstract(build_model(config.model, num_landmarks), optimiser(config.optim, 1), config, mesh)
    checkpoints = Checkpoints(workdir)
    try:
        kind, step = find_checkpoint(checkpoints, which)
        return checkpoints.restore(kind, step, like).variables(), step
    finally:
        checkpoints.close()
