# SPDX-License-Identifier: Apache-2.0
"""What is exported: a run's weights at a checkpoint, and what they are weights of."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from barrel_jax import config as configuration
from barrel_jax.config import Config, MeshConfig
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.training.trained import read_facts, restore_variables


@dataclass(frozen=True)
class Trained:
    """A run's model."""

    config: Config
    facts: dict[str, Any]  # of run.json: dataset, fingerprint, scheme, num_landmarks, ...
    step: int
    variables: Any  # {params, batch_stats}, the moving average where there is one; NumPy leaves

    @property
    def num_landmarks(self) -> int:
        """K."""
        return self.facts["num_landmarks"]


def read_trained(workdir: Path, which: str = "latest") -> Trained:
    """The model of a run.

    Args:
      workdir: the run's folder.
      which: 'latest', 'best' or a saved step.

    Raises:
      FileNotFoundError: the folder holds no run, or no such checkpoint.
      ValueError: its files are damaged, or the checkpoint is of another model than the config describes.
    """
    config, facts = configuration.load(workdir), read_facts(workdir)
    mesh = make_mesh(MeshConfig(data=1))
    variables, step = restore_variables(workdir, config, facts["num_landmarks"], which, mesh)
    return Trained(config, facts, step, jax.device_get(variables))
