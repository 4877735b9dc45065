# SPDX-License-Identifier: Apache-2.0
"""Scores a run, or anybody's predictions, on a split of a dataset.

python evaluate.py --workdir W [--dataset SET --source DIR --split S] [--stress] [--report]
python evaluate.py --predictions FILE --dataset SET [--source DIR] [--split S] [--workdir OUT]

Without --source a set's download is looked for in DATA_DIR/downloads/SET. Prints the table, the errors in source pixels
and in the crop, and writes metrics.json, predictions.npz and pictures to WORKDIR/eval/<set>-<split>. Predictions are
scored from the annotations alone where the images are not there (--dataset cofw68). --stress also predicts the faces
hidden, turned, blurred, shifted and by pose, each at five strengths, prints those errors and writes stress.json there.
--report writes report.html there: all of it to look at, with worst faces, attention and training curves, in one file.
"""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

from barrel_jax import config as configuration
from barrel_jax import files
from barrel_jax.command_line import Parser
from barrel_jax.config import Config, DataConfig, MeshConfig
from barrel_jax.config_arguments import describe_fields
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.devices.xla import keep_compiled, tune_cpu
from barrel_jax.evaluation import score_table
from barrel_jax.evaluation.data_to_score import data_to_score
from barrel_jax.evaluation.predictions import read_predictions
from barrel_jax.evaluation.score import score, write_evaluation
from barrel_jax.evaluation.stress import stress
from barrel_jax.extras import require_train
from barrel_jax.faces.annotated import FaceTruth
from barrel_jax.faces.crop_windows import PROTOCOLS
from barrel_jax.faces.landmarks import NAMED, Normaliser
from barrel_jax.faces.normalisers import normalised_by
from barrel_jax.faces.wflw_to_300w import comparable
from barrel_jax.facts import read_facts
from barrel_jax.input.crops import FaceCrops
from barrel_jax.input.splits import load_split
from barrel_jax.report.page import write_page
from barrel_jax.report.run import run_report
from barrel_jax.training.trained import TrainedRun
from data.annotated import truth_of
from data.face_sets import DOWNLOADED, FACE_SETS
from data.prepare import prepare_config


def arguments_parser() -> Parser:
    """The arguments of the command."""
    parser = Parser("evaluate.py", __doc__, epilog="settings of a run (train.py), by default:\n" + describe_fields())
    add = parser.add_argument
    add("--workdir", type=Path, help="folder of the run to score; with --predictions where the scores go")
    add("--predictions", type=Path, metavar="FILE", help="score this .npz, .json or .txt instead of a run's model")
    add("--dataset", choices=FACE_SETS, help="the set to score on; the run's own by default")
    add("--source", metavar="DIR", help="folder of that set's raw download (default: DATA_DIR/downloads/SET)")
    add(
        "--split",
        help="the run's test split by default, else val for coco, else test; holdout: what config.data.holdout kept",
    )
    add("--data-dir", metavar="DIR", help="where built sets live; the run's, else ~/.cache/barrel_jax")
    add("--checkpoint", default="latest", help="latest, best (lowest on the test split), or a saved step")
    add(
        "--rank",
        type=int,
        help="score the run's model with DQInit's and QAMem's weights at this rank, and at full rank",
    )
    add(
        "--normaliser",
        help=f"what divides the error: {', '.join(NAMED)}, or two points such as 36,45; the set's by default",
    )
    add("--crop", choices=PROTOCOLS, help="how faces are cropped for the model; the run's by default")
    flag: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
    add("--clamp-points", **flag, help="move true points into the image; the run's by default")
    add("--allow-partial", **flag, help="score on a part of a published set; the table says so")
    add("--stress", **flag, help="also score the run's model under perturbations: stress.json")
    add("--report", action="store_true", help="also write report.html, one page to open in a browser")
    return parser


def truth_to_score(data: DataConfig, *, pixels: bool) -> FaceTruth:
    """The faces that `data` names: crops, unless pixels can be done without and the source has only annotations."""
    if not pixels and data.dataset in DOWNLOADED:
        downloaded = DOWNLOADED[data.dataset]
        source = downloaded.read(downloaded.locate(data.source, data.data_dir))
        if not source.has_images:
            return truth_of(source, data, data.test_split)
    return load_split(data, prepare_config(data), data.test_split)


def evaluate(given: argparse.Namespace) -> None:
    """Scores what the command line names."""
    require_train()
    tune_cpu()
    keep_compiled()
    workdir = given.workdir
    is_run = workdir is not None and (workdir / "config.json").exists()
    config = Config() if given.predictions and not is_run else configuration.load(workdir)
    scheme = read_facts(workdir)["scheme"] if is_run else config.data.scheme
    data = data_to_score(
        config.data,
        scheme,
        dataset=given.dataset,
        source=given.source,
        test_split=given.split,
        data_dir=given.data_dir,
        crop=given.crop,
        clamp_points=given.clamp_points,
        allow_partial=given.allow_partial,
    )
    normaliser = Normaliser.parse(given.normaliser) if given.normaliser else None
    if normaliser and normaliser.points:  # a set of which none is known needs it to be read at all
        data.normaliser = normaliser.points
    faces = truth_to_score(data, pixels=not given.predictions)
    about: dict[str, Any] = {"crop_frame": "" if faces.windows is None else data.crop}
    run: TrainedRun | None = None
    crops: FaceCrops | None = None
    if given.predictions:
        points_px = read_predictions(given.predictions, faces)
    else:
        crops, full = faces, TrainedRun.open(workdir, given.checkpoint, make_mesh(MeshConfig()))
        run = full.at_rank(given.rank) if given.rank else full
        points_px = run.predict(crops)
        about |= {"crop": data.crop, "checkpoint_step": run.step, "config": run.config}
    points_px, faces, mapped = comparable(points_px, faces)
    if normaliser:
        faces = dataclasses.replace(faces, scheme=normalised_by(faces.scheme, normaliser))
    scores = score(points_px, faces, mapped=mapped, **about)
    print(score_table.table(scores))
    if given.rank:
        whole, _, _ = comparable(full.predict(crops), faces)
        print(score_table.rank_cost(scores, score(whole, faces, mapped=mapped, **about), given.rank))
    if workdir is None:
        print("nothing is written without --workdir")
        return
    folder = workdir / "eval" / f"{faces.dataset}-{faces.split}{f'-rank{given.rank}' if given.rank else ''}"
    for path in write_evaluation(folder, scores, points_px, faces):
        print(path)
    stressed = None
    if given.stress:
        stressed = stress(run.predict, crops, faces, prepare_config(data), data.crop, run.step)
        print("\n" + score_table.stress_table(stressed))
        files.write_json(folder / "stress.json", files.plain(stressed))
        print(folder / "stress.json")
    if given.report:
        name = (given.predictions or workdir.absolute()).name + (f" at rank {given.rank}" if given.rank else "")
        write_page(folder / "report.html", run_report(scores, points_px, faces, name, run, crops, stressed))
        print(folder / "report.html")


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = arguments_parser()
    given = parser.parse_args(arguments)
    if given.workdir is None and given.predictions is None:
        parser.error("give --workdir of a run, or --predictions with --dataset (and --source)")
    if given.predictions and given.dataset is None:
        parser.error("--predictions needs --dataset (and --source, unless its download lies in its place)")
    if given.predictions and given.rank:
        parser.error("--rank is of a run's weights: give --workdir of a run and no --predictions")
    if given.predictions and given.stress:
        parser.error(
            "--stress perturbs the images and predicts them anew, which takes a model: give --workdir of a run and no "
            "--predictions"
        )
    if given.report and given.workdir is None:
        parser.error("--report is written to --workdir: name that too")
    return parser.run(given, lambda: evaluate(given))


if __name__ == "__main__":
    sys.exit(main())
