# SPDX-License-Identifier: Apache-2.0
"""Scores a run, or anybody's predictions, on a split of a dataset.

python evaluate.py --workdir W [--dataset SET --source DIR --split S] [--stress]
python evaluate.py --predictions FILE --dataset SET [--source DIR] [--split S] [--workdir OUT]

Without --source a set's download is looked for in DATA_DIR/downloads/SET. Prints the table, the errors in source pixels
and in the crop, and writes metrics.json, predictions.npz and pictures to WORKDIR/eval/<set>-<split>. Predictions are
scored from the annotations alone where the images are not there (--dataset cofw68). --stress also predicts the faces
hidden, turned, blurred, shifted and by pose, each at five strengths, prints those errors and writes stress.json there.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from absl import app, flags, logging

from barrel_jax import config as configuration
from barrel_jax import files
from barrel_jax.config import Config, DataConfig, MeshConfig
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.devices.xla import keep_compiled, tune_cpu
from barrel_jax.evaluation import score_table
from barrel_jax.evaluation.predictions import read_predictions
from barrel_jax.evaluation.score import score, write_evaluation
from barrel_jax.evaluation.stress import stress
from barrel_jax.faces.annotated import FaceTruth
from barrel_jax.faces.crop_windows import PROTOCOLS
from barrel_jax.faces.landmarks import NAMED, SCHEMES, Normaliser
from barrel_jax.faces.normalisers import normalised_by
from barrel_jax.faces.wflw_to_300w import comparable
from barrel_jax.training.loop import load_split
from barrel_jax.training.trained import TrainedRun, read_facts
from data.annotated import truth_of
from data.of_config import prepare_config
from data.prepare import SETS, read_source, source_folder

WORKDIR = flags.DEFINE_string("workdir", "", "Folder of the run to score; with --predictions where the scores go.")
PREDICTIONS = flags.DEFINE_string("predictions", "", "Score this .npz, .json or .txt instead of a run's model.")
DATASET = flags.DEFINE_enum("dataset", None, SETS, "The set to score on; the run's own by default.")
SOURCE = flags.DEFINE_string("source", None, "Folder of that set's raw download; DATA_DIR/downloads/SET by default.")
SPLIT = flags.DEFINE_string(
    "split",
    None,
    "Split; the run's test split by default, else val for coco, else test; holdout: what config.data.holdout kept.",
)
DATA_DIR = flags.DEFINE_string("data_dir", None, "Where built sets live; the run's, else ~/.cache/barrel_jax.")
CHECKPOINT = flags.DEFINE_string("checkpoint", "latest", "latest, best (lowest on the test split), or a saved step.")
NORMALISER = flags.DEFINE_string(
    "normaliser", "", f"What divides the error: {', '.join(NAMED)}, or two points such as 36,45; the set's by default."
)
CROP = flags.DEFINE_enum("crop", None, tuple(PROTOCOLS), "How faces are cropped for the model; the run's by default.")
CLAMP_POINTS = flags.DEFINE_bool("clamp_points", None, "Move true points into the image; the run's by default.")
ALLOW_PARTIAL = flags.DEFINE_bool("allow_partial", None, "Score on a part of a published set; the table says so.")
STRESS = flags.DEFINE_bool("stress", False, "Also score the run's model under perturbations: stress.json.")


def data_to_score(
    own: DataConfig, scheme: str, *, dataset: str | None = None, source: str | None = None, **overrides: Any
) -> DataConfig:
    """The data settings `own` of a run (or the defaults) with what the command line names in their place.

    Args: `scheme` is that of the run's model: synthetic faces are annotated alike, so that its model can be scored on
    them. `overrides` are fields of the settings, None for those that are not named. The split to score is the result's
    `test_split`. Raises ValueError when a source is given for a set without.
    """
    data = dataclasses.replace(own)
    if dataset is not None and dataset != own.dataset:
        data.dataset, data.source = dataset, ""
        data.flip_pairs, data.normaliser = (), ()  # they belong to the points of the run's own set
        data.holdout = 0.0  # of the run's own set too
        data.test_split = "val" if dataset == "coco" else "test"
        data.scheme = scheme if scheme in SCHEMES else own.scheme
    if source is not None:
        if data.dataset == "synthetic" and source:
            raise ValueError(f"--source={source}: the synthetic set has no source; name the set too: --dataset=coco")
        data.source = source
    return dataclasses.replace(data, **{name: value for name, value in overrides.items() if value is not None})


def truth_to_score(config: Config, data: DataConfig, *, pixels: bool) -> FaceTruth:
    """The faces that `data` names: crops, unless pixels can be done without and the source has only annotations."""
    if not pixels and data.dataset != "synthetic":
        source = read_source(data.dataset, source_folder(data.dataset, data.source, data.data_dir))
        if not source.has_images:
            return truth_of(source, data, data.test_split)
    return load_split(dataclasses.replace(config, data=data), prepare_config(data), data.test_split)


def main(argv: list[str]) -> None:
    """Scores what the flags name."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown argument {argv[1]!r}")
    if not WORKDIR.value and not PREDICTIONS.value:
        raise app.UsageError("give --workdir of a run, or --predictions with --dataset (and --source)")
    if PREDICTIONS.value and DATASET.value is None:
        raise app.UsageError("--predictions needs --dataset (and --source, unless its download lies in its place)")
    if PREDICTIONS.value and STRESS.value:
        raise app.UsageError(
            "--stress perturbs the images and predicts them anew, which takes a model: give --workdir of a run and no "
            "--predictions"
        )
    logging.set_verbosity(logging.WARNING)  # orbax tells its every step otherwise
    tune_cpu()
    keep_compiled()
    workdir = Path(WORKDIR.value)
    is_run = bool(WORKDIR.value) and (workdir / "config.json").exists()
    config = Config() if PREDICTIONS.value and not is_run else configuration.load(workdir)
    scheme = read_facts(workdir)["scheme"] if is_run else config.data.scheme
    data = data_to_score(
        config.data,
        scheme,
        dataset=DATASET.value,
        source=SOURCE.value,
        test_split=SPLIT.value,
        data_dir=DATA_DIR.value,
        crop=CROP.value,
        clamp_points=CLAMP_POINTS.value,
        allow_partial=ALLOW_PARTIAL.value,
    )
    normaliser = Normaliser.parse(NORMALISER.value) if NORMALISER.value else None
    if normaliser and normaliser.points:  # a set of which none is known needs it to be read at all
        data.normaliser = normaliser.points
    try:
        faces = truth_to_score(config, data, pixels=not PREDICTIONS.value)
    except FileNotFoundError as error:
        sys.exit(f"evaluate.py: {error}")
    about: dict[str, Any] = {"crop_frame": "" if faces.windows is None else data.crop}
    if PREDICTIONS.value:
        points_px = read_predictions(Path(PREDICTIONS.value), faces)
    else:
        crops, run = faces, TrainedRun.open(workdir, CHECKPOINT.value, make_mesh(MeshConfig()))
        points_px = run.predict(crops)
        about |= {"crop": data.crop, "checkpoint_step": run.step, "config": config}
    points_px, faces, mapped = comparable(points_px, faces)
    if normaliser:
        faces = dataclasses.replace(faces, scheme=normalised_by(faces.scheme, normaliser))
    scores = score(points_px, faces, mapped=mapped, **about)
    print(score_table.table(scores))
    if not WORKDIR.value:
        print("nothing is written without --workdir")
        return
    folder = workdir / "eval" / f"{faces.dataset}-{faces.split}"
    for path in write_evaluation(folder, scores, points_px, faces):
        print(path)
    if STRESS.value:
        stressed = stress(run.predict, crops, faces, prepare_config(data), data.crop) | {"checkpoint_step": run.step}
        print("\n" + score_table.stress_table(stressed))
        files.write_json(folder / "stress.json", files.plain(stressed))
        print(folder / "stress.json")


if __name__ == "__main__":
    app.run(main)
