# SPDX-License-Identifier: Apache-2.0
"""The faces of a step, and the number of steps at once; what a step does with them is in test_steps.py."""

import jax
import numpy as np
import optax
import pytest

from barrel_jax.config import MeshConfig
from barrel_jax.devices.sharding import make_mesh, replicated
from barrel_jax.models.build import build_model
from barrel_jax.training.dispatch import Resident, Streamed, make_trainer, steps_at_once
from barrel_jax.training.order import epoch_order_of
from barrel_jax.training.steps import TrainStep
from tests.kit import small
from tests.kit.toy import make_crops

CROPS = make_crops(10)  # two batches of 4, and two faces left out


def advanced(first, *asked, **fields):
    """What a trainer that begins at a step gives its program, and the numbers of steps that are taken at once."""
    config = small.config(batch_size=4, seed=7, **fields)
    mesh, given = make_mesh(MeshConfig(data=1)), []
    train_step = TrainStep(build_model(config.model, 3), optax.sgd(1.0), config, mesh, CROPS.scheme.flip)

    def compiled(name, program):
        def note(state, seed, *data):
            given.append(data)
            return state, np.zeros(())

        return note

    trainer = make_trainer(train_step, CROPS, first, 8, compiled)
    counts = [trainer.advance(None, most)[2] for most in asked]
    return trainer, counts, given


def order(epoch):
    return np.asarray(epoch_order_of(7, epoch, CROPS))


def test_on_the_devices_every_epoch_has_its_order_and_steps_are_taken_together_where_there_are_as_many():
    trainer, counts, given = advanced(3, 1, 2, 1, 1, loop__dispatch_steps=2)
    assert isinstance(trainer, Resident) and counts == [1, 2, 1, 1]  # steps 3; 4 and 5; 6; 7
    for (faces, given_order), epoch in zip(given, (1, 2, 3, 3), strict=True):
        np.testing.assert_array_equal(given_order, order(epoch))
        np.testing.assert_array_equal(faces.images, CROPS.images)


def test_as_many_steps_as_are_ever_left_are_taken_at_once():
    """More than lie between two lines of the log, two checkpoints or two epochs would never be taken."""
    for fields in ({"loop__log_steps": 2}, {"loop__save_steps": 2}, {}):  # an epoch has two steps
        _, counts, _ = advanced(2, 2, 2, loop__dispatch_steps=5, **fields)
        assert counts == [2, 2]


def test_brought_batches_go_on_where_the_run_does():
    trainer, counts, given = advanced(3, 5, 5, 5, data__resident=False)
    assert isinstance(trainer, Streamed) and counts == [1, 1, 1]
    for (batch,), (epoch, place) in zip(given, ((1, 1), (2, 0), (2, 1)), strict=True):
        np.testing.assert_array_equal(batch.images, CROPS.images[order(epoch)[4 * place :][:4]])
    with pytest.raises(ValueError, match="0 steps are none to take"):
        trainer.advance(None, 0)


def test_on_a_cpu_steps_are_taken_one_by_one_unless_asked_for():
    assert jax.default_backend() == "cpu"
    assert [steps_at_once(small.config(loop__dispatch_steps=steps)) for steps in (0, 1, 5)] == [1, 1, 5]


def test_a_dispatch_moves_nothing_to_a_device_or_between_them():
    config = small.config(batch_size=8, seed=7)
    mesh, crops = make_mesh(MeshConfig(data=8)), make_crops(16)
    train_step = TrainStep(build_model(config.model, 3), optax.sgd(1.0), config, mesh, crops.scheme.flip)

    def compiled(name, program):
        return jax.jit(lambda state, seed, faces, order: (state + order[0], faces.points.sum() + seed.sum()))

    trainer = Resident(train_step, crops, 0, compiled)
    state, *_ = trainer.advance(jax.device_put(0, replicated(mesh)), 1)
    with jax.transfer_guard("disallow"):
        state, *_ = trainer.advance(state, 1)


def test_a_streamed_step_moves_its_batch_to_the_devices_and_nothing_else():
    config = small.config(batch_size=8, seed=7)
    mesh, crops = make_mesh(MeshConfig(data=8)), make_crops(16)
    train_step = TrainStep(build_model(config.model, 3), optax.sgd(1.0), config, mesh, crops.scheme.flip)

    def compiled(name, program):
        return jax.jit(lambda state, seed, batch: (state + seed[0].astype(int), batch.points.sum()))

    trainer = Streamed(train_step, crops, 0, 2, compiled)
    state, *_ = trainer.advance(jax.device_put(0, replicated(mesh)), 1)
    with jax.transfer_guard("disallow"):  # of what is not asked for, as a batch is
        state, *_ = trainer.advance(state, 1)
