# SPDX-License-Identifier: Apache-2.0
"""Seconds from opening a serialised executable to its first result, against compiling the same model.

python -m benchmarks.start_up

Each number is of a fresh process; Python's imports are not counted, finding the device is. Compiling starts from the
weights in memory, without JAX's cache. Writes benchmarks/results/start-up.json.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from barrel_jax.benchmark.infer import random_images, random_variables
from barrel_jax.config import Config, MeshConfig, ModelConfig
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.devices.xla import tune_cpu
from barrel_jax.export import executable, manifest
from barrel_jax.export.load import load_executable, load_onnx
from barrel_jax.export.write import export
from barrel_jax.models.inference import make_inference
from barrel_jax.paper import model_of
from barrel_jax.provenance import ROOT, describe, write
from barrel_jax.training.trained import TrainedRun

LANDMARKS, SIZE = 98, 256
WEIGHTS = "weights.npz"
WAYS = ("executable", "onnx", "compile")


def first_result(way: str, label: str, folder: Path) -> float:
    """Seconds to the points of one image, in this process, which has done nothing else."""
    image = random_images(1, SIZE)
    if way == "compile":
        config = ModelConfig(**model_of(label))
        with np.load(folder / WEIGHTS) as arrays:  # drawn here, the device would be found before the clock starts
            variables = unflatten_dict(dict(arrays), sep="/")
        start = time.perf_counter()
        predict, weights = make_inference(config, LANDMARKS, variables)
        jax.block_until_ready(jax.jit(predict)(weights, image))
    elif way == "onnx":
        import onnxruntime  # noqa: F401  an import, which is not counted

        start = time.perf_counter()
        load_onnx(folder)(image)
    else:
        digest = manifest.read(folder)["files"][executable.name(1)]["sha256"]  # of this program's own export
        start = time.perf_counter()
        load_executable(folder, sha256=digest)(image)
    return time.perf_counter() - start


def main() -> None:
    """Exports, starts processes in turns, records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="BarrelNet-18,BarrelNet-50", help="default: %(default)s")
    parser.add_argument("--repeats", type=int, default=5, help="processes of each (default: %(default)s)")
    parser.add_argument("--one", nargs=3, metavar=("WAY", "MODEL", "FOLDER"), help="of one process, printed")
    args = parser.parse_args()
    tune_cpu()
    if args.one:
        way, label, folder = args.one
        print(json.dumps(first_result(way, label, Path(folder))))
        return
    described = describe("start-up")  # before the run: machine and commit are those of what runs
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    rows = []
    for label in args.models.split(","):
        config = Config(model=ModelConfig(**model_of(label)))
        facts = {"dataset": "none", "fingerprint": "", "scheme": "wflw-98", "num_landmarks": LANDMARKS}
        variables, mesh = random_variables(config.model, LANDMARKS, SIZE), make_mesh(MeshConfig(data=1))
        trained = TrainedRun(Path(), config, facts, 0, variables, mesh)
        with TemporaryDirectory() as folder:
            about = export(trained, Path(folder), ("executable", "onnx"))
            np.savez(Path(folder) / WEIGHTS, **flatten_dict(jax.device_get(variables), sep="/"))
            seconds: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(args.repeats):
                for way in WAYS:
                    command = [sys.executable, "-m", "benchmarks.start_up", "--one", way, label, folder]
                    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
                    seconds[way].append(float(done.stdout))
        sizes = {"executable": about["files"]["model-1.executable"], "onnx": about["files"]["model.onnx"]}
        for way, values in seconds.items():
            size = sizes[way]["bytes"] / 1e6 if way in sizes else None
            rows.append({"model": label, "way": way, "median_s": float(np.median(values)), "max_s": max(values)})
            rows[-1] |= {"min_s": min(values), "repeats": len(values), "file_mb": size}
            print(f"{label:14s} {way:10s} median {np.median(values):.2f} s, {min(values):.2f} to {max(values):.2f} s")
    result = described | {"image_size": SIZE, "num_landmarks": LANDMARKS, "batch": 1, "rows": rows}
    write(ROOT / "benchmarks" / "results" / "start-up.json", result)


if __name__ == "__main__":
    main()
