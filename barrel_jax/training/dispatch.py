# SPDX-License-Identifier: Apache-2.0
"""How a run goes on: on faces that lie on the devices, several steps in one dispatch, or on batches brought to them.

Both ways take the same faces in the same order, so that a run may go on in the other.
"""

from collections.abc import Callable

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from barrel_jax.config import Config
from barrel_jax.input.crops import FaceCrops
from barrel_jax.input.placement import place
from barrel_jax.input.streaming import stream
from barrel_jax.models.barrelnet import BarrelNet
from barrel_jax.training.order import epoch_length, epoch_order_of
from barrel_jax.training.state import State
from barrel_jax.training.steps import in_one_dispatch, make_streamed_step, make_train_step

Compiled = Callable[[str, Callable], Callable]  # Log.compiled
Advance = Callable[[State, int, int], tuple[State, jax.Array, int]]


def stepper(
    config: Config,
    crops: FaceCrops,
    model: BarrelNet,
    tx: optax.GradientTransformation,
    mesh: Mesh,
    first: int,
    total: int,
    compiled: Compiled,
) -> Advance:
    """What takes a run from step `first` to step `total`, some steps at a time, with programs made by `compiled`.

    Returns:
      advance(state, step, most) -> (state, losses, count): takes `count` steps, at most `most`, after `step` of them;
      the state given is donated, the losses are a scalar or [count].
    """
    if config.data.resident and jax.process_count() == 1:
        return _on_resident(config, crops, model, tx, mesh, compiled)
    step_fn = compiled("a training step", make_streamed_step(model, tx, config, crops.scheme.flip, mesh))
    steps_per_epoch = epoch_length(crops) // config.batch_size

    def order_of(epoch: int) -> np.ndarray:
        return np.asarray(epoch_order_of(config.seed, epoch, crops))

    batches = stream(crops, order_of, config.batch_size, steps_per_epoch, first, total, mesh)

    def advance(state: State, step: int, most: int) -> tuple[State, jax.Array, int]:
        del step, most
        return *step_fn(state, next(batches)), 1

    return advance


def steps_at_once(config: Config) -> int:
    """Steps that the host starts as one program while the faces lie on the devices."""
    return config.loop.dispatch_steps or (1 if jax.default_backend() == "cpu" else 10)


def _on_resident(
    config: Config,
    crops: FaceCrops,
    model: BarrelNet,
    tx: optax.GradientTransformation,
    mesh: Mesh,
    compiled: Compiled,
) -> Advance:
    faces, steps_per_epoch = place(crops, mesh), epoch_length(crops) // config.batch_size
    at_once = steps_at_once(config)
    step = make_train_step(model, tx, config, crops.scheme.flip, mesh)
    step_fn = {1: compiled("a training step", step)}
    if at_once > 1:
        step_fn[at_once] = compiled(f"{at_once} training steps in one dispatch", in_one_dispatch(step, at_once))
    orders: dict[int, jax.Array] = {}

    def advance(state: State, step: int, most: int) -> tuple[State, jax.Array, int]:
        epoch = step // steps_per_epoch
        if epoch not in orders:
            orders.clear()
            orders[epoch] = epoch_order_of(config.seed, epoch, crops)
        count = at_once if most >= at_once else 1
        return *step_fn[count](state, faces, orders[epoch]), count

    return advance
