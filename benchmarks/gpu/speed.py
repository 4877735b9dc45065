# SPDX-License-Identifier: Apache-2.0
"""The speed part, in order of worth. Each step is one model at one batch and one precision, its sides in turns.

Training comes first: it compiles longest. max-autotune, which PyTorch may compile for minutes, comes late; it measures
its case anew with all sides, so that the ratios are of one run. Estimates are of an H200 with 16 cores, four processes.
"""

from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.gpu.settings import Settings
from benchmarks.gpu.sizes import FULL, REHEARSAL, XLA, Sizes
from benchmarks.gpu.step import Rows, Step

LATENCY = ("jax", "jax-frozen", "torch-eager", "torch-reduce-overhead")
THROUGHPUT = ("jax", "torch-eager", "torch-compile")
TRAINING = ("jax", "jax-single", "torch-eager", "torch-compile", "torch-reduce-overhead", "torch-dataloader")


def steps(settings: Settings) -> list[Step]:
    """What is to be timed, the most worth first."""
    sizes = REHEARSAL if settings.rehearse else FULL
    small, first = sizes.models[0], sizes.precisions[0]
    cases = [(model, precision) for precision in sizes.precisions for model in sizes.models]

    def infer(batch: int, impls: Iterable[str], rounds: int, what: str, seconds: float) -> list[Step]:
        return [
            Step(
                f"infer-{batch}-{model}-{precision}{what}",
                "infer-gpu",
                seconds * (1 if model == small else 1.4),
                _doing("infer", sizes, model, batch, precision, tuple(impls), rounds),
            )
            for model, precision in cases
            if not what or (model, precision) == (small, first)
        ]

    def train(batch: int, seconds: float) -> list[Step]:
        return [
            Step(
                f"train-{batch}-{small}-{precision}",
                "train-gpu",
                seconds,  # of compilers, nearly all of it
                _doing("train", sizes, small, batch, precision, _possible(TRAINING, sizes)),
                room="large" if batch > 16 else "",
            )
            for precision in sizes.precisions
        ]

    listed = train(16, 160)
    listed += infer(1, _possible(LATENCY, sizes), sizes.latency_rounds, "", 75)
    listed += infer(sizes.large, _possible(THROUGHPUT, sizes), sizes.rounds, "", 65) if sizes.large > 1 else []
    listed += [Step(f"parity-{model}", "gpu-parity", 100, _doing("parity", sizes, model)) for model in sizes.models]
    listed += [Step("ceilings", "infer-gpu", 12, _doing("ceilings", sizes))]
    if sizes.compiled:
        listed += infer(1, (*LATENCY, "torch-max-autotune"), sizes.latency_rounds, "-max-autotune", 150)
    listed += train(sizes.large, 120) if sizes.large > 1 else []
    listed += [Step("table4", "table4-gpu", 110, _doing("table4", sizes))]
    listed += [
        Step(
            f"xla-{name.replace(' ', '-')}",
            "gpu-xla",
            90 if name.startswith("exhaustive") else 35,
            _doing("xla", sizes, name),
            xla_flags=XLA[name],
        )
        for name in sizes.xla
    ]
    listed += [Step("seeds", "gpu-seeds", 50, _doing("seeds", sizes))]
    growth = sizes.growth or tuple((axis, ()) for axis in ("batch", "image_size", "landmarks"))
    listed += [
        Step(f"growth-{axis}", "growth-gpu", 45, _doing("growth", sizes, axis, values)) for axis, values in growth
    ]
    if sizes.compiled:
        listed += [Step("growth-equations", "growth-gpu", 30, _doing("equations", sizes))]
    return listed


def _possible(impls: Iterable[str], sizes: Sizes) -> tuple[str, ...]:
    slow = ("jax-single", "torch-compile", "torch-reduce-overhead", "torch-max-autotune", "torch-dataloader")
    return tuple(impl for impl in impls if sizes.compiled or impl not in slow)


def _doing(what: str, *arguments: Any) -> Callable[[Rows], None]:
    def do(rows: Rows) -> None:
        from benchmarks.gpu import timing  # the programme, which only reads the list, does without JAX

        getattr(timing, what)(rows, *arguments)

    return do
