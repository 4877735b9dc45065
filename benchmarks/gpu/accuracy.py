# SPDX-License-Identifier: Apache-2.0
"""The accuracy part: the paper's recipe and the ablation on 300W, which take CPUs hours and a GPU minutes."""

from collections.abc import Callable
from typing import Any

from benchmarks.gpu import recipes
from benchmarks.gpu.recipes import DRAWN, REAL, W300, Run
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.step import Rows, Step

RESULT = "w300-gpu"
COMPILE_SECONDS = 45
WARMED = 8  # runs: about as many as there is time for beside the start


def _doing(function: str, *arguments: Any) -> Callable[[Rows], None]:
    def do(rows: Rows) -> None:
        from benchmarks.gpu import training  # the programme, which only reads the list, does without JAX

        getattr(training, function)(rows, *arguments)

    return do


def steps(settings: Settings) -> list[Step]:
    """The faces, then a backbone to start from where none is given, then the runs.

    While the start is trained, the other processes train the small model and compile the first runs' programs (`warm`).
    """
    sizes = recipes.REHEARSAL if settings.rehearse else recipes.FULL
    real = bool(settings.real) or settings.rehearse
    listed = {W300: Step(W300, RESULT, 15, _doing("unpack_faces", settings, sizes))}
    if real:
        listed[REAL] = Step(REAL, RESULT, 10, _doing("unpack_real", settings, sizes))
    listed[DRAWN] = Step(DRAWN, RESULT, 25, _doing("draw_faces", settings, sizes))

    def step(run: Run, function: str = "train_run", name: str = "", seconds: float = 0) -> Step:
        # All of the faces: what needs fewer, which is worth less, would take the processes first.
        needs = list(listed)
        # Also what starts from drawn weights, but is worth less than what waits for the start.
        waits = function == "train_run" and run.kind != "small"
        needs += ["start"] if waits and not settings.start else []
        seconds = seconds or recipes.budget_of(run, sizes).seconds
        return Step(name or run.name, RESULT, seconds, _doing(function, settings, sizes, run), needs=tuple(needs))

    every = recipes.runs(sizes, real)
    found = [*listed.values()]
    if not settings.start:
        found.append(step(recipes.start(real), "train_start", "start"))
        early = [run for run in every if run.kind in ("large", "ablation", "coarse", "size") and run.seed == 0][:WARMED]
        found += [step(run) for run in every if run.kind == "small"]
        found += [step(run, "warm", f"warm-{run.name}", COMPILE_SECONDS) for run in early]
    return found + [step(run) for run in every if run.name not in {one.name for one in found}]
