# SPDX-License-Identifier: Apache-2.0
"""The speed part, in order of worth. Each step is one model at one batch and one precision, its sides in turns.

Training comes first: it compiles longest. At the small batch what PyTorch compiles is a step of its own there, and
max-autotune, which it may compile for minutes, comes late at inference; these measure their case anew with JAX and
eager PyTorch, so that the ratios are of one run. CUDA graphs and a DataLoader are in training of the small batch alone.
Estimates are of an H200 with 16 cores, four processes.
"""

from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.gpu.settings import Settings
from benchmarks.gpu.sizes import FULL, REHEARSAL, XLA, Sizes
from benchmarks.gpu.step import Rows, Step

LATENCY = ("jax", "jax-frozen", "torch-eager", "torch-reduce-overhead")
THROUGHPUT = ("jax", "torch-eager", "torch-compile")
TRAINING = ("jax", "jax-single", "torch-eager", "torch-dataloader")
COMPILED_TRAINING = ("jax", "torch-eager", "torch-compile", "torch-reduce-overhead")


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

    def train(batch: int, precision: str, what: str, impls: Iterable[str], seconds: float) -> Step:
        return Step(
            f"train-{batch}-{small}-{precision}{what}",
            "train-gpu",
            seconds,  # of compilers, nearly all of it
            _doing("train", sizes, small, batch, precision, _possible(impls, sizes)),
            room="large" if batch > sizes.small else "",
        )

    listed = []
    for precision in sizes.precisions:
        listed += [train(sizes.small, precision, "", TRAINING, 70)]
        listed += [train(sizes.small, precision, "-compiled", COMPILED_TRAINING, 120)] if sizes.compiled else []
    listed += [Step("train-flags", "gpu-train", 150, _doing("flags_training", sizes))]
    listed += [Step("xla", "gpu-xla", 70, _doing("flags", sizes))]
    listed += [Step("profile-1", "gpu-profile", 60, _doing("profile", sizes))]
    listed += [train(sizes.large, first, "", THROUGHPUT, 90)] if sizes.large > 1 else []
    listed += [Step("batch-flags", "gpu-batch", 90, _doing("flags_large", sizes))] if sizes.large > 1 else []
    listed += [Step("table4", "table4-gpu", 90, _doing("table4", sizes))]
    listed += infer(1, _possible(LATENCY, sizes), sizes.latency_rounds, "", 75)
    listed += infer(sizes.large, _possible(THROUGHPUT, sizes), sizes.rounds, "", 65) if sizes.large > 1 else []
    listed += [Step(f"parity-{model}", "gpu-parity", 100, _doing("parity", sizes, model)) for model in sizes.models]
    listed += [Step("ceilings", "infer-gpu", 12, _doing("ceilings", sizes))]
    listed += [
        Step(
            f"xla-{name.replace(',', '').replace(' ', '-')}",
            "gpu-xla",
            90 if name.startswith("exhaustive") else 35,
            _doing("xla", sizes, name),
            xla_flags=XLA[name],
        )
        for name in sizes.xla
    ]
    listed += [Step("seeds", "gpu-seeds", 50, _doing("seeds", sizes))]
    if sizes.compiled:
        listed += infer(1, (*LATENCY, "torch-max-autotune"), sizes.latency_rounds, "-max-autotune", 120)
    if sizes.large > 1:
        listed += [train(sizes.large, precision, "", THROUGHPUT, 90) for precision in sizes.precisions[1:]]
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
