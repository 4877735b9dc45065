# SPDX-License-Identifier: Apache-2.0
"""Training steps in turns: the jitted step of this project against PyTorch, from the same weights on the same faces."""

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from barrel_jax.benchmark.clock import Alone, summary
from barrel_jax.benchmark.frameworks import MATMUL, ROUNDING, flags
from barrel_jax.benchmark.infer import random_images, random_variables
from barrel_jax.benchmark.refusals import Disagreement, refusals
from barrel_jax.benchmark.rows import Failed, Key, Row, Rows, Trained, measure_in_turns
from barrel_jax.config import Config, MeshConfig, ModelConfig
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.input.placement import Faces
from barrel_jax.models.build import build_model
from barrel_jax.paper import model_of
from barrel_jax.pytorch.modes import TORCH_MODES
from barrel_jax.training.dispatch import steps_at_once
from barrel_jax.training.losses import landmark_l1
from barrel_jax.training.optimiser import optimiser
from barrel_jax.training.order import epoch_order
from barrel_jax.training.steps import TrainStep
from barrel_jax.training.streams import seed_data

# jax takes several steps in one dispatch where a run does, jax-single dispatches each by itself.
IMPLEMENTATIONS = ("jax", "jax-single", *TORCH_MODES, "torch-dataloader")
# The paper's recipe (section 4.1) on WFLW, the yardstick: epochs and faces.
EPOCHS, FACES = 360, 7500
IN_MEMORY = 512  # faces that the steps draw their batches from
COMPARED = 16  # faces whose loss is compared, at most


@dataclass(frozen=True)
class Steps:
    """One implementation of the training step, ready to run."""

    run: Callable[[], Any]  # takes as many steps as every other side does; their losses or the last one's, once done
    cold_s: float  # of making it and of the first call
    first_loss: float  # of its first step, or of the last one where a side tells that one alone, in crop units


@dataclass(frozen=True)
class Training:
    """What every side does."""

    config: Config  # model, augmentation, learning rates and batch size are used
    variables: Mapping[str, Any]  # of the Flax model, to start from
    images: np.ndarray  # uint8 [n, S, S, 3]
    points: np.ndarray  # float32 [n, K, 2] in crop units
    device: str  # cpu or cuda
    precision: str  # float32, tf32 or bfloat16 (computed in; weights stay float32)
    steps: int  # of one call, which the host waits for once, as in a run
    xla: Mapping[str, Any] | None = None  # what XLA is told of JAX's program; None for what this package tells it


def measure(
    labels: Sequence[str],
    batches: Sequence[int],
    precisions: Sequence[str],
    implementations: Sequence[str],
    *,
    devices: Sequence[str],
    rounds: int,
    num_landmarks: int,
    image_size: int,
    write: Callable[[Row], None] | None = None,
    done: Iterable[Row] = (),
    dispatch_steps: int = 0,
    alone: Alone = nullcontext,
) -> list[Row]:
    """One row for each device, model, batch, precision and implementation; arguments and rows as in `infer.measure`.

    `dispatch_steps` is the run's `loop.dispatch_steps`: every timed call of every side takes so many steps and waits
    once, and milliseconds are those of one step. The DataLoader takes its turn by itself when the others are done: its
    workers would take the processor from them, and would fill its queue while the others run.

    Raises:
        ValueError: a label that is no model; before anything is measured.
    """
    models = {label: ModelConfig(**model_of(label)) for label in labels}
    rows = Rows(write, done)
    keys: list[Key] = []
    images, points = faces_of(max(batches), num_landmarks, image_size)
    together = [[impl for impl in implementations if impl != "torch-dataloader"]]
    together += [["torch-dataloader"]] if "torch-dataloader" in implementations else []
    for device, batch, precision, label in itertools.product(devices, batches, precisions, labels):
        wanted = [Key(label, impl, device, precision, batch) for impl in implementations]
        keys += wanted
        if not rows.missing(wanted):
            continue
        work = training_of(models[label], batch, images, points, device, precision, dispatch_steps)
        steps = work.steps
        try:
            spread = compare_losses(work, implementations)
        except Disagreement as error:
            for key in rows.missing(wanted):
                rows.add(Failed(key, str(error)))
            continue
        except refusals():  # the side that cannot say its loss cannot be made either, and says why there
            spread = None

        def make(key: Key, work: Training = work) -> Steps:
            return make_steps(key.impl, work)

        def numbers(
            key: Key, side: Steps, seconds: list[float], spread: float | None = spread, steps: int = steps
        ) -> Row:
            timing = summary([second / steps for second in seconds], key.batch)
            return Trained(
                key,
                timing,
                repeats=len(seconds),
                cold_s=side.cold_s,
                largest_difference=spread,
                flags=flags(key.impl, key.precision),
                steps_per_s=timing.images_per_s / key.batch,
                recipe_minutes=EPOCHS * FACES / timing.images_per_s / 60,
                steps_a_call=steps,
            )

        for group in together:
            if missing := rows.missing(key for key in wanted if key.impl in group):
                measure_in_turns(missing, make, lambda sides: {}, numbers, rounds, rows, alone)
    return rows.of(keys)


def faces_of(batch: int, num_landmarks: int, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Random faces for batches of this size: images uint8 [n, S, S, 3], points float32 [n, K, 2] in crop units."""
    count = max(IN_MEMORY, 2 * batch)
    points = np.random.default_rng(1).random((count, num_landmarks, 2), np.float32)
    return random_images(count, image_size), points


def training_of(
    model: ModelConfig,
    batch: int,
    images: np.ndarray,
    points: np.ndarray,
    device: str,
    precision: str,
    dispatch_steps: int = 0,
) -> Training:
    """A model of drawn weights on faces (`faces_of`); as many steps in a call as a run with `loop.dispatch_steps`."""
    dtype = "bfloat16" if precision == "bfloat16" else "float32"
    config = Config(batch_size=batch, model=dataclasses.replace(model, dtype=dtype))
    config.data.image_size, config.loop.dispatch_steps = images.shape[1], dispatch_steps
    variables = random_variables(config.model, points.shape[1], images.shape[1])
    return Training(config, variables, images, points, device, precision, steps_at_once(config))


def make_steps(impl: str, work: Training) -> Steps:
    """Puts model, optimiser and faces on the device and takes the first steps; `impl` is one of `IMPLEMENTATIONS`."""
    flags(impl, work.precision)
    start = time.perf_counter()
    run = (_JaxSteps if impl.startswith("jax") else _torch_steps)(impl, work)
    losses = run()
    cold_s = time.perf_counter() - start
    return Steps(run, cold_s, float(losses[0] if losses.ndim else losses))


class _JaxSteps:
    """The run's own step, whose state goes from one call to the next; `impl` is jax or jax-single."""

    def __init__(self, impl: str, work: Training) -> None:
        mesh, num_landmarks, config = make_mesh(MeshConfig(data=1)), work.points.shape[1], work.config
        model = build_model(config.model, num_landmarks)
        tx = optimiser(config.optim, len(work.images) // config.batch_size)
        train_step = TrainStep(model, tx, config, mesh, tuple(range(num_landmarks)), work.xla)
        at_once = work.steps if impl == "jax" else 1
        self._dispatches = work.steps // at_once
        with jax.default_matmul_precision(MATMUL[work.precision]):
            self._state = train_step.create(config.seed, work.variables)
            self._faces = jax.device_put(Faces(work.images, work.points, np.ones(work.points.shape[:2], bool)))
            self._order, self._seed = epoch_order(0, 0, len(work.images)), seed_data(config.seed)
            program = train_step.in_one_dispatch(at_once) if at_once > 1 else train_step.on_faces
            self._step = program.lower(self._state, self._seed, self._faces, self._order).compile()

    def __call__(self) -> jax.Array:
        for _ in range(self._dispatches):
            self._state, loss = self._step(self._state, self._seed, self._faces, self._order)
        return jax.block_until_ready(loss)


def _torch_steps(impl: str, work: Training) -> Callable[[], Any]:
    # PyTorch is an opponent, not a dependency.
    import torch

    from barrel_jax.pytorch.training import make_step

    flip = tuple(range(work.points.shape[1]))
    step = make_step(impl, work.config, work.variables, work.images, work.points, flip, work.device, work.precision)

    def run() -> torch.Tensor:
        for _ in range(work.steps):
            loss = step()
        if work.device == "cuda":
            torch.cuda.synchronize()
        return loss

    return run


def compare_losses(work: Training, implementations: Sequence[str]) -> float:
    """The difference of both sides' losses on a batch without augmentation and dropout, in crop units.

    Raises:
        Disagreement: it is more than rounding, so that the sides do not train the same model.
    """
    if not {impl[:3] for impl in implementations} >= {"jax", "tor"}:
        return 0.0
    import torch

    from barrel_jax.pytorch.barrelnet import build_model as build_torch
    from barrel_jax.pytorch.weights import from_flax

    count = min(work.config.batch_size, COMPARED)
    images, points, device = work.images[:count], work.points[:count], work.device
    plain = dataclasses.replace(work.config.model, dropout=0.0)
    model = build_model(plain, points.shape[1])
    with jax.default_matmul_precision(MATMUL[work.precision]):
        predicted = jax.jit(lambda v, x: model.apply(v, x / 255.0, train=True, mutable=["batch_stats"])[0])(
            work.variables, images.astype(np.float32)
        )
    ours = float(landmark_l1(predicted, jax.numpy.asarray(points), jax.numpy.ones(points.shape[:2], bool)))
    flags("torch", work.precision)
    network = build_torch(plain, points.shape[1], images.shape[1])
    from_flax(work.variables, network)
    network = network.to(device).train()
    with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=work.precision == "bfloat16"):
        theirs = network(torch.from_numpy(images).to(device).permute(0, 3, 1, 2) / 255)
    theirs = float((theirs.float().cpu() - torch.from_numpy(points)).abs().mean())
    if not abs(ours - theirs) <= ROUNDING[work.precision]:
        raise Disagreement(
            f"{work.precision}: the losses of the same batch are {ours:.6f} in JAX and {theirs:.6f} in PyTorch, which "
            f"is more than the {ROUNDING[work.precision]:.0e} of rounding; nothing is timed"
        )
    return abs(ours - theirs)
