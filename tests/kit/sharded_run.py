# SPDX-License-Identifier: Apache-2.0
"""Eight steps of plain SGD, more than an epoch, on any mesh, in one process or as one of several.

As a program: `python -m tests.kit.sharded_run OUT DIRECTORY HOST:PORT,N,I DATA MODEL`; process 0 writes what `run`
returns to OUT (.npz).
"""

import sys
from pathlib import Path

import jax
import numpy as np
import optax
from jax.experimental import multihost_utils

from barrel_jax.config import Config
from barrel_jax.devices.distributed import from_first, start
from barrel_jax.devices.sharding import make_mesh, replicated
from barrel_jax.evaluation.score import predict_all, score
from barrel_jax.input.crops import FaceCrops
from barrel_jax.input.splits import load_split
from barrel_jax.models.build import build_model
from barrel_jax.training.dispatch import make_trainer
from barrel_jax.training.steps import TrainStep, make_predict_step
from tests.kit import small

# Batch norm over 8 faces of 1 x 1 magnifies rounding: at ten times the rate losses part by 1e-3 in 20 steps.
RATE = 1e-3


def remembered() -> optax.GradientTransformation:
    """Passes gradients on and keeps the last ones as its state."""
    return optax.GradientTransformation(
        lambda params: jax.tree.map(jax.numpy.zeros_like, params), lambda g, s, p: (g, g)
    )


def on_mesh(data: int, model: int, directory: Path, **fields) -> Config:
    return small.config(mesh__data=data, mesh__model=model, data__data_dir=str(directory), **fields)


def fetch(tree, mesh) -> list[np.ndarray]:
    """The leaves whole, whatever part of them is in this process; gathered by one program, not by one for each."""
    gather = jax.jit(lambda leaves: leaves, out_shardings=replicated(mesh))
    return [np.asarray(leaf) for leaf in gather(jax.tree.leaves(tree))]


def run(config: Config, train: FaceCrops, test: FaceCrops, steps: int = 8) -> dict[str, np.ndarray]:
    """Losses, the first step's gradients, statistics after it, the final score and points."""
    mesh, tx = make_mesh(config.mesh), optax.chain(remembered(), optax.sgd(RATE))
    model = build_model(config.model, 29)
    train_step = TrainStep(model, tx, config, mesh, train.scheme.flip)
    state = train_step.create(config.seed)
    trainer = make_trainer(train_step, train, 0, steps, lambda name, program: program)
    losses, first = [], {}
    for step in range(steps):
        state, loss, count = trainer.advance(state, 1)
        assert count == 1
        losses.append(float(loss))
        if step == 0:
            for name, tree in (("gradient", state.opt_state[0]), ("statistic", state.batch_stats)):
                first |= {f"{name}{index}": leaf for index, leaf in enumerate(fetch(tree, mesh))}
    points = predict_all(make_predict_step(model, mesh), state.variables(), test, 8, mesh)
    scores = score(points, test)
    return first | {
        "losses": np.array(losses),
        "points": points,
        "nme": np.array(scores.nme),
        "num_images": np.array(scores.num_images),
    }


def main(out: str, directory: str, distributed: str, data: str, model: str) -> None:
    """One process of several."""
    config = on_mesh(int(data), int(model), Path(directory).parent)
    config.distributed = distributed
    start(config)
    assert from_first(np.array(jax.process_index())) == 0
    result = run(config, *(load_split(config.data, Path(directory), split) for split in ("train", "test")))
    if jax.process_index() == 0:
        np.savez(out, **result)
    multihost_utils.sync_global_devices("written")


if __name__ == "__main__":
    main(*sys.argv[1:])
