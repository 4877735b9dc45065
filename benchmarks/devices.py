# SPDX-License-Identifier: Apache-2.0
"""The cost of the sharded program beside the plain one: virtual CPU devices that share this machine's cores.

python -m benchmarks.devices

Steps on one device and on eight take the same faces, in turns; writes benchmarks/results/devices.json.
"""

import argparse

import jax
import numpy as np

from barrel_jax.benchmark.clock import alternate, summary
from barrel_jax.config import Config, MeshConfig
from barrel_jax.devices.sharding import from_local, make_mesh
from barrel_jax.devices.xla import tune_cpu
from barrel_jax.input.placement import Faces
from barrel_jax.models.build import build_model
from barrel_jax.provenance import ROOT, describe, write
from barrel_jax.training.optimiser import optimiser
from barrel_jax.training.steps import TrainStep
from barrel_jax.training.streams import seed_data

POINTS = 68
# Name and how it is laid out; the first is what the others are compared with.
LAYOUTS = {
    "1 device": {"data": 1},
    "8 devices": {"data": 8, "split_moments": False},
    "8 devices, moments split": {"data": 8, "split_moments": True},
    "8 devices, moments split, norm over 2 faces": {"data": 8, "split_moments": True, "norm_group": 2},
    "8 devices, norm over 2 faces": {"data": 8, "split_moments": False, "norm_group": 2},
    "4 x 2 devices, data x model": {"data": 4, "model": 2, "split_moments": False},
    "4 x 2 devices, moments split, norm over 2 faces": {"data": 4, "model": 2, "split_moments": True, "norm_group": 2},
}


def measure(image_size: int, rounds: int) -> list[dict[str, object]]:
    """Milliseconds of one step of each layout."""
    rng = np.random.default_rng(0)
    batch = Config().batch_size
    faces = Faces(
        rng.integers(0, 256, (batch, image_size, image_size, 3), np.uint8),
        rng.random((batch, POINTS, 2), np.float32),
        np.ones((batch, POINTS), bool),
    )
    sides = {}
    for name, fields in LAYOUTS.items():
        config = Config()
        config.data.image_size = image_size
        config.model.norm_group = fields.get("norm_group", 0)
        config.mesh = MeshConfig(**{key: value for key, value in fields.items() if key != "norm_group"})
        sides[name] = _side(config, faces)
    rows = []
    for name, seconds in alternate(sides, rounds).items():
        rows.append(
            {"layout": name, "image_size": image_size, "batch": batch, "repeats": rounds}
            | vars(summary(seconds, batch))
        )
    for row in rows:
        row["ratio"] = row["median_ms"] / rows[0]["median_ms"]
    return rows


def _side(config: Config, faces: Faces) -> object:
    mesh, model, tx = make_mesh(config.mesh), build_model(config.model, POINTS), optimiser(config.optim, 100)
    train_step, seed = TrainStep(model, tx, config, mesh, tuple(range(POINTS))), seed_data(config.seed)
    state = [train_step.create(config.seed)]
    batch = from_local(faces, config.batch_size, mesh)

    def run() -> object:
        state[0], loss = train_step.on_batch(state[0], seed, batch)
        return jax.block_until_ready(loss)

    run()
    return run


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    tune_cpu()
    jax.config.update("jax_num_cpu_devices", 8)
    described = describe("devices")
    rows = measure(args.image_size, args.rounds)
    for row in rows:
        print(f"{row['layout']:<45}{row['median_ms']:8.0f} ms  {row['ratio']:.2f}x")
    write(ROOT / "benchmarks" / "results" / "devices.json", described | {"rows": rows})


if __name__ == "__main__":
    main()
