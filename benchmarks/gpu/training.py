# SPDX-License-Identifier: Apache-2.0
"""The steps of the accuracy part: the faces, the weights to start from, and runs that end with a score."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from barrel_jax import files
from barrel_jax.config import Config
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.devices.xla import keep_compiled
from barrel_jax.evaluation.score import face_errors, predict_all, score
from barrel_jax.facts import read_facts
from barrel_jax.input.splits import load_split
from barrel_jax.models.build import build_model, count_parameters
from barrel_jax.pretrained import backbone as pretrained
from barrel_jax.training import loop
from barrel_jax.training.steps import make_predict_step
from barrel_jax.training.trained import restore_variables
from benchmarks.gpu import cut_set, drawn
from benchmarks.gpu.pack import unpack, write_pack
from benchmarks.gpu.recipes import DRAWN, REAL, SHARE, SPLITS, W300, Run, Sizes, config_of
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.step import Rows
from benchmarks.gpu.turn import Turn

FOLDERS = {W300: "faces", REAL: "real", DRAWN: "drawn"}


def folder_of(settings: Settings, dataset: str) -> Path:
    """Where the cut faces of a set lie."""
    return Path(settings.scratch) / FOLDERS[dataset]


def start_file(settings: Settings) -> Path:
    """The backbone's weights that runs start from."""
    return Path(settings.start) if settings.start else Path(settings.scratch) / "start.safetensors"


def _sizes_of(sizes: Sizes) -> tuple[int, ...]:
    return tuple(sorted({budget.image_size for budget in sizes.budgets.values()}))


def unpack_faces(rows: Rows, settings: Settings, sizes: Sizes) -> None:
    """300W's faces as a folder; a rehearsal without a pack draws some and packs them."""
    _unpack(rows, settings, sizes, W300, settings.pack)


def unpack_real(rows: Rows, settings: Settings, sizes: Sizes) -> None:
    """Further real faces as a folder; likewise."""
    _unpack(rows, settings, sizes, REAL, settings.real)


def _unpack(rows: Rows, settings: Settings, sizes: Sizes, dataset: str, pack: str) -> None:
    file = Path(pack)
    if not pack:
        own, splits = Path(settings.scratch) / f"rehearsal-{dataset}", SPLITS[dataset]
        size = max(_sizes_of(sizes))
        drawn.draw(own, dict(zip(splits, (48, 8), strict=True)), (size,), seed=len(dataset))
        file = own / "pack.npz"
        found = {split: cut_set.read_split(own, split, size) for split in splits}
        write_pack(file, json.loads((own / "metadata.json").read_text()), found, 30e6)
    unpack(file, folder_of(settings, dataset), _sizes_of(sizes))
    rows.note(**{f"{dataset}_pack_mb": file.stat().st_size / 1e6})


def draw_faces(rows: Rows, settings: Settings, sizes: Sizes) -> None:
    """Synthetic faces to train on."""
    begin = time.perf_counter()
    train, val = SPLITS[DRAWN]
    counts = {train: sizes.drawn, val: max(sizes.drawn // 50, 8)}
    drawn.draw(folder_of(settings, DRAWN), counts, _sizes_of(sizes))
    rows.note(drawn_faces=sizes.drawn, draw_s=time.perf_counter() - begin)


def _configured(settings: Settings, sizes: Sizes, run: Run) -> tuple[Config, int, dict[str, int]]:
    """The run's config, the steps of an epoch, and how many faces an epoch visits of each set."""
    config = config_of(run, sizes, settings.optimiser, 10**9)  # of which the faces do not depend on the epochs
    main = len(load_split(config.data, folder_of(settings, run.sets[0]), config.data.train_split))
    remaining = 1 - SHARE * (len(run.sets) - 1)
    visits = {run.sets[0]: main} | {name: round(main * SHARE / remaining) for name in run.sets[1:]}
    config = config_of(run, sizes, settings.optimiser, sum(visits.values()))
    return config, sum(visits.values()) // config.batch_size, visits


def _train(settings: Settings, config: Config, workdir: Path, stop: Callable[[int], bool]) -> dict[str, Any] | None:
    keep_compiled()
    return loop.train(config, workdir, lambda data: folder_of(settings, data.dataset), stop)


def train_start(rows: Rows, settings: Settings, sizes: Sizes, run: Run) -> None:
    """Trains the start and writes the backbone of what came out."""
    config, _, visits = _configured(settings, sizes, run)
    workdir, begin = Path(settings.scratch) / "runs" / run.name, time.perf_counter()
    metrics = _train(settings, config, workdir, lambda step: False)
    variables, _ = restore_variables(workdir, config, len(metrics.point_nme), "latest", make_mesh(config.mesh))
    backbone = {kind: tree["backbone"] for kind, tree in variables.items()}
    files.write(start_file(settings), lambda path: pretrained.write_backbone(path, backbone))
    rows.note(start=_about(settings, run, config, visits) | {"seconds": time.perf_counter() - begin})


def warm(rows: Rows, settings: Settings, sizes: Sizes, run: Run) -> None:
    """Compiles what the run will need, by training it for an epoch from drawn weights and evaluating it."""
    config, steps, _ = _configured(settings, sizes, run)
    config.loop.eval_epochs = 1
    begin, workdir = time.perf_counter(), Path(settings.scratch) / "warm" / run.name
    _train(settings, config, workdir, lambda step: step > steps)
    shutil.rmtree(workdir)
    rows.note(**{f"warm_{run.name}_s": time.perf_counter() - begin})


def train_run(rows: Rows, settings: Settings, sizes: Sizes, run: Run) -> None:
    """Trains one run to its end, opens the test split once, keeps its predictions."""
    config, steps, visits = _configured(settings, sizes, run)
    config.pretrained = str(start_file(settings)) if run.started else ""
    workdir, total = Path(settings.scratch) / "runs" / run.name, config.optim.epochs * steps
    # The small model trains beside the start, before there are turns to wait for.
    after = total if run.kind == "small" else config.loop.eval_epochs * steps
    turn = Turn(Path(settings.scratch), after, total, settings.sharing)
    begin = time.perf_counter()
    _train(settings, config, workdir, turn)
    seconds = time.perf_counter() - begin
    row = _about(settings, run, config, visits) | {"seconds": seconds, "held_out": _curve(workdir, steps)}
    elsewhere = run.kind not in ("ablation", "coarse", "size") and cut_set.is_whole(folder_of(settings, REAL))
    sets = [W300, REAL] if elsewhere else [W300]
    for dataset in sets:
        row |= _score(settings, config, workdir, run, dataset)
    rows.add(row)


def _about(settings: Settings, run: Run, config: Config, visits: dict[str, int]) -> dict[str, Any]:
    start = (Path(settings.start).name if settings.start else "start") if run.started else ""
    return {
        "run": run.name,
        "kind": run.kind,
        "model": run.label,
        "seed": run.seed,
        "faces": visits,
        "image_size": config.data.image_size,
        "schedule": run.schedule,
        "epochs": config.optim.epochs,
        "batch": config.batch_size,
        "optimiser": settings.optimiser if run.started else "scratch",
        "start": start,
    }


def _curve(workdir: Path, steps_per_epoch: int) -> list[dict[str, float]]:
    """NME of the faces kept from training, by epoch."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [
        {"epoch": line["step"] // steps_per_epoch, "nme": value}
        for line in lines
        for name, value in line.items()
        if "/nme_" in name
    ]


def _score(settings: Settings, config: Config, workdir: Path, run: Run, dataset: str) -> dict[str, object]:
    """Opens a set's test split: what is said of it, and the predictions in source pixels as a file."""
    out, split = Path(settings.out), SPLITS[dataset][1]
    with (out / "openings.jsonl").open("a") as log:  # before the score is known, so that none goes uncounted
        log.write(json.dumps({"run": run.name, "dataset": dataset, "split": split}) + "\n")
    mesh, landmarks = make_mesh(config.mesh), read_facts(workdir)["num_landmarks"]
    crops = load_split(_of_set(config, dataset).data, folder_of(settings, dataset), split)
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
    name = run.name if dataset == W300 else f"{run.name}-on-{dataset}"
    files.write(out / "predictions" / f"{name}.npz", lambda path: np.savez(path, **columns))
    prefix = "" if dataset == W300 else f"{dataset}_"
    return {
        "parameters": count_parameters(variables["params"]),
        f"{prefix}test_faces": scores.num_images,
        f"{prefix}nme": scores.nme,
        f"{prefix}nme_crop": scores.nme_crop,
        f"{prefix}fr_0.10": scores.fr["0.10"],
        f"{prefix}auc_0.10": scores.auc["0.10"],
        f"{prefix}partial": scores.partial,
    }


def _of_set(config: Config, dataset: str) -> Config:
    """The config with another set in the place of its own, to score it."""
    train, test = SPLITS[dataset]
    data = replace(config.data, dataset=dataset, train_split=train, test_split=test, holdout=0.0)
    return replace(config, data=data)
