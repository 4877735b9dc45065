# SPDX-License-Identifier: Apache-2.0
"""The same weights on every path: how far the points of each lie from those of the Flax model as it is trained.

python -m benchmarks.paths [--workdirs W,W]

Weights are drawn, and the last layer is scaled so that points spread over the crop as those of faces do; a trained run
of --workdirs is given faces of its own test split. Differences are the largest of all landmarks and images, in pixels
of a 256 px crop. Writes benchmarks/results/paths.json.
"""

import argparse
import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory

import jax
import numpy as np
import torch
from absl import logging

from barrel_jax.config import Config, MeshConfig, ModelConfig
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.devices.xla import tune_cpu
from barrel_jax.export import executable
from barrel_jax.export.load import load_executable, load_onnx, load_stablehlo
from barrel_jax.export.write import export
from barrel_jax.input.splits import load_split
from barrel_jax.models.build import build_model
from barrel_jax.models.inference import make_inference
from barrel_jax.paper import model_of
from barrel_jax.provenance import ROOT, describe, write
from barrel_jax.pytorch import barrelnet as torch_barrelnet
from barrel_jax.pytorch.weights import from_flax
from barrel_jax.training.trained import TrainedRun
from benchmarks.drawn_weights import LANDMARKS, SIZE, draw_images, spread_variables
from data.prepare import prepare_config

BOUNDS_PX = {"float32": 0.05, "bfloat16": 0.5}


def drawn_model(label: str, images: np.ndarray) -> TrainedRun:
    """A model of the paper with 98 landmarks and drawn weights."""
    config = ModelConfig(**model_of(label))
    facts = {"dataset": "none", "fingerprint": "", "scheme": "wflw-98", "num_landmarks": LANDMARKS}
    mesh = make_mesh(MeshConfig(data=1))
    return TrainedRun(Path(), Config(model=config), facts, 0, spread_variables(config, images), mesh)


def trained_model(workdir: Path, count: int) -> tuple[TrainedRun, np.ndarray]:
    """A run's model and faces spread over its test split, uint8 [count, S, S, 3]."""
    trained = TrainedRun.open(workdir)
    data = trained.config.data
    crops = load_split(data, prepare_config(data), data.test_split)
    return trained, np.asarray(crops.images[np.linspace(0, len(crops.images) - 1, count, dtype=int)])


def points_of_paths(trained: TrainedRun, images: np.ndarray) -> dict[str, np.ndarray]:
    """Points [B, K, 2] in crop units by path, Flax's first."""
    config = dataclasses.replace(trained.config.model, dtype="float32")
    num_landmarks, variables = trained.num_landmarks, trained.variables
    model = build_model(config, num_landmarks)
    paths = {"Flax": jax.jit(lambda v, x: model.apply(v, x / 255, train=False)[-1])(variables, np.float32(images))}
    for name, dtype in (("Flax, folded", "float32"), ("Flax, folded, bfloat16", "bfloat16")):
        predict, weights = make_inference(dataclasses.replace(config, dtype=dtype), num_landmarks, variables)
        paths[name] = jax.jit(predict)(weights, images)
    with TemporaryDirectory() as folder:
        exported = export(trained, Path(folder), batches=[len(images)])["files"]
        paths["StableHLO"] = load_stablehlo(Path(folder))(images)
        digest = exported[executable.name(len(images))]["sha256"]
        paths["executable"] = load_executable(Path(folder), sha256=digest, batch=len(images))(images)
        paths["ONNX Runtime"] = load_onnx(Path(folder))(images)
    network = torch_barrelnet.build_model(config, num_landmarks, images.shape[1])
    from_flax(variables, network)
    with torch.inference_mode():
        paths["PyTorch"] = network.eval().predict(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    return {name: np.asarray(found, np.float32) for name, found in paths.items()}


def main() -> None:
    """Compares, records, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="BarrelNet-18,BarrelNet-50", help="default: %(default)s")
    parser.add_argument("--images", type=int, default=6, help="default: %(default)s")
    parser.add_argument("--workdirs", default="", help="trained runs as well, separated by commas")
    args = parser.parse_args()
    logging.set_verbosity(logging.WARNING)  # orbax tells its every step otherwise
    tune_cpu()
    described = describe("paths")  # before the run: machine and commit are those of what runs
    images = draw_images(args.images)
    models = {f"{label}, drawn": (drawn_model(label, images), images) for label in args.models.split(",")}
    for workdir in filter(None, args.workdirs.split(",")):
        models[f"{Path(workdir).name}, trained"] = trained_model(Path(workdir), args.images)
    rows = []
    for label, (model, images) in models.items():
        paths = points_of_paths(model, images)
        flax = paths.pop("Flax")
        about = {"points_std_px": float(SIZE * flax.std()), "crop": images.shape[1], "landmarks": model.num_landmarks}
        for name, points in paths.items():
            precision = "bfloat16" if "bfloat16" in name else "float32"
            apart, bound = SIZE * np.abs(points - flax), BOUNDS_PX[precision]
            row = {"model": label, "path": name, "precision": precision, "largest_px": float(apart.max())}
            rows.append(row | {"mean_px": float(apart.mean()), "bound_px": bound, **about})
            print(f"{label:24s} {name:24s} {apart.max():.4f} px, mean {apart.mean():.5f} (bound {bound})")
    result = described | {"images": args.images, "rows": rows}
    write(ROOT / "benchmarks" / "results" / "paths.json", result)


if __name__ == "__main__":
    main()
