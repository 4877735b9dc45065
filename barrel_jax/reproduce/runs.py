# SPDX-License-Identifier: Apache-2.0
"""The runs of a grid: which folder, which commands, which scores."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from barrel_jax import files
from barrel_jax.evaluation.scores import read_scores
from barrel_jax.paper import GRIDS, Row, paper_nmes

ANOTHER = "give the arguments of that run, or choose another --runs"
OWN = {"wflw": "wflw", "w300": "w300", "cofw": "cofw", "cofw68": "w300"}  # the set that a config trains on


@dataclass(frozen=True)
class GridRequest:
    """A grid, and what the command line changes of it; folders and files are absolute."""

    grid: str  # one of `paper.GRIDS`
    runs: Path  # folder of the runs
    sources: Mapping[str, str]  # folders of the paper's sets, by name
    dataset: str  # every row trains on this set instead; '' for each row's own
    source: str  # folder of `dataset`; '' for its download's
    config: str  # file that every row starts from; '' for that of its set
    rows: tuple[str, ...]  # titles of the rows to run; () for all
    seeds: int  # runs of each row
    epochs: int  # 0 for the config's
    image_size: int  # pixels; 0 for the config's
    backbone: str  # instead of every ResNet; '' for each row's own
    pretrained: str | None  # as config.pretrained; None for the config's
    extra: tuple[str, ...]  # further arguments of train.py
    only_list: bool  # print the runs, and do none
    report: bool  # write a page as well


@dataclass(frozen=True)
class Run:
    """One training of a grid."""

    row: Row
    seed: int
    workdir: Path
    train: tuple[str, ...]  # arguments of train.py
    evaluate: tuple[str, ...]  # arguments of evaluate.py afterwards; () when train.py's own scores are the ones
    scores: Path  # metrics.json

    @property
    def steps(self) -> int | None:
        """Those of the whole training; None of one that has not begun, or of before, which does not say.

        Raises ValueError when its run.json is damaged.
        """
        path = self.workdir / "run.json"
        steps = read_made(path).get("steps") if path.exists() else None
        if steps is not None and type(steps) is not int:
            raise ValueError(f"{path}: this is damaged: steps is no whole number; {ANOTHER}")
        return steps

    @property
    def done(self) -> bool:
        """Whether there are scores, and of the last step: others are of a training that was stopped.

        Raises ValueError when run.json or the scores are damaged.
        """
        if not self.scores.exists():
            return False
        return (steps := self.steps) is None or read_scores(self.scores).checkpoint_step == steps

    def describe(self, grid: str) -> dict[str, object]:
        """What `--list` prints."""
        return {
            "grid": grid,
            "name": self.row.title,
            "seed": self.seed,
            "config": self.row.config,
            "model": self.row.model,
            "paper": self.row.paper,
            "scored_on": self.row.scored_on,
            "workdir": str(self.workdir),
            "command": shlex.join(["python", "train.py", *self.train]),
            "done": self.done,
        }


def read_made(path: Path) -> dict[str, Any]:
    """The content of a file that says what made a run. Raises ValueError when it is damaged."""
    content = files.read_json(path, ANOTHER)
    if not isinstance(content, dict) or not isinstance(content.get("command", ""), str):
        raise ValueError(f"{path}: this is damaged, and does not say which command made the run; {ANOTHER}")
    return content


def rows_of(request: GridRequest) -> list[Row]:
    """The rows of the grid that are asked for; on another set, rows that become the same are one.

    Raises:
        ValueError: rows are named that the grid does not have.
    """
    there = list(dict.fromkeys(row.title for row in GRIDS[request.grid]))
    unknown = [name for name in request.rows if name not in there]
    if unknown:
        raise ValueError(f"--rows {' '.join(unknown)}: {request.grid} has no such models; it has {', '.join(there)}")
    rows = [row for row in GRIDS[request.grid] if not request.rows or row.title in request.rows]
    if request.backbone:
        rows = [
            _changed(row, model=row.model | {"backbone": request.backbone})
            if str(row.model["backbone"]).startswith("resnet")
            else row
            for row in rows
        ]
    if request.dataset:
        rows = [_changed(row, config=request.dataset, scored_on="") for row in rows]
    return list({(row.title, row.slug): row for row in reversed(rows)}.values())[::-1]


def _changed(row: Row, **fields: Any) -> Row:
    """The row with other fields, and with what the paper says of that model and set: of most nothing."""
    row = replace(row, **fields)
    scored_on = row.scored_on or OWN.get(row.config, row.config)
    return replace(row, paper={} if row.aux_loss else paper_nmes(scored_on, row.model))


def runs_of(rows: Sequence[Row], request: GridRequest) -> list[Run]:
    """The runs of a grid, all rows of one seed before those of the next.

    Raises:
        ValueError: the folder of a set is not named, or an argument for train.py is one that the grid sets.
    """
    runs = [_run(row, seed, request) for seed in range(request.seeds) for row in rows]
    # The last one would count, and the table would still say what the grid set.
    of_grid = {_name(word) for run in runs for word in run.train if word.startswith("--")}
    taken = [word for word in request.extra if word.startswith("-") and _name(word) in of_grid]
    if taken:
        raise ValueError(
            f"-- {' '.join(taken)}: the grid sets this itself; leave it out (a grid is changed by --config, --source, "
            "--seeds, --epochs, --image-size, --backbone, --pretrained and --rows)"
        )
    return [replace(run, train=(*run.train, *request.extra)) for run in runs]


def _name(word: str) -> str:
    """The field or argument of a word of train.py's command line: of --config.x=1, -config.x and --noconfig.x alike."""
    return re.sub("^--?(no(?=config))?", "", word.partition("=")[0])


def _run(row: Row, seed: int, request: GridRequest) -> Run:
    own = OWN.get(row.config, row.config)
    sources = {**request.sources, **({request.dataset: request.source} if request.source else {})}
    for name in (own, row.scored_on):
        if name and name not in sources and name != "synthetic" and not request.only_list:
            download = files.download_folder(name, "")
            if not download.is_dir():
                flag = "--source DIR" if name == request.dataset else f"--sources {name}=DIR"
                raise ValueError(f"{row.title} on {name}: name its folder, {flag}, or put the download at {download}")
    budget = f"{request.epochs or 'all'}-epochs-{request.image_size or 'own'}-px"
    workdir = request.runs / budget / f"{row.slug}-seed{seed}"
    start = request.config or f"configs/{row.config}.py"
    train = ["--config", start, "--workdir", str(workdir), f"--config.seed={seed}"]
    train += [f"--config.data.source={sources[own]}"] if own in sources else []
    train += [f"--config.model.{name}={value}" for name, value in row.model.items()]
    train += ["--config.optim.aux_loss=True"] if row.aux_loss else []
    train += [] if request.pretrained is None else [f"--config.pretrained={request.pretrained}"]
    # The paper's step down is at two thirds of the run; at epoch 0 all of it would have a tenth of the rate.
    steps = {"epochs": request.epochs, "decay_epoch": max(request.epochs * 2 // 3, 1)} if request.epochs else {}
    train += [f"--config.optim.{name}={value}" for name, value in steps.items()]
    train += [f"--config.data.image_size={request.image_size}"] if request.image_size else []
    evaluate: tuple[str, ...] = ()
    scores = f"{own}-{'val' if own == 'coco' else 'test'}"
    if row.scored_on:
        evaluate = ("--workdir", str(workdir), "--dataset", row.scored_on)
        evaluate += ("--source", str(sources.get(row.scored_on, "")))
        scores = f"{row.scored_on}-test"
    return Run(row, seed, workdir, tuple(train), evaluate, workdir / "eval" / scores / "metrics.json")


def named_folders(texts: Sequence[str]) -> dict[str, str]:
    """SET=DIR of the command line, folders absolute. Raises ValueError for a set that no grid trains on."""
    pairs = dict(text.partition("=")[::2] for text in texts)
    for name, folder in pairs.items():
        if not folder or name not in OWN:
            raise ValueError(f"--sources {name}={folder}: give SET=DIR, SET being one of {', '.join(OWN)}")
    # The shell expands no ~ behind a =.
    return {name: str(Path(folder).expanduser().absolute()) for name, folder in pairs.items()}
