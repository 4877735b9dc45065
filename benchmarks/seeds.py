# SPDX-License-Identifier: Apache-2.0
"""The seeds of one grid row in one program: three training steps under `vmap`, or one after another.

python -m benchmarks.seeds

Both sides take the same step of barrel_jax.training.steps on the same faces, in turns; writes
benchmarks/results/seeds.json.
"""

import argparse
from contextlib import nullcontext

import jax
import jax.numpy as jnp
import numpy as np

from barrel_jax.benchmark.clock import Alone, alternate, summary
from barrel_jax.config import Config, MeshConfig, ModelConfig
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.devices.xla import tune_cpu
from barrel_jax.input.placement import Faces
from barrel_jax.models.build import build_model
from barrel_jax.paper import model_of
from barrel_jax.provenance import ROOT, describe, write
from barrel_jax.training.optimiser import optimiser
from barrel_jax.training.order import epoch_order
from barrel_jax.training.state import State
from barrel_jax.training.steps import TrainStep
from barrel_jax.training.streams import seed_data

POINTS = 68


def measure(
    label: str,
    image_size: int,
    seeds: int,
    batch: int,
    rounds: int,
    alone: Alone = nullcontext,
) -> list[dict[str, object]]:
    """Milliseconds of one step of all seeds of a model (`paper.model_of`), both ways; timed inside `alone`."""
    config, mesh = Config(model=ModelConfig(**model_of(label)), batch_size=batch), make_mesh(MeshConfig(data=1))
    config.data.image_size = image_size
    model, tx = build_model(config.model, POINTS), optimiser(config.optim, 10)
    rng = np.random.default_rng(0)
    count = 4 * config.batch_size
    images = rng.integers(0, 256, (count, image_size, image_size, 3), np.uint8)
    faces = Faces(
        jnp.array(images), jnp.array(rng.random((count, POINTS, 2), np.float32)), jnp.ones((count, POINTS), bool)
    )
    order = epoch_order(0, 0, count)
    # Options of XLA belong to a whole program, and the step is a part of one under vmap.
    train_step = TrainStep(model, tx, config, mesh, tuple(range(POINTS)), xla={})
    step, each_seed = train_step.on_faces, [seed_data(seed) for seed in range(seeds)]
    together = jax.jit(jax.vmap(step, (0, 0, None, None)), donate_argnums=0)
    # A state is donated to every step, so each side keeps its own.
    single: list[State] = [train_step.create(seed) for seed in range(seeds)]
    stacked = [jax.jit(lambda *states: jax.tree.map(lambda *leaves: jnp.stack(leaves), *states))(*single)]

    def one_by_one() -> None:
        for index, state in enumerate(single):
            single[index], loss = step(state, each_seed[index], faces, order)
            loss.block_until_ready()

    def at_once() -> None:
        stacked[0], losses = together(stacked[0], jnp.stack(each_seed), faces, order)
        losses.block_until_ready()

    one_by_one()  # which compiles
    at_once()
    with alone():
        seconds = alternate({"one after another": one_by_one, "vmap": at_once}, rounds, settle=0)
    return [
        {"how": how, "seeds": seeds, "image_size": image_size, "batch": config.batch_size, "repeats": rounds}
        | vars(summary(times, seeds * config.batch_size))
        for how, times in seconds.items()
    ]


def main() -> None:
    """Measures and records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="BarrelNet-18")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    tune_cpu()
    described = describe("seeds")  # before the run: machine and commit are those of what runs
    rows = measure(args.model, args.image_size, args.seeds, args.batch, args.rounds)
    write(ROOT / "benchmarks" / "results" / "seeds.json", described | {"rows": rows})


if __name__ == "__main__":
    main()
