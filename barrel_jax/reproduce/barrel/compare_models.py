# SPDX-License-Identifier: Apache-2.0
"""The five staves of the paper's barrel, of several models side by side.

python -m barrel_jax.reproduce barrel --workdirs A B ... [--names a,b] [--dataset SET --source DIR] [--report]

Runs whose configs differ only in their seed (and in what changes no weights) are one model: means and standard
deviations over them. A stave's height is 1 for the best of the models, and a barrel holds water up to its shortest one.
"""

import argparse
import dataclasses
import math
import re
import statistics
from collections.abc import Callable, Collection, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from tqdm import tqdm

from barrel_jax import files
from barrel_jax.benchmark.cost import cost_of
from barrel_jax.command_line import Parser
from barrel_jax.config import settings
from barrel_jax.evaluation.comparison import ALIKE, ScoredFaces
from barrel_jax.files import readable_name
from barrel_jax.plotting import write_picture
from barrel_jax.report.page import write_page
from barrel_jax.reproduce.barrel.comparison import Criterion, Figure, Model, ModelComparison, StressFigures
from barrel_jax.reproduce.barrel.measure import Measured, label_related, measure
from barrel_jax.reproduce.barrel.page import barrel_page, beside
from barrel_jax.reproduce.barrel.picture import draw_barrels
from barrel_jax.reproduce.barrel.tables import HEIGHTS, alone, markdown
from barrel_jax.reproduce.barrel.training_time import common_epochs
from barrel_jax.training.workdir import FREE

Cost = Callable[..., dict[str, Any]]


def group(runs: Sequence[Measured], names: Sequence[str] = ()) -> dict[str, list[Measured]]:
    """The runs of each model, in the order of the first run of each; by `names`, else by what their folders' have in
    common.

    Raises:
        ValueError: a model has two runs of one seed, or there are not as many different names as models.
    """
    models: dict[str, list[Measured]] = {}
    for run in runs:
        bound = {
            name: value for name, value in settings(run.config).items() if name != "seed" and not name.startswith(FREE)
        }
        same = models.setdefault(repr(bound), [])
        for other in same:
            if other.config.seed == run.config.seed:
                raise ValueError(
                    f"{other.workdir} and {run.workdir}: the same settings and seed {run.config.seed}; leave one out"
                )
        same.append(run)
    found = list(names) or [_common([readable_name(run.workdir) for run in same]) for same in models.values()]
    if not len(found) == len(set(found)) == len(models):
        folders = "; ".join(", ".join(run.workdir.name for run in same) for same in models.values())
        raise ValueError(
            f"{len(models)} models ({folders}) need as many different names, not {', '.join(found)}: give --names a,b"
        )
    return dict(zip(found, models.values(), strict=True))


def _common(names: list[str]) -> str:
    """What is left of folders' names without their seeds."""
    if len(names) == 1:
        return names[0]
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    common = "".join(letters[0] for letters in alike)
    return re.sub(r"[-_. ]*(seed)?[-_. ]*\d*$", "", common) or names[0]


def check_alike(runs: Sequence[Measured]) -> None:
    """Raises ValueError when the runs were scored on other faces, or in another way, than the first; says which."""
    for kind in ("scores", "other", "stress"):
        scored = [(run.workdir, getattr(run, kind)) for run in runs if getattr(run, kind)]
        for workdir, scores in scored[1:]:
            first_workdir, first = scored[0]
            different = [
                f"{field} {getattr(first, field)!r} and {getattr(scores, field)!r}"
                for field in (*ALIKE, "seed")
                if hasattr(first, field) and getattr(first, field) != getattr(scores, field)
            ]
            if different:
                raise ValueError(
                    f"{first_workdir} and {workdir} cannot be compared: {'; '.join(different)}. Evaluate both on the "
                    "same source, split and normaliser"
                )


def model_of(name: str, runs: Sequence[Measured], cost: dict[str, Any], epochs: Collection[float]) -> Model:
    """What is measured of a model, but for heights: means and spread over its runs.

    `epochs` are those at which all models were scored while they trained.
    """
    by_run = [run.figures(epochs) for run in runs]
    criteria = {}
    for criterion in HEIGHTS:
        numbers = dict.fromkeys(number for figures in by_run for number in figures.get(criterion, {}))
        criteria[criterion] = Criterion(
            {n: _over_seeds([figures[criterion].get(n) for figures in by_run]) for n in numbers}
        )
    # Measured once, since seeds do not change it.
    criteria["efficiency"] = Criterion(
        {number: _over_seeds([value]) for number, value in cost.items() if number != "device"}
    )
    return Model(
        name=name,
        workdirs=[str(run.workdir) for run in runs],
        seeds=[run.config.seed for run in runs],
        checkpoint_steps=[run.scores.checkpoint_step for run in runs],
        criteria=criteria,
        stress=[
            StressFigures(
                kind=same[0].kind,
                strength=same[0].strength,
                unit=same[0].unit,
                nme=_over_seeds([record.nme for record in same]),
                worst=_over_seeds([record.worst for record in same]),
                num_images=same[0].num_images,
            )
            for same in zip(*(run.stress.records for run in runs), strict=True)
        ],
        pose=runs[0].stress.pose,
        device=cost["device"],
        why_no_other=runs[0].why_no_other,
        label_related=label_related(runs[0].config),
    )


def _over_seeds(values: Sequence[float | None]) -> Figure:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return Figure(
        statistics.fmean(known) if known else None,
        statistics.stdev(known) if len(known) > 1 else None,
    )


def with_heights(models: Sequence[Model]) -> list[Model]:
    """The models with the height of each criterion, 0..1 with 1 for the best and None for what is not measured."""
    heights: list[dict[str, float | None]] = [{} for _ in models]
    for criterion, (number, best_is_low) in HEIGHTS.items():
        values = [model.criteria[criterion].figure(number).mean for model in models]
        known = [value for value in values if value is not None]
        best = (min if best_is_low else max)(known, default=0.0)
        for own, value in zip(heights, values, strict=True):
            own[criterion] = (
                None if value is None else 1.0 if value == best else best / value if best_is_low else value / best
            )
    return [
        dataclasses.replace(
            model,
            criteria={name: dataclasses.replace(one, height=own[name]) for name, one in model.criteria.items()},
        )
        for model, own in zip(models, heights, strict=True)
    ]


def compare_models(models: dict[str, list[Measured]], cost: Cost = cost_of) -> ModelComparison:
    """The models beside each other. `cost(config, num_landmarks, image_size)` measures a model's efficiency.

    Raises ValueError as `check_alike`.
    """
    runs = [run for same in models.values() for run in same]
    check_alike(runs)
    epochs = common_epochs([run.curve for run in runs])
    found, costs = [], {}
    for name, (run, *others) in models.items():
        # One arithmetic for all, whatever each was trained in; networks that are alike are measured once.
        network = dataclasses.replace(run.config.model, dtype="float32"), run.num_landmarks, run.config.data.image_size
        if repr(network) not in costs:
            costs[repr(network)] = cost(*network)
        found.append(model_of(name, [run, *others], costs[repr(network)], epochs))
    other = next((run.other for run in runs if run.other), None)
    return ModelComparison(
        faces=ScoredFaces.of(vars(runs[0].scores)),
        other=ScoredFaces.of(vars(other)) if other else None,
        scored_epochs=sorted(epochs),
        models=with_heights(found),
    )


def barrel(args: argparse.Namespace) -> None:
    """Measures what is missing of the runs, prints the staves side by side, and writes them to `--out`."""
    with tqdm(args.workdirs, desc="measure", unit="run") as bar:
        runs = [measure(workdir, args.dataset, args.source) for workdir in bar]
    comparison = compare_models(group(runs, [name for name in args.names.split(",") if name]))
    text, picture = markdown(comparison), draw_barrels(comparison)
    files.write(args.out / "barrel.md", lambda path: path.write_text(text + "\n"))
    files.write_json(args.out / "barrel.json", files.plain(comparison.to_json()))
    files.write(args.out / "barrel.png", lambda path: write_picture(path, picture))
    written = ["barrel.md", "barrel.json", "barrel.png"]
    if args.report:
        write_page(args.out / "barrel.html", barrel_page(comparison, beside(runs)))
        written.append("barrel.html")
    print("\n".join([text, *(str(args.out / name) for name in written), *filter(None, [alone(comparison)])]))


def main(arguments: list[str]) -> int:
    """The command; returns its exit status."""
    parser = Parser("python -m barrel_jax.reproduce barrel", __doc__)
    parser.add_argument("--workdirs", nargs="+", type=Path, required=True, metavar="WORKDIR", help="folders of runs")
    parser.add_argument("--names", default="", help="of the models, separated by commas; their folders' by default")
    parser.add_argument("--dataset", default="", help="another set, for generalisation (default: synthetic faces)")
    parser.add_argument("--source", default="", help="folder of that set's raw download")
    parser.add_argument("--out", type=Path, default=Path("runs/barrel"), help="default: %(default)s")
    parser.add_argument("--report", action="store_true", help="also write barrel.html, one page to open in a browser")
    args = parser.parse_args(arguments)
    if args.source and not args.dataset:
        parser.error("--source is the folder of --dataset: name that too")
    return parser.run(args, lambda: barrel(args))
