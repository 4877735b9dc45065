# SPDX-License-Identifier: Apache-2.0
"""The cost of the input: augmentation within the training step, reading a set, drawing one.

python -m benchmarks.input_speed --source DIR

writes benchmarks/results/input.json.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from barrel_jax.config import Config, MeshConfig
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.devices.xla import tune_cpu
from barrel_jax.faces.landmarks import W300_68
from barrel_jax.input.augment import augment
from barrel_jax.input.placement import Faces
from barrel_jax.models.build import build_model
from barrel_jax.provenance import ROOT, describe, write
from barrel_jax.training.optimiser import optimiser
from barrel_jax.training.order import epoch_order
from barrel_jax.training.steps import TrainStep
from barrel_jax.training.streams import seed_data

READ = """
import time; start = time.perf_counter()
import sys
from data.prepare import prepare
from barrel_jax.config import DataConfig
from barrel_jax.input.crops import load_crops
directory = prepare("coco", sys.argv[1], sys.argv[2])
crops = [load_crops(DataConfig(image_size=128), directory, split) for split in ("train", "val")]
faces = sum(int(c.images.sum(dtype="int64") > 0) * len(c) for c in crops)
print("RESULT", faces, time.perf_counter() - start)
"""


def augmentation_share(size: int, repeats: int) -> dict[str, float]:
    """Seconds of a BarrelNet-18 step (batch 16, one device) and of its augmentation alone, alternating; medians."""
    config = Config()
    config.data.image_size = size
    mesh, model, tx = make_mesh(MeshConfig(data=1)), build_model(config.model, 68), optimiser(config.optim, 100)
    rng = np.random.default_rng(0)
    faces = Faces(
        jnp.array(rng.integers(0, 256, (64, size, size, 3), np.uint8)),
        jnp.array(rng.random((64, 68, 2), np.float32)),
        jnp.ones((64, 68), bool),
    )
    train_step, seed = TrainStep(model, tx, config, mesh, W300_68.flip), seed_data(config.seed)
    flip = jnp.array(W300_68.flip)
    alone = jax.jit(lambda key: augment(key, faces.images[:16], faces.points[:16], flip, config.augment))
    state, order = train_step.create(config.seed), epoch_order(0, 0, 64)
    times: dict[str, list[float]] = {"step": [], "augment": []}
    for repeat in range(repeats + 2):
        start = time.perf_counter()
        state, loss = train_step.on_faces(state, seed, faces, order)
        loss.block_until_ready()
        middle = time.perf_counter()
        jax.block_until_ready(alone(jax.random.key(repeat)))
        if repeat >= 2:
            times["step"].append(middle - start)
            times["augment"].append(time.perf_counter() - middle)
    medians = {f"{name}_s": statistics.median(values) for name, values in times.items()}
    return medians | {"share": medians["augment_s"] / medians["step_s"], "image_size": size, "repeats": repeats}


def reading(source: Path) -> dict[str, float]:
    """Seconds from importing to all crops in hand, in fresh processes: unbuilt, then from the cache (median of 3)."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", READ, str(source.resolve()), folder]
        outputs = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True) for _ in range(4)]
    results = [out.stdout.split("RESULT")[1].split() for out in outputs]
    seconds = [float(second) for _, second in results]
    return {"faces": int(results[0][0]), "first_s": seconds[0], "cached_s": statistics.median(seconds[1:])}


def drawing(count: int) -> dict[str, float]:
    """Faces drawn and encoded in a second by one core."""
    code = (
        "import cv2, time; cv2.setNumThreads(1)\n"
        "from data.synthetic.sample import sample_face\n"
        "[sample_face(1, 'train', i, 'wflw-98') for i in range(20)]; start = time.perf_counter()\n"
        f"[sample_face(0, 'train', i, 'wflw-98') for i in range({count})]\n"
        f"print({count} / (time.perf_counter() - start))"
    )
    command = ["taskset", "-c", "0", sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {"faces": count, "faces_per_s_and_core": float(json.loads(done.stdout))}


def main() -> None:
    """Measures all three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=30)
    args = parser.parse_args()
    tune_cpu()
    described = describe("input")
    result = {
        "reading": reading(args.source),
        "drawing": drawing(600),
        "augmentation": augmentation_share(128, args.repeats),
    }
    write(ROOT / "benchmarks" / "results" / "input.json", described | result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
