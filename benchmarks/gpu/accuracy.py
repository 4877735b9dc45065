# SPDX-License-Identifier: Apache-2.0
"""The accuracy part: the paper's recipe and the ablation on 300W, which take CPUs hours and a GPU minutes."""

from collections.abc import Callable
from typing import Any

from benchmarks.gpu import recipes
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.step import Rows, Step

RESULT = "w300-gpu"


def _doing(function: str, *arguments: Any) -> Callable[[Rows], None]:
    def do(rows: Rows) -> None:
        from benchmarks.gpu import training  # the programme, which only reads the list, does without JAX

        getattr(training, function)(rows, *arguments)

    return do


def steps(settings: Settings) -> list[Step]:
    """The faces, then a backbone to start from where none is given, then the runs."""
    sizes = recipes.REHEARSAL if settings.rehearse else recipes.FULL
    prepared = [Step("faces", RESULT, 15, _doing("unpack_faces", settings, sizes))]
    if not settings.start:
        prepared += [
            Step("drawn", RESULT, 40, _doing("draw_faces", settings, sizes)),
            Step("start", RESULT, sizes.start.seconds, _doing("train_start", settings, sizes), needs=("drawn",)),
        ]
    needs = tuple(step.name for step in prepared if step.name != "drawn")
    return prepared + [
        Step(
            run.name,
            RESULT,
            (sizes.recipe if run.kind == "recipe" else sizes.ablation).seconds,
            _doing("train_run", settings, sizes, run),
            needs=needs,
        )
        for run in recipes.runs(sizes)
    ]
