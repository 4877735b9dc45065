# SPDX-License-Identifier: Apache-2.0
"""The two jitted programs: a training step and a prediction.

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
import optax
from jax.sharding import Mesh

from barrel_jax.augment import augment
from barrel_jax.config import Config
from barrel_jax.input.placement import Faces
from barrel_jax.losses import landmark_l1
from barrel_jax.sharding import replicated, split
from barrel_jax.state import State

TrainStep = Callable[[State, Faces, jax.Array], tuple[State, jax.Array]]


@partial(jax.jit, static_argnums=2)
def epoch_order(seed: int, epoch: int, count: int) -> jax.Array:
    """The order [n] in which an epoch visits the faces; what is left after whole batches is left out that time."""
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 1), epoch)
    return jax.random.permutation(key, count)


def make_train_step(
    model: nn.Module, tx: optax.GradientTransformation, config: Config, flip: tuple[int, ...], mesh: Mesh
) -> TrainStep:
    """The training step: gather, augment, forward, L1, backward, Adam.

    Returns:
      step(state, faces, order) -> (state, loss); the state given is donated. `order` is the epoch's, from
      `epoch_order`; the step finds its own batch in it.
    """
    flip_index = jnp.array(flip)

    def step(state: State, faces: Faces, order: jax.Array) -> tuple[State, jax.Array]:
        steps_per_epoch = order.shape[0] // config.batch_size
        start = state.step % steps_per_epoch * config.batch_size
        chosen = jax.lax.dynamic_slice_in_dim(order, start, config.batch_size)
        draw_key, dropout_key = jax.random.split(
            jax.random.fold_in(jax.random.fold_in(jax.random.key(config.seed), 2), state.step)
        )
        batch = jax.lax.with_sharding_constraint(jax.tree.map(lambda x: x[chosen], faces), split(mesh))
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
            return landmark_l1(points, truth, labelled), changed["batch_stats"]

        (loss, batch_stats), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        updates, opt_state = tx.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = state.ema
        if ema is not None:
            # The average follows fast at first, so that it forgets the initial weights.
            decay = jnp.minimum(config.optim.ema_decay, (1.0 + state.step) / (10.0 + state.step))
            ema = optax.incremental_update({"params": params, "batch_stats": batch_stats}, ema, 1 - decay)
        return State(state.step + 1, params, batch_stats, opt_state, ema), loss

    everywhere = replicated(mesh)
    return jax.jit(step, donate_argnums=0, in_shardings=everywhere, out_shardings=everywhere)


def in_one_dispatch(step: TrainStep, count: int) -> TrainStep:
    """`count` steps of one epoch as one program, which the host starts once; the losses are [count]."""

    def steps(state: State, faces: Faces, order: jax.Array) -> tuple[State, jax.Array]:
        return jax.lax.scan(lambda state, _: step(state, faces, order), state, length=count)

    return jax.jit(steps, donate_argnums=0)


def make_predict_step(model: nn.Module, mesh: Mesh) -> Callable[[Any, jax.Array], jax.Array]:
    """predict(variables, images uint8 [B, S, S, 3]) -> points float32 [B, K, 2] in crop units.

    B must divide by the number of devices.
    """

    def predict(variables: Any, images: jax.Array) -> jax.Array:
        return model.apply(variables, images.astype(jnp.float32) / 255.0, False)[-1]

    return jax.jit(predict, in_shardings=(replicated(mesh), split(mesh)), out_shardings=split(mesh))
