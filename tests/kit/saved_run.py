# SPDX-License-Identifier: Apache-2.0
"""The folder of a run that nobody trained: drawn weights, with a head steep enough that points follow the pixels."""

import jax

from barrel_jax.config import MeshConfig, load_run_config
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.facts import read_facts
from barrel_jax.models.build import build_model
from barrel_jax.training.checkpoint import Checkpoints
from barrel_jax.training.optimiser import optimiser
from barrel_jax.training.state import abstract, create
from barrel_jax.training.workdir import claim


def save_run(workdir, config, crops):
    """Writes config.json, run.json and the checkpoint of step 0 of a run on `crops`."""
    claim(workdir, config, crops)
    checkpoints = Checkpoints(workdir)
    checkpoints.save("latest", _state(config, crops.scheme.num_points), {})
    checkpoints.close()
    return workdir


def another_step(workdir):
    """Writes the same weights as the checkpoint of step 1 of such a run."""
    config, facts = load_run_config(workdir), read_facts(workdir)
    state = _state(config, facts["num_landmarks"])
    checkpoints = Checkpoints(workdir)
    checkpoints.save("latest", state.replace(step=state.step + 1), {})
    checkpoints.close()


def steep(config, num_landmarks):
    """The variables {params, batch_stats} of such a run."""
    return jax.device_get(_state(config, num_landmarks).variables())


def _state(config, num_landmarks):
    model = build_model(config.model, num_landmarks)
    tx = optimiser(config.optim, 1)
    state = create(model, tx, config, abstract(model, tx, config, make_mesh(MeshConfig(data=1))))
    head = state.params["head"] | {"layer3": jax.tree.map(lambda leaf: 5 * leaf, state.params["head"]["layer3"])}
    params = state.params | {"head": head}
    if config.model.uncertainty:  # the last layer of the scale is zero at the start
        last = jax.random.normal(jax.random.key(1), state.params["scale"]["layer2"]["kernel"].shape)
        params["scale"] = params["scale"] | {"layer2": params["scale"]["layer2"] | {"kernel": last / 10}}
    return state.replace(params=params)
