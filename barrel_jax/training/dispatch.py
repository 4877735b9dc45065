# SPDX-License-Identifier: Apache-2.0
"""Trainers: several steps in one dispatch on faces that lie on the devices, or steps on batches brought to them.

Both ways take the same faces in the same order, so that a run may go on in the other.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from barrel_jax.config import Config
from barrel_jax.devices.sharding import replicated
from barrel_jax.input.crops import FaceCrops
from barrel_jax.input.placement import place
from barrel_jax.input.streaming import stream
from barrel_jax.training.order import epoch_length, epoch_order_of
from barrel_jax.training.state import State
from barrel_jax.training.steps import TrainStep
from barrel_jax.training.streams import seed_data

Compiled = Callable[[str, jax.stages.Wrapped], Callable]  # Log.compiled


def make_trainer(
    train_step: TrainStep, crops: FaceCrops, first: int, total: int, compiled: Compiled
) -> "Resident | Streamed":
    """What takes a run from step `first` to step `total`, some steps at a time, with programs made by `compiled`."""
    if train_step.config.data.resident and jax.process_count() == 1:
        return Resident(train_step, crops, first, compiled)
    return Streamed(train_step, crops, first, total, compiled)


def steps_at_once(config: Config) -> int:
    """Steps that the host starts as one program while the faces lie on the devices."""
    return config.loop.dispatch_steps or (1 if jax.default_backend() == "cpu" else 10)


class Resident:
    """Steps on faces that lie on every device."""

    def __init__(self, train_step: TrainStep, crops: FaceCrops, first: int, compiled: Compiled) -> None:
        config = train_step.config
        self._crops, self._seed = crops, config.seed
        # Where the programs read them, so that a dispatch moves nothing to a device or between devices.
        self._everywhere = replicated(train_step.mesh)
        self._faces = place(crops, train_step.mesh)
        self._seed_data = jax.device_put(seed_data(self._seed), self._everywhere)
        self._steps_per_epoch = epoch_length(crops) // config.batch_size
        # More would never be taken: something is due between them.
        due = min(config.loop.log_steps, config.loop.save_steps, self._steps_per_epoch)
        self._at_once, self._done = min(steps_at_once(config), due), first
        self._programs = {1: compiled("a training step", train_step.on_faces)}
        if self._at_once > 1:
            words = f"{self._at_once} training steps in one dispatch"
            self._programs[self._at_once] = compiled(words, train_step.in_one_dispatch(self._at_once))
        self._epoch, self._order = -1, jnp.zeros(0, int)

    def advance(self, state: State, most: int) -> tuple[State, jax.Array, int]:
        """The state, which is donated, some steps of one epoch later, at most `most`; their losses; their number.

        The losses are a scalar or [number].
        """
        epoch = self._done // self._steps_per_epoch
        if epoch != self._epoch:
            order = epoch_order_of(self._seed, epoch, self._crops)
            self._epoch, self._order = epoch, jax.device_put(order, self._everywhere)
        count = self._at_once if most >= self._at_once else 1
        self._done += count
        return *self._programs[count](state, self._seed_data, self._faces, self._order), count


class Streamed:
    """Steps on batches that are read while the devices work; one at a time."""

    def __init__(self, train_step: TrainStep, crops: FaceCrops, first: int, total: int, compiled: Compiled) -> None:
        config = train_step.config
        self._seed_data = jax.device_put(seed_data(config.seed), replicated(train_step.mesh))
        self._program = compiled("a training step", train_step.on_batch)

        def order_of(epoch: int) -> np.ndarray:
            return np.asarray(epoch_order_of(config.seed, epoch, crops))

        steps_per_epoch = epoch_length(crops) // config.batch_size
        self._batches = stream(crops, order_of, config.batch_size, steps_per_epoch, first, total, train_step.mesh)

    def advance(self, state: State, most: int) -> tuple[State, jax.Array, int]:
        """The state, which is donated, one step later; its loss; 1."""
        if most < 1:
            raise ValueError(f"{most} steps are none to take")
        return *self._program(state, self._seed_data, next(self._batches)), 1
