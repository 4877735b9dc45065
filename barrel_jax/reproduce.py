# SPDX-License-Identifier: Apache-2.0
"""The paper's tables, made anew: runs what is missing of a grid, then lays the scores beside the paper's.

python -m barrel_jax.reproduce table1|table2|table3|fig4 --sources wflw=DIR w300=DIR cofw=DIR cofw68=DIR
python -m barrel_jax.reproduce fig4 --dataset coco --source DIR --epochs 60 --image_size 128 --backbone resnet18
python -m barrel_jax.reproduce table2 --list

Stopped and started again it goes on: a run that is done is not done again, one that was stopped is resumed. A run that
fails leaves the others alone and is listed at the end. `-- --config.FIELD=VALUE ...` goes to train.py of every run.
"""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from barrel_jax.grids import GRIDS, Row
from barrel_jax.reproduced import write_results

ROOT = Path(__file__).resolve().parent.parent
OWN = {"wflw": "wflw", "w300": "w300", "cofw": "cofw", "cofw68": "w300"}  # the set that a config trains on


@dataclass(frozen=True)
class Run:
    """One training of a grid."""

    row: Row
    seed: int
    workdir: Path
    train: tuple[str, ...]  # arguments of train.py
    evaluate: tuple[str, ...]  # arguments of evaluate.py afterwards; () when train.py's own scores are the ones
    scores: Path  # metrics.json

    def describe(self, grid: str) -> dict[str, object]:
        """What `--list` prints."""
        return {
            "grid": grid,
            "name": self.row.name,
            "seed": self.seed,
            "config": self.row.config,
            "model": self.row.model,
            "paper": self.row.paper,
            "scored_on": self.row.scored_on,
            "workdir": str(self.workdir),
            "command": shlex.join(["python", "train.py", *self.train]),
            "done": self.scores.exists(),
        }


def rows_of(given: argparse.Namespace) -> list[Row]:
    """The rows of the grid under the command's arguments; on another set, rows that become the same are one."""
    rows = [row for row in GRIDS[given.grid] if not given.rows or row.name in given.rows]
    if given.backbone:
        rows = [
            replace(row, model=row.model | {"backbone": given.backbone})
            if str(row.model["backbone"]).startswith("resnet")
            else row
            for row in rows
        ]
    if given.dataset:
        rows = [replace(row, config=given.dataset, scored_on="") for row in rows]
    return list({(row.name, row.slug): row for row in reversed(rows)}.values())[::-1]


def plan(rows: Sequence[Row], given: argparse.Namespace) -> list[Run]:
    """The runs of a grid, all rows of one seed before those of the next.

    Raises:
        ValueError: the folder of a set is not named.
    """
    return [_run(row, seed, given) for seed in range(given.seeds) for row in rows]


def _run(row: Row, seed: int, given: argparse.Namespace) -> Run:
    own = OWN.get(row.config, row.config)
    sources = given.sources | ({given.dataset: given.source} if given.source else {})
    for name in (own, row.scored_on):
        if name and name not in sources and name != "synthetic" and not given.list:
            raise ValueError(f"{row.name} on {name}: name its folder, --sources {name}=DIR")
    budget = f"{given.epochs or 'all'}-epochs-{given.image_size or 'own'}-px"
    workdir = given.runs / budget / f"{row.slug}-seed{seed}"
    train = ["--config", given.config or f"configs/{row.config}.py", "--workdir", str(workdir), f"--config.seed={seed}"]
    train += [f"--config.data.source={sources[own]}"] if own in sources else []
    train += [f"--config.model.{name}={value}" for name, value in row.model.items()]
    train += [f"--config.pretrained={given.pretrained}"] if given.pretrained else []
    # The paper's step down is at two thirds of the run.
    steps = {"epochs": given.epochs, "decay_epoch": given.epochs * 2 // 3} if given.epochs else {}
    train += [f"--config.optim.{name}={value}" for name, value in steps.items()]
    train += [f"--config.data.image_size={given.image_size}"] if given.image_size else []
    evaluate: tuple[str, ...] = ()
    scores = f"{own}-{'val' if own == 'coco' else 'test'}"
    if row.scored_on:
        evaluate = ("--workdir", str(workdir), "--dataset", row.scored_on)
        evaluate += ("--source", str(sources.get(row.scored_on, "")))
        scores = f"{row.scored_on}-test"
    return Run(row, seed, workdir, (*train, *given.extra), evaluate, workdir / "eval" / scores / "metrics.json")


def execute(runs: Sequence[Run]) -> dict[Path, str]:
    """Does the runs that are not done, one after another; the last line of the error of each that failed, by folder."""
    failed: dict[Path, str] = {}
    bar = tqdm(runs, unit="run")
    for run in bar:
        bar.set_description(f"{run.row.name} seed {run.seed}")
        if run.scores.exists():
            continue
        run.workdir.mkdir(parents=True, exist_ok=True)
        with (run.workdir / "log.txt").open("a") as log:
            for script, arguments in (("train.py", run.train), ("evaluate.py", run.evaluate)):
                if not arguments:
                    continue
                command = [sys.executable, str(ROOT / script), *arguments]
                done = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=False)
                if done.returncode:
                    failed[run.workdir] = _last_line(run.workdir / "log.txt")
                    break
    return failed


def _last_line(path: Path) -> str:
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    pairs = dict(text.partition("=")[::2] for text in texts)
    for name, folder in pairs.items():
        if not folder or name not in (*OWN, "coco"):
            raise ValueError(f"--sources {name}={folder}: give SET=DIR, SET being one of {', '.join(OWN)}")
    return pairs


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status, 1 when a run failed."""
    parser = argparse.ArgumentParser(
        prog="python -m barrel_jax.reproduce", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("grid", choices=GRIDS)
    parser.add_argument("--list", action="store_true", help="only print the runs, one JSON object a line")
    parser.add_argument("--sources", nargs="*", default=[], metavar="SET=DIR", help="folders of the paper's sets")
    parser.add_argument("--dataset", default="", help="train every row on this set instead: coco, or synthetic")
    parser.add_argument("--source", help="folder of that set")
    parser.add_argument("--config", default="", help="start every row from this file instead of its set's")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/paper"), help="folder of the runs (default: %(default)s)"
    )
    parser.add_argument("--seeds", type=int, default=3, help="runs of each row (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=0, help="instead of the config's")
    parser.add_argument("--image_size", type=int, default=0, help="instead of the config's")
    parser.add_argument("--backbone", default="", help="instead of every ResNet of the grid")
    parser.add_argument("--pretrained", default="", help="imagenet, or a file; the paper starts from ImageNet weights")
    parser.add_argument("--rows", nargs="*", default=[], help="only rows of these models, such as Baseline BarrelNet")
    parser.add_argument("extra", nargs="*", help="behind --: flags for train.py")
    given = parser.parse_args(arguments)
    try:
        given.sources = _pairs(given.sources)
        given.runs = given.runs.absolute()
        runs = plan(rows_of(given), given)
    except ValueError as error:
        parser.error(str(error))
    if given.list:
        print("\n".join(json.dumps(run.describe(given.grid)) for run in runs))
        return 0
    failed = execute(runs)
    print(write_results(given.grid, [(run.row, run.seed, run.scores) for run in runs], given.runs))
    for workdir, error in failed.items():
        print(f"FAILED {workdir}: {error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
