# SPDX-License-Identifier: Apache-2.0
"""The paper's tables, made anew: runs what is missing of a grid, then lays the scores beside the paper's.

python -m barrel_jax.reproduce table1|table2|table3|table4|fig4|fig5|ablation --sources wflw=DIR w300=DIR ...
python -m barrel_jax.reproduce fig4 --dataset coco --source DIR --epochs 60 --image-size 128 --backbone resnet18
python -m barrel_jax.reproduce table2 --list
python -m barrel_jax.reproduce barrel --workdirs A B    # the five staves of trained models: see its own --help

table4 and fig5 time their models on this machine as well, with `python -m barrel_jax.benchmark`.

Stopped and started again it goes on: a run that is done is not done again, one that was stopped is resumed. A run that
fails leaves the others alone and is listed at the end. One that is done and was made by another command is refused.
`-- --config.FIELD=VALUE ...` goes to train.py of every run, but not for a field that the grid sets.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from barrel_jax.command_line import Parser, in_one_line
from barrel_jax.extras import require_train
from barrel_jax.paper import GRIDS
from barrel_jax.reproduce.commands import check_command, keep_command
from barrel_jax.reproduce.programs import ROOT, run_program
from barrel_jax.reproduce.runs import GridRequest, Run, named_folders, rows_of, runs_of


def execute(runs: Sequence[Run]) -> dict[Path, str]:
    """Does the runs that are not done, one after another; why each that failed or was stopped did, by folder."""
    failed: dict[Path, str] = {}
    bar = tqdm(runs, unit="run")
    for run in bar:
        bar.set_description(f"{run.row.title} seed {run.seed}")
        try:
            fault = "" if run.done else _train_and_score(run)
        except OSError as error:  # such as a file in the place of its folder, which is not the other runs' concern
            fault = in_one_line(error)
        if fault:
            failed[run.workdir] = fault
    return failed


def _train_and_score(run: Run) -> str:
    """Does what is missing of a run; returns '', or in one line why it is not done."""
    log = run.workdir / "log.txt"
    if fault := run_program([str(ROOT / "train.py"), *run.train], log):
        return fault
    # A training that was told to stop has saved and ended well; scores of it would be taken for the run's.
    if run.steps is not None:
        from barrel_jax.training.checkpoint import saved_step  # orbax takes seconds

        if (step := saved_step(run.workdir)) < run.steps:
            return f"stopped at step {step} of {run.steps}; the same command goes on with it"
    if run.evaluate and (fault := run_program([str(ROOT / "evaluate.py"), *run.evaluate], log)):
        return fault
    if not run.done:
        return f"trained, but wrote no {run.scores}"
    keep_command(run)
    return ""


def reproduce(request: GridRequest, arguments: list[str]) -> int:
    """Does what is missing of a grid and lays its scores beside the paper's; returns 1 when a run failed."""
    if not (ROOT / "train.py").is_file():
        raise FileNotFoundError(
            "runs are made by train.py and evaluate.py of the repository: start this in a clone of it"
        )
    require_train()
    runs = runs_of(rows_of(request), request)
    if request.only_list:
        print("\n".join(json.dumps(run.describe(request.grid)) for run in runs))
        return 0
    for run in runs:
        check_command(run)
    # Seconds of imports, in which Ctrl-C is heard already.
    from barrel_jax.benchmark.rows import Row as Measurement
    from barrel_jax.reproduce.grid_page import write_grid_page
    from barrel_jax.reproduce.results import write_results
    from barrel_jax.reproduce.speed import measure_speed, read_timed

    failed = execute(runs)
    measured: list[Measurement] | None = None
    if request.grid in ("table4", "fig5"):
        path, fault = measure_speed(runs, request)
        failed |= {path: fault} if fault else {}
        measured = read_timed(path).rows if path.exists() else []
    scored = [(run.row, run.seed, run.scores if run.done else None) for run in runs]
    print(write_results(request.grid, scored, request.runs, measured, arguments))
    if request.report:
        print(write_grid_page(request.grid, scored, request.runs, measured))
    for path, fault in failed.items():
        print(f"FAILED {path}: {fault}", file=sys.stderr)
    return 1 if failed else 0


def request_of(args: argparse.Namespace, extra: Sequence[str]) -> GridRequest:
    """What the command line asks for; `extra` are the arguments behind `--`. Raises ValueError as `named_folders`."""

    def absolute(name: str | None) -> str:
        # The runs start in the project's folder, wherever this is called.
        return str(Path(name).expanduser().absolute()) if name else ""

    return GridRequest(
        grid=args.grid,
        runs=args.runs.expanduser().absolute(),
        sources=named_folders(args.sources),
        dataset=args.dataset,
        source=absolute(args.source),
        config=absolute(args.config),
        rows=tuple(args.rows),
        seeds=args.seeds,
        epochs=args.epochs,
        image_size=args.image_size,
        backbone=args.backbone,
        pretrained=args.pretrained,
        extra=tuple(extra),
        only_list=args.list,
        report=args.report,
    )


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status, 1 when a run failed."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["barrel"]:
        from barrel_jax.reproduce.barrel import compare_models

        return compare_models.main(arguments[1:])
    parser = Parser("python -m barrel_jax.reproduce", __doc__)
    parser.add_argument("grid", choices=GRIDS)
    parser.add_argument("--list", action="store_true", help="only print the runs, one JSON object a line")
    parser.add_argument(
        "--sources", nargs="*", action="extend", default=[], metavar="SET=DIR", help="folders of the paper's sets"
    )
    parser.add_argument("--dataset", default="", help="train every row on this set instead, such as coco or w300")
    parser.add_argument("--source", help="folder of that set")
    parser.add_argument("--config", default="", help="start every row from this file instead of its set's")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/paper"), help="folder of the runs (default: %(default)s)"
    )
    parser.add_argument("--seeds", type=int, default=3, help="runs of each row (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=0, help="instead of the config's")
    parser.add_argument("--image-size", type=int, default=0, help="instead of the config's")
    parser.add_argument("--backbone", default="", help="instead of every ResNet of the grid")
    parser.add_argument(
        "--pretrained", help="imagenet, a file, or '' for none (default: the config's; the paper's: imagenet)"
    )
    parser.add_argument(
        "--rows", nargs="*", action="extend", default=[], help="only rows of these models, such as Baseline BarrelNet"
    )
    parser.add_argument("--report", action="store_true", help="also write GRID.html, one page to open in a browser")
    # argparse takes the grid and the words behind -- to be one group of words, so the line is parted here.
    parted = arguments.index("--") if "--" in arguments else len(arguments)
    args = parser.parse_args(arguments[:parted])
    extra = arguments[parted + 1 :]
    if args.source and not args.dataset:
        parser.error(
            "--source is the folder of --dataset: name that too, or the folders of the paper's sets by --sources"
        )
    if args.seeds < 1:
        parser.error(f"--seeds {args.seeds}: there is at least 1 run of each row")
    return parser.run(args, lambda: reproduce(request_of(args, extra), arguments))


if __name__ == "__main__":
    sys.exit(main())
