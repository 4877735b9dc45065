# SPDX-License-Identifier: Apache-2.0
"""The command line of a program that scores, read into a request."""

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from barrel_jax.command_line import Parser
from barrel_jax.config_arguments import describe_fields
from barrel_jax.faces.crop_windows import PROTOCOLS
from barrel_jax.faces.landmarks import NAMED


@dataclass(frozen=True)
class ModelChoice:
    """The model to score."""

    workdir: Path  # of its run
    checkpoint: str  # latest, best or a saved step
    rank: int | None  # of DQInit's and QAMem's weights, beside full rank; None for full rank alone
    stress: bool  # also under perturbations


@dataclass(frozen=True)
class Request:
    """What is to be scored, on which faces, and where the scores go."""

    subject: ModelChoice | Path  # a model, or a file of predictions
    workdir: Path | None  # None writes nothing
    data: dict[str, Any]  # fields of the run's data settings, None for those that stay (`data_to_score`)
    normaliser: str | None  # as a person writes it; None for the set's own
    report: bool  # also one page to open in a browser
    sequences: bool  # also how much the points of clips flicker


class RequestParser(Parser):
    """The arguments of a program that scores.

    `sets` are the names of those that faces can be of, `reading` the fields of the data's settings that say how own
    faces are read, with words for the help.
    """

    def __init__(self, prog: str, description: str | None, sets: Iterable[str], reading: Mapping[str, str]) -> None:
        super().__init__(prog, description, lambda: "settings of a run (train.py), by default:\n" + describe_fields())
        self._reading = tuple(reading)
        add = self.add_argument
        add("--workdir", type=Path, help="folder of the run to score; with --predictions where the scores go")
        add("--predictions", type=Path, metavar="FILE", help="score this .npz, .json or .txt instead of a run's model")
        add("--dataset", choices=sets, help="the set to score on; the run's own by default")
        add("--source", metavar="DIR", help="folder of that set's raw download (default: DATA_DIR/downloads/SET)")
        add(
            "--split",
            help="the run's test split by default, else val for coco, else test; holdout: what config.data.holdout "
            "kept",
        )
        add("--data-dir", metavar="DIR", help="where built sets live; the run's, else ~/.cache/barrel_jax")
        add(
            "--checkpoint",
            default="latest",
            help="latest, best (on the split that training scores), or a saved step",
        )
        add(
            "--rank",
            type=int,
            help="score the run with DQInit's and QAMem's weights at this rank, and at full rank: rank_cost.json",
        )
        add(
            "--normaliser",
            help=f"what divides the error: {', '.join(NAMED)}, or two points such as 36,45; the set's by default",
        )
        add("--crop", choices=PROTOCOLS, help="how faces are cropped for the model; the run's by default")
        flag: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
        add("--clamp-points", **flag, help="move true points into the image; the run's by default")
        add("--allow-partial", **flag, help="score on a part of a published set; the table says so")
        for name, words in reading.items():
            add(f"--{name}", help=f"coco: {words} (the run's by default)")
        add(
            "--max-pixels",
            type=int,
            help="of a picture; larger ones are refused before they are decoded (the run's by default)",
        )
        add("--stress", **flag, help="also score the run's model under perturbations: stress.json")
        add(
            "--sequences",
            action="store_true",
            help="the pictures of a folder are the frames of a clip, in the order of the numbers in their names: also "
            "how much their points flicker, in sequences.json",
        )
        add("--report", action="store_true", help="also write report.html, one page to open in a browser")

    def request(self, args: argparse.Namespace) -> Request:
        """What parsed arguments want; ends the program with status 2 where they do not go together."""
        if args.workdir is None and args.predictions is None:
            self.error("give --workdir of a run, or --predictions with --dataset (and --source)")
        if args.predictions and args.dataset is None:
            self.error("--predictions needs --dataset (and --source, unless its download lies in its place)")
        if args.predictions and args.rank is not None:
            self.error("--rank is of a run's weights: give --workdir of a run and no --predictions")
        if args.predictions and args.checkpoint != "latest":
            self.error("--checkpoint is of a run's weights: give --workdir of a run and no --predictions")
        if args.predictions and args.stress:
            self.error(
                "--stress perturbs the images and predicts them anew, which takes a model: give --workdir of a run "
                "and no --predictions"
            )
        if args.report and args.workdir is None:
            self.error("--report is written to --workdir: name that too")
        model = ModelChoice(args.workdir, args.checkpoint, args.rank, bool(args.stress))
        data = {name: getattr(args, name) for name in ("dataset", "source", "data_dir", "crop")}
        data |= {name: getattr(args, name) for name in ("clamp_points", "allow_partial", "max_pixels", *self._reading)}
        data["test_split"] = args.split
        subject = args.predictions or model
        return Request(subject, args.workdir, data, args.normaliser, args.report, args.sequences)
