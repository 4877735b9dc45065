# SPDX-License-Identifier: Apache-2.0
"""The steps of the speed part; what measures is `barrel_jax.benchmark` and the scripts beside this package."""

from typing import Any

from barrel_jax import paper
from barrel_jax.benchmark import ceilings as ceiling
from barrel_jax.benchmark import infer as inference
from barrel_jax.benchmark import train as training
from barrel_jax.benchmark.rows import from_json, to_json
from barrel_jax.benchmark.sides import Work
from barrel_jax.config import ModelConfig
from benchmarks import growth as growing
from benchmarks import seeds as seeding
from benchmarks.gpu import flags as flagged
from benchmarks.gpu import parity as points
from benchmarks.gpu import profiled, training_flags
from benchmarks.gpu.sizes import GRAPHS_WHILE_PROFILED, OPTIONS, THROUGHPUT_OPTIONS, TRAINING_OPTIONS, Sizes
from benchmarks.gpu.step import Rows


def parity(rows: Rows, sizes: Sizes, model: str) -> None:
    """Points of one model at every precision."""
    points.measure(rows, model, sizes.device, sizes.parity_images)


def _common(rows: Rows, sizes: Sizes) -> dict[str, Any]:
    rows.note(image_size=sizes.image_size, num_landmarks=sizes.landmarks)
    return {
        "devices": [sizes.device],
        "num_landmarks": sizes.landmarks,
        "image_size": sizes.image_size,
        "write": lambda row: rows.add(to_json(row)),
        "done": [from_json(row) for row in rows.done],
        "alone": rows.alone,
    }


def infer(
    rows: Rows, sizes: Sizes, model: str, batch: int, precision: str, impls: tuple[str, ...], rounds: int
) -> None:
    """Milliseconds of one model at one batch and precision."""
    inference.measure([model], [batch], [precision], impls, rounds=rounds, **_common(rows, sizes))


def ceilings(rows: Rows, sizes: Sizes) -> None:
    """A large matrix product and a copy."""
    with rows.alone():
        rows.note(ceilings=ceiling.ceilings(sizes.device, sizes.precisions, *sizes.ceiling))


def train(rows: Rows, sizes: Sizes, model: str, batch: int, precision: str, impls: tuple[str, ...]) -> None:
    """Training steps of one model at one batch and precision; of a large batch, whose steps are long, half as many."""
    rounds = sizes.training_rounds if batch < sizes.large else max(sizes.training_rounds // 2, 1)
    training.measure([model], [batch], [precision], impls, rounds=rounds, **_common(rows, sizes))


def table4(rows: Rows, sizes: Sizes) -> None:
    """The models of the paper's Table 4 in turns, one face at a time."""
    models = sizes.table4 or tuple(paper.PAPER_FPS)
    impls, precision = ("jax", "torch-eager"), sizes.precisions[0]
    inference.measure(
        models, [1], [precision], impls, rounds=sizes.rounds, models_in_turns=True, **_common(rows, sizes)
    )
    pairs = [pair for pair in paper.PAIRS if set(pair) <= set(models)]
    rows.note(gains=inference.gains([from_json(row) for row in rows.done], pairs))


def xla(rows: Rows, sizes: Sizes, name: str) -> None:
    """One face through the small model under the flags of the step's process, which are named `name`."""
    # No options of the package's own beside them, which the row would not name.
    flagged.measure(rows, *_work(rows, sizes), {name: {}}, (), sizes.latency_rounds, handed=(name,))


def _work(rows: Rows, sizes: Sizes, batch: int = 1) -> tuple[str, Work]:
    rows.note(image_size=sizes.image_size, num_landmarks=sizes.landmarks)
    label = sizes.models[0]
    return label, flagged.work_of(label, sizes.precisions[0], sizes.device, sizes.landmarks, sizes.image_size, batch)


def flags(rows: Rows, sizes: Sizes) -> None:
    """One face through the small model under the flags that XLA takes with a program, PyTorch's CUDA graphs beside."""
    others = ("torch-reduce-overhead",) if sizes.compiled else ()
    flagged.measure(rows, *_work(rows, sizes), OPTIONS, others, sizes.latency_rounds)


def flags_large(rows: Rows, sizes: Sizes) -> None:
    """The large batch likewise, what PyTorch compiles beside."""
    flagged.measure(rows, *_work(rows, sizes, sizes.large), THROUGHPUT_OPTIONS, ("torch-compile",), sizes.rounds)


def flags_training(rows: Rows, sizes: Sizes) -> None:
    """Training steps of the small model at the small batch likewise, and what they consist of."""
    rows.note(image_size=sizes.image_size, num_landmarks=sizes.landmarks)
    label, others, variants = sizes.models[0], ("torch-reduce-overhead",), TRAINING_OPTIONS
    if not sizes.compiled:  # a CPU compiles each for a minute
        others, variants = (), {"as it is": TRAINING_OPTIONS["as it is"]}
    model = ModelConfig(**paper.model_of(label))
    faces = training.faces_of(sizes.small, sizes.landmarks, sizes.image_size)
    work = training.training_of(
        model, sizes.small, *faces, sizes.device, sizes.precisions[0], dispatch_steps=sizes.dispatch_steps
    )
    training_flags.measure(rows, label, work, variants, others, sizes.training_rounds)


def profile(rows: Rows, sizes: Sizes) -> None:
    """What a call with one face consists of."""
    sides = {"jax-frozen": ("jax-frozen", GRAPHS_WHILE_PROFILED), "jax-frozen, kernel by kernel": ("jax-frozen", {})}
    if sizes.compiled:
        in_graphs = OPTIONS["convolutions in command buffers"] | GRAPHS_WHILE_PROFILED
        sides["jax-frozen, convolutions in command buffers"] = ("jax-frozen", in_graphs)
        sides["torch-reduce-overhead"] = ("torch-reduce-overhead", {})
    profiled.measure(rows, *_work(rows, sizes), sides, sizes.rounds)


def seeds(rows: Rows, sizes: Sizes) -> None:
    """A training step of several seeds, under vmap and one after another."""
    case = (sizes.models[0], sizes.seeds_image_size, sizes.seeds, sizes.small, sizes.rounds)
    for row in seeding.measure(*case, rows.alone):
        rows.add(row)


def growth(rows: Rows, sizes: Sizes, axis: str, values: tuple[int, ...]) -> None:
    """Milliseconds of the small model along one axis."""
    rows.note(base=growing.BASE)
    for row in growing.latencies(sizes.rounds, {axis: values or growing.AXES[axis]}, rows.alone):
        rows.add(row)


def equations(rows: Rows, sizes: Sizes) -> None:
    """QAMem by equation 3 and by equation 2."""
    rows.note(equations=growing.equations(sizes.rounds, rows.alone))
