# SPDX-License-Identifier: Apache-2.0
"""The cost of a checkpoint's checksums: their part of a save and of a load, and training with them and without.

python -m benchmarks.digests

The state is BarrelNet-50's. Training is of BarrelNet-18 at 128 px, which saves every 25 steps (twenty times as often as
by default), with and without in turns. Writes benchmarks/results/digests.json.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags, logging

from barrel_jax.config import Config, MeshConfig
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.devices.xla import tune_cpu
from barrel_jax.input.placement import Faces
from barrel_jax.models.build import build_model
from barrel_jax.provenance import ROOT, describe, write
from barrel_jax.training import checksums
from barrel_jax.training.checkpoint import Checkpoints
from barrel_jax.training.optimiser import optimiser
from barrel_jax.training.order import epoch_order
from barrel_jax.training.state import State
from barrel_jax.training.steps import TrainStep
from barrel_jax.training.streams import seed_data

POINTS, EVERY = 98, 25
Seconds = tuple[float, float]  # by the wall and by all cores


@contextmanager
def without() -> Iterator[None]:
    """No checksums are written or checked."""
    unwritten = patch.object(checksums, "write", lambda folder: None)
    with unwritten, patch.object(Checkpoints, "_damage", lambda self, kind, step: ""):
        yield


def timed(work: Callable[[], Any]) -> Seconds:
    """What it takes."""
    wall, cores = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cores


def train_step(backbone: str, image_size: int) -> tuple[TrainStep, Config]:
    """A step of BarrelNet on one device."""
    config = Config()
    config.model.backbone, config.data.image_size = backbone, image_size
    model, tx = build_model(config.model, POINTS), optimiser(config.optim, EVERY)
    return TrainStep(model, tx, config, make_mesh(MeshConfig(data=1)), tuple(range(POINTS))), config


def save_and_load(state: State, folder: Path) -> dict[str, Seconds]:
    """Seconds of a save until it is on the disk, and of a load."""
    shutil.rmtree(folder, ignore_errors=True)
    checkpoints = Checkpoints(folder)
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state)

    def save() -> None:
        checkpoints.save("latest", state, {})
        checkpoints.wait()

    try:
        return {
            "a save": timed(save),
            "a load": timed(lambda: jax.block_until_ready(checkpoints.restore("latest", int(state.step), like))),
        }
    finally:
        checkpoints.close()


def saves_and_loads(rounds: int, state: State, folder: Path) -> list[dict[str, Any]]:
    """Medians of a save and of a load, and of the part of each that is the checksums'."""
    own: list[Seconds] = []

    def counted(function: Callable[[Path], Any]) -> Callable[[Path], Any]:
        def call(path: Path) -> Any:
            wall, cores = time.perf_counter(), time.thread_time()
            result = function(path)
            own.append((time.perf_counter() - wall, time.thread_time() - cores))
            return result

        return call

    with patch.multiple(checksums, write=counted(checksums.write), damage=counted(checksums.damage)):
        measured = []
        for _ in range(rounds + 1):
            own.clear()
            whole = save_and_load(state, folder)
            # The facts beside the state have their checksums too.
            parts = {"a save": own[:2], "a load": own[2:]}
            measured.append((whole, {what: tuple(map(sum, zip(*times, strict=True))) for what, times in parts.items()}))
    rows = []
    for what in ("a save", "a load"):
        values = [(*whole[what], *part[what]) for whole, part in measured[1:]]
        wall, cores, own_wall, own_cores = (float(value) for value in np.median(values, 0))
        row = {"what": what, "rounds": rounds, "wall_s": wall, "wall_without_s": wall - own_wall}
        row |= {"cores_s": cores, "cores_without_s": cores - own_cores}
        rows.append(
            row | {"share_of_wall": own_wall / (wall - own_wall), "share_of_cores": own_cores / (cores - own_cores)}
        )
        print(rows[-1], flush=True)
    return rows


def in_turns(rounds: int, measure: Callable[[], dict[str, Seconds]]) -> list[dict[str, Any]]:
    """A row for each thing that is measured: medians with checksums and without, and the part that is theirs."""
    measure()
    seconds: dict[bool, list[dict[str, Seconds]]] = {True: [], False: []}
    for number in range(2 * rounds):
        if number % 4 in (0, 3):  # with, without, without, with: what the side before has left falls on both
            seconds[True].append(measure())
        else:
            with without():
                seconds[False].append(measure())
    rows = []
    for what in seconds[True][0]:
        wall, cores = ({on: float(np.median([one[what][k] for one in seconds[on]])) for on in seconds} for k in (0, 1))
        row = {"what": what, "rounds": rounds, "wall_s": wall[True], "wall_without_s": wall[False]}
        row |= {"cores_s": cores[True], "cores_without_s": cores[False]}
        rows.append(
            row | {"share_of_wall": wall[True] / wall[False] - 1, "share_of_cores": cores[True] / cores[False] - 1}
        )
        print(rows[-1], flush=True)
    return rows


def training(folder: Path) -> Callable[[], dict[str, Seconds]]:
    """`EVERY` steps of training and a save."""
    step, config = train_step("resnet18", 128)
    state, seed, rng = step.create(config.seed), seed_data(config.seed), np.random.default_rng(0)
    count, size = EVERY * config.batch_size, config.data.image_size
    images = rng.integers(0, 256, (count, size, size, 3), np.uint8)
    points = rng.random((count, POINTS, 2), np.float32)
    faces, order = (
        Faces(jnp.array(images), jnp.array(points), jnp.ones((count, POINTS), bool)),
        epoch_order(0, 0, count),
    )
    kept = [state]

    def steps() -> None:
        checkpoints = Checkpoints(folder)
        for _ in range(EVERY):
            kept[0], loss = step.on_faces(kept[0], seed, faces, order)
            loss.block_until_ready()
        checkpoints.save("latest", kept[0], {})
        checkpoints.close()

    def measure() -> dict[str, Seconds]:
        shutil.rmtree(folder, ignore_errors=True)
        return {f"{EVERY} steps of training and a save": timed(steps)}

    return measure


def main() -> None:
    """Measures and records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="of saves and loads (default: %(default)s)")
    parser.add_argument("--training-rounds", type=int, default=6, help="0 for none (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="on the disk to be measured (default: a temporary one)")
    args = parser.parse_args()
    tune_cpu()
    flags.FLAGS.mark_as_parsed()
    logging.set_verbosity(logging.FATAL)  # orbax tells its every step otherwise
    described = describe("digests")  # before the run: machine and commit are those of what runs
    with tempfile.TemporaryDirectory(dir=args.folder) as home:
        step, config = train_step("resnet50", 64)
        state = step.create(config.seed)
        size = sum(x.nbytes for x in jax.tree.leaves(state))
        rows = saves_and_loads(args.rounds, state, Path(home, "saved"))
        if args.training_rounds:
            rows += in_turns(args.training_rounds, training(Path(home, "trained")))
    write(ROOT / "benchmarks" / "results" / "digests.json", described | {"bytes": size, "rows": rows})


if __name__ == "__main__":
    main()
