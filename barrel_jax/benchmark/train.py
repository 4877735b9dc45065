# SPDX-License-Identifier: Apache-2.0
"""Training steps in turns: the jitted step of this project against PyTorch, from the same weights on the same faces."""

import dataclasses
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from barrel_jax.benchmark.clock import alternate, summary
from barrel_jax.benchmark.infer import random_variables
from barrel_jax.benchmark.sides import MATMUL, ROUNDING, forget_compiled
from barrel_jax.config import Config, MeshConfig, ModelConfig
from barrel_jax.grids import model_of
from barrel_jax.input.placement import Faces
from barrel_jax.losses import landmark_l1
from barrel_jax.optim import optimiser
from barrel_jax.sharding import make_mesh
from barrel_jax.state import State, build_model, create
from barrel_jax.steps import epoch_order, make_train_step

IMPLEMENTATIONS = ("jax", "torch-eager", "torch-compile", "torch-max-autotune", "torch-dataloader")
# The paper's recipe (section 4.1) on WFLW, the yardstick: epochs and faces.
EPOCHS, FACES = 360, 7500
IN_MEMORY = 512  # faces that the steps draw their batches from


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
) -> list[dict[str, Any]]:
    """One row for each device, model, batch, precision and implementation; arguments as in `infer.measure`.

    Raises:
      ValueError: a label that is no model; a device that JAX does not train on here; losses that differ by more than
        rounding before the first step.
    """
    if "cpu" in devices and jax.default_backend() != "cpu":
        devices = [device for device in devices if device != "cpu"]  # the step runs where JAX's default device is
    rng = np.random.default_rng(0)
    count = max(IN_MEMORY, 2 * max(batches))
    images = rng.integers(0, 256, (count, image_size, image_size, 3), np.uint8)
    points = rng.random((count, num_landmarks, 2), np.float32)
    rows = []
    for device, label, batch, precision in itertools.product(devices, labels, batches, precisions):
        config = Config(batch_size=batch, model=ModelConfig(**model_of(label)))
        config.model.dtype = "bfloat16" if precision == "bfloat16" else "float32"
        config.data.image_size = image_size
        variables = random_variables(config.model, num_landmarks, image_size)
        spread = compare_losses(config, variables, images[:batch], points[:batch], device, precision, implementations)
        forget_compiled()
        sides, cold = {}, {}
        for impl in tqdm(implementations, desc=f"compile for {device}, {label}, batch {batch}, {precision}"):
            make = _jax_step if impl == "jax" else _torch_step
            start = time.perf_counter()
            sides[impl] = make(impl, config, variables, images, points, device, precision)
            sides[impl]()
            cold[impl] = time.perf_counter() - start
        for impl, seconds in alternate(sides, rounds).items():
            said = summary(seconds, batch)
            rows.append(
                {"model": label, "impl": impl, "device": device, "precision": precision, "batch": batch}
                | said
                | {
                    "steps_per_s": said["images_per_s"] / batch,
                    "recipe_minutes": EPOCHS * FACES / said["images_per_s"] / 60,
                    "repeats": rounds,
                    "cold_s": cold[impl],
                    "largest_difference": spread,
                }
            )
    return rows


def _jax_step(
    impl: str, config: Config, variables: Any, images: np.ndarray, points: np.ndarray, device: str, precision: str
) -> Callable[[], jax.Array]:
    del impl, device
    mesh, num_landmarks = make_mesh(MeshConfig(data=1)), points.shape[1]
    model, steps_per_epoch = build_model(config.model, num_landmarks), len(images) // config.batch_size
    tx = optimiser(config.optim, steps_per_epoch)
    with jax.default_matmul_precision(MATMUL[precision]):
        state: list[State] = [create(model, tx, config, mesh)]
        state[0] = state[0].replace(**jax.tree.map(jax.numpy.asarray, variables))
        faces = jax.device_put(Faces(images, points, np.ones(points.shape[:2], bool)))
        step = make_train_step(model, tx, config, tuple(range(num_landmarks)), mesh)
        order = epoch_order(0, 0, len(images))
        step = step.lower(state[0], faces, order).compile()

    def run() -> jax.Array:
        state[0], loss = step(state[0], faces, order)
        return jax.block_until_ready(loss)

    return run


def _torch_step(
    impl: str, config: Config, variables: Any, images: np.ndarray, points: np.ndarray, device: str, precision: str
) -> Callable[[], object]:
    # PyTorch is an opponent, not a dependency.
    from benchmarks.torch_training import make_step

    return make_step(impl, config, variables, images, points, tuple(range(points.shape[1])), device, precision)


def compare_losses(
    config: Config,
    variables: Mapping[str, Any],
    images: np.ndarray,
    points: np.ndarray,
    device: str,
    precision: str,
    implementations: Sequence[str],
) -> float:
    """The difference of both sides' losses on a batch without augmentation and dropout, in crop units.

    Raises:
      ValueError: it is more than rounding, so that the sides do not train the same model.
    """
    if set(implementations) == {"jax"}:
        return 0.0
    import torch

    from benchmarks.torch_barrelnet import build_model as build_torch
    from benchmarks.torch_weights import from_flax

    plain = dataclasses.replace(config.model, dropout=0.0)
    model = build_model(plain, points.shape[1])
    with jax.default_matmul_precision(MATMUL[precision]):
        predicted = jax.jit(lambda v, x: model.apply(v, x / 255.0, True, mutable=["batch_stats"])[0])(
            variables, images.astype(np.float32)
        )
    ours = float(landmark_l1(predicted, points, np.ones(points.shape[:2], bool)))
    network = build_torch(plain, points.shape[1], images.shape[1])
    from_flax(variables, network)
    network = network.to(device).train()
    with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
        theirs = network(torch.from_numpy(images).to(device).permute(0, 3, 1, 2) / 255)
    theirs = float((theirs.float().cpu() - torch.from_numpy(points)).abs().mean())
    if not abs(ours - theirs) <= ROUNDING[precision]:
        raise ValueError(
            f"{precision}: the losses of the same batch are {ours:.6f} in JAX and {theirs:.6f} in PyTorch, which is "
            f"more than the {ROUNDING[precision]:.0e} of rounding; nothing is timed"
        )
    return abs(ours - theirs)
