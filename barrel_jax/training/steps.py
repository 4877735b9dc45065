# SPDX-License-Identifier: Apache-2.0
"""The jitted programs: a training step, on faces in device memory or on a batch brought to it, and a prediction.

Order and randomness are pure functions of (seed, step): epoch e visits the faces in `epoch_order(seed, e, n)`, a
step's draws come from `fold_in(seed, step)`. A resumed run therefore needs no state but the checkpoint's, and neither
depends on the number of devices.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from barrel_jax.config import Config
from barrel_jax.devices.sharding import layout, moments_layout, replicated, split
from barrel_jax.input.augment import augment
from barrel_jax.input.placement import Faces
from barrel_jax.training.losses import landmark_l1
from barrel_jax.training.state import State

Update = Callable[[State, Faces], tuple[State, jax.Array]]
TrainStep = Callable[[State, Faces, jax.Array], tuple[State, jax.Array]]


@partial(jax.jit, static_argnums=2)
def shuffled(key: jax.Array, number: int, count: int) -> jax.Array:
    """The permutation of 0..count-1 with a number, of those that a key gives."""
    return jax.random.permutation(jax.random.fold_in(key, number), count)


def epoch_order(seed: int, epoch: int, count: int) -> jax.Array:
    """The order [n] in which an epoch visits the faces; what is left after whole batches is left out that time."""
    return shuffled(jax.random.fold_in(jax.random.key(seed), 1), epoch, count)


def make_update(
    model: nn.Module, tx: optax.GradientTransformation, config: Config, flip: tuple[int, ...], mesh: Mesh
) -> Update:
    """What a training step does with its batch: augment, forward, L1, backward, Adam; not compiled yet."""
    flip_index = np.array(flip)

    def update(state: State, batch: Faces) -> tuple[State, jax.Array]:
        draw_key, dropout_key = jax.random.split(
            jax.random.fold_in(jax.random.fold_in(jax.random.key(config.seed), 2), state.step)
        )
        batch = jax.lax.with_sharding_constraint(batch, split(mesh))
        images, truth, flipped = augment(draw_key, batch.images, batch.points, flip_index, config.augment)
        labelled = jnp.where(flipped[:, None], batch.labelled[:, flip_index], batch.labelled)

        def loss_of(params: Any) -> tuple[jax.Array, Any]:
            points, changed = model.apply(
                {"params": params, "batch_stats": state.batch_stats},
                images,
                True,
                mutable=["batch_stats"],
                rngs={"dropout": dropout_key},
            )
            trained = points if config.optim.aux_loss else points[-1:]
            return landmark_l1(trained, truth, labelled), changed["batch_stats"]

        (loss, batch_stats), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        # Summed whole, then split: XLA merges the two into one reduce-scatter. Asked for the split alone it sends parts
        # of each convolution's gradient around a ring, step by step (barrel_jax.pod shows it).
        gradient = jax.lax.with_sharding_constraint(gradient, replicated(mesh))
        gradient = jax.lax.with_sharding_constraint(gradient, moments_layout(gradient, mesh, config.mesh))
        updates, opt_state = tx.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = state.ema
        if ema is not None:
            # The average follows fast at first, so that it forgets the initial weights.
            decay = jnp.minimum(config.optim.ema_decay, (1.0 + state.step) / (10.0 + state.step))
            ema = optax.incremental_update({"params": params, "batch_stats": batch_stats}, ema, 1 - decay)
        following = State(state.step + 1, params, batch_stats, opt_state, ema)
        return jax.lax.with_sharding_constraint(following, layout(following, mesh, config.mesh)), loss

    return update


def make_train_step(
    model: nn.Module, tx: optax.GradientTransformation, config: Config, flip: tuple[int, ...], mesh: Mesh
) -> TrainStep:
    """The training step on faces that lie on every device: gather, then `make_update`.

    Returns:
      step(state, faces, order) -> (state, loss); the state given is donated. `order` is the epoch's, from
      `epoch_order`; the step finds its own batch in it.
    """
    update = make_update(model, tx, config, flip, mesh)

    def step(state: State, faces: Faces, order: jax.Array) -> tuple[State, jax.Array]:
        start = state.step % (order.shape[0] // config.batch_size) * config.batch_size
        chosen = jax.lax.dynamic_slice_in_dim(order, start, config.batch_size)
        return update(state, jax.tree.map(lambda x: x[chosen], faces))

    return jax.jit(step, donate_argnums=0)


def make_streamed_step(
    model: nn.Module, tx: optax.GradientTransformation, config: Config, flip: tuple[int, ...], mesh: Mesh
) -> Update:
    """The training step on a batch that `barrel_jax.input.streaming` brings: step(state, batch) -> (state, loss)."""
    return jax.jit(make_update(model, tx, config, flip, mesh), donate_argnums=0)


def in_one_dispatch(step: TrainStep, count: int) -> TrainStep:
    """`count` steps of one epoch as one program, which the host starts once; the losses are [count]."""

    def steps(state: State, faces: Faces, order: jax.Array) -> tuple[State, jax.Array]:
        return jax.lax.scan(lambda state, _: step(state, faces, order), state, length=count)

    return jax.jit(steps, donate_argnums=0)


def make_predict_step(model: nn.Module, mesh: Mesh) -> Callable[[Any, jax.Array], jax.Array]:
    """predict(variables, images uint8 [B, S, S, 3]) -> points float32 [B, K, 2] in crop units, on every device.

    B must divide by the number of devices.
    """

    def predict(variables: Any, images: jax.Array) -> jax.Array:
        images = jax.lax.with_sharding_constraint(images, split(mesh))
        return model.apply(variables, images.astype(jnp.float32) / 255.0, False)[-1]

    return jax.jit(predict, out_shardings=replicated(mesh))
