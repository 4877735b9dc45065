# SPDX-License-Identifier: Apache-2.0
"""The folder of a run that nobody trained: drawn weights, with a head steep enough that points follow the pixels."""

import jax

from barrel_jax.config import MeshConfig
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.models.build import build_model
from barrel_jax.training.checkpoint import Checkpoints
from barrel_jax.training.optimiser import optimiser
from barrel_jax.training.state import create
from barrel_jax.training.workdir import claim


def save_run(workdir, config, crops):
    """Writes config.json, run.json and the checkpoint of step 0 of a run on `crops`."""
    claim(workdir, config, crops)
    model = build_model(config.model, crops.scheme.num_points)
    state = create(model, optimiser(config.optim, 1), config, make_mesh(MeshConfig(data=1)))
    steep = state.params["head"] | {"layer3": jax.tree.map(lambda leaf: 5 * leaf, state.params["head"]["layer3"])}
    checkpoints = Checkpoints(workdir)
    checkpoints.save("latest", state.replace(params=state.params | {"head": steep}), {})
    checkpoints.close()
    return workdir
