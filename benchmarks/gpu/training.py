# SPDX-License-Identifier: Apache-2.0
"""The steps of the accuracy part: the faces, the weights to start from, and runs that end with a score."""

import json
import time
from pathlib import Path

import numpy as np

from barrel_jax import files
from barrel_jax.config import Config
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.devices.xla import keep_compiled
from barrel_jax.evaluation.score import face_errors, predict_all, score
from barrel_jax.input.splits import load_split
from barrel_jax.models.build import build_model
from barrel_jax.pretrained import backbone as pretrained
from barrel_jax.training import loop
from barrel_jax.training.steps import make_predict_step
from barrel_jax.training.trained import read_facts, restore_variables
from benchmarks.gpu import cut_set, drawn
from benchmarks.gpu.pack import unpack, write_pack
from benchmarks.gpu.recipes import Run, Sizes, config_of, start_config
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.step import Rows
from benchmarks.gpu.turn import Turn

TEST = "test"


def _faces(settings: Settings) -> Path:
    return Path(settings.scratch) / "faces"


def _drawn(settings: Settings) -> Path:
    return Path(settings.scratch) / "drawn"


def start_file(settings: Settings) -> Path:
    """The backbone's weights that runs start from."""
    return Path(settings.start) if settings.start else Path(settings.scratch) / "start.safetensors"


def unpack_faces(rows: Rows, settings: Settings, sizes: Sizes) -> None:
    """The pack's faces as a folder; a rehearsal without a pack draws some and packs them."""
    pack = Path(settings.pack)
    if not settings.pack:
        own = Path(settings.scratch) / "rehearsal"
        size = sizes.recipe.image_size
        drawn.draw(own, {"train": 48, "test": 8}, size)
        splits = {split: cut_set.read_split(own, split, size) for split in ("train", "test")}
        pack = own / "pack.npz"
        write_pack(pack, json.loads((own / "metadata.json").read_text()), splits, 30e6)
    unpack(pack, _faces(settings), (sizes.recipe.image_size, sizes.ablation.image_size))
    rows.note(pack_mb=pack.stat().st_size / 1e6)


def draw_faces(rows: Rows, settings: Settings, sizes: Sizes) -> None:
    """Synthetic faces for the start."""
    begin = time.perf_counter()
    drawn.draw(_drawn(settings), {"train": sizes.drawn, "val": max(sizes.drawn // 50, 8)}, sizes.start.image_size)
    rows.note(faces=sizes.drawn, draw_s=time.perf_counter() - begin)


def train_start(rows: Rows, settings: Settings, sizes: Sizes) -> None:
    """Trains on the drawn faces and writes the backbone of what came out."""
    keep_compiled()
    config = start_config(sizes, sizes.drawn)
    workdir, begin = Path(settings.scratch) / "runs" / "start", time.perf_counter()
    metrics = loop.train(config, workdir, _drawn(settings))
    variables, _ = restore_variables(workdir, config, len(metrics["point_nme"]), "latest", make_mesh(config.mesh))
    backbone = {kind: tree["backbone"] for kind, tree in variables.items()}
    files.write(start_file(settings), lambda path: pretrained.write_backbone(path, backbone))
    rows.add(
        {
            "run": "start",
            "faces": sizes.drawn,
            "epochs": config.optim.epochs,
            "image_size": config.data.image_size,
            "nme": metrics["nme"],
            "seconds": time.perf_counter() - begin,
        }
    )


def train_run(rows: Rows, settings: Settings, sizes: Sizes, run: Run) -> None:
    """Trains one run to its end, opens the test split once, keeps its predictions."""
    keep_compiled()
    directory, workdir = _faces(settings), Path(settings.scratch) / "runs" / run.name
    config = config_of(run, sizes, settings.optimiser, 1)
    count = len(load_split(config.data, directory, config.data.train_split))
    config = config_of(run, sizes, settings.optimiser, count)
    config.pretrained = str(start_file(settings))
    total = config.optim.epochs * (count // config.batch_size)
    begin = time.perf_counter()
    loop.train(config, workdir, directory, Turn(Path(settings.scratch) / "turn.lock", total))
    seconds = time.perf_counter() - begin
    rows.add(
        {
            "run": run.name,
            "kind": run.kind,
            "model": run.label,
            "seed": run.seed,
            "image_size": config.data.image_size,
            "epochs": config.optim.epochs,
            "batch": config.batch_size,
            "faces": count,
            "optimiser": settings.optimiser,
            "start": Path(settings.start).name if settings.start else f"{sizes.drawn} drawn faces",
            "seconds": seconds,
            "held_out": _curve(workdir, count // config.batch_size),
        }
        | _score(config, workdir, directory, Path(settings.out), run.name)
    )


def _curve(workdir: Path, steps_per_epoch: int) -> list[dict[str, float]]:
    """NME of the faces kept from training, by epoch."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [
        {"epoch": line["step"] // steps_per_epoch, "nme": value}
        for line in lines
        for name, value in line.items()
        if "/nme_" in name
    ]


def _score(config: Config, workdir: Path, directory: Path, out: Path, name: str) -> dict[str, object]:
    """Opens the test split: what is said of it, and the predictions in source pixels as a file."""
    with (out / "openings.jsonl").open("a") as log:  # before the score is known, so that none goes uncounted
        log.write(json.dumps({"run": name, "split": TEST}) + "\n")
    mesh, landmarks = make_mesh(config.mesh), read_facts(workdir)["num_landmarks"]
    crops = load_split(config.data, directory, TEST)
    variables, step = restore_variables(workdir, config, landmarks, "latest", mesh)
    predict = make_predict_step(build_model(config.model, landmarks), mesh)
    points_px = predict_all(predict, variables, crops, config.loop.eval_batch, mesh)
    scores = score(points_px, crops, crop=config.data.crop, checkpoint_step=step)
    columns = {
        "points": points_px,
        "files": np.array(crops.files),
        "faces": crops.faces,
        "nme": face_errors(points_px, crops),
    }
    files.write(out / "predictions" / f"{name}.npz", lambda path: np.savez(path, **columns))
    return {
        "test_faces": scores["num_images"],
        "nme": scores["nme"],
        "fr_0.10": scores["fr"]["0.10"],
        "auc_0.10": scores["auc"]["0.10"],
        "partial": scores["partial"],
    }
