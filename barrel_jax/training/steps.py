# SPDX-License-Identifier: Apache-2.0
"""The jitted programs: a training step, on faces in device memory or on a batch brought to it, and a prediction.

Order and randomness are pure functions of (seed, step): epoch e visits the faces as `order.epoch_order_of` says, a
step's draws come from the seed's `Stream.STEP` and its number. A resumed run therefore needs no state but the
checkpoint's, and neither depends on the number of devices.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from chex import ArrayTree
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, UInt8

from barrel_jax.config import Config, DataConfig
from barrel_jax.devices.sharding import layout, moments_layout, replicated, split
from barrel_jax.devices.xla import graph_options
from barrel_jax.input.augment import augment
from barrel_jax.input.placement import Faces
from barrel_jax.models.inference import predict_points, sown
from barrel_jax.training.losses import landmark_l1, scale_likelihood
from barrel_jax.training.state import State, abstract, create
from barrel_jax.training.streams import Seed, step_keys

Order = Int[Array | np.ndarray, " n"]


class TrainStep:
    """A step of training, as programs; each is compiled once for all steps and all seeds.

    Runs that follow each other in a process share them where they differ in their seed, folder, faces or `config.loop`
    alone, as the runs of a grid do: equal steps have the same programs.

    Every program takes the state, which it is donated, and the seed (`streams.seed_data`), and returns the next state
    and the loss of the batch, a float32 scalar in crop units.

    Args:
        model: BarrelNet, or any module from images [B, S, S, 3] to points [L, B, K, 2] in crop units.
        optimiser: what makes updates of gradients.
        config: of the run; the programs read what `baked` keeps of it.
        mesh: the devices, and how a run lies on them.
        flip: the permutation [K] of the points of a mirrored face.
        xla: what XLA is told of the programs; None for what this package tells it (`devices.xla.graph_options`).
    """

    def __init__(
        self,
        model: nn.Module,
        optimiser: optax.GradientTransformation,
        config: Config,
        mesh: Mesh,
        flip: tuple[int, ...],
        xla: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.optimiser, self.config, self.mesh = model, optimiser, config, mesh
        self._xla = graph_options(mesh.devices.flat[0].platform) if xla is None else dict(xla)
        self._flip, self._baked = np.array(flip), baked(config)
        self._key = (type(self), model, optimiser, repr(self._baked), mesh, tuple(flip), tuple(self._xla.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TrainStep) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @cached_property
    def like(self) -> State:
        """Shapes, types and layout of the state (`state.abstract`)."""
        return abstract(self.model, self.optimiser, self.config, self.mesh)

    def create(self, seed: int, start: ArrayTree | None = None) -> State:
        """The state at step 0 (`state.create`)."""
        return create(self.model, self.optimiser, replace(self.config, seed=seed), self.like, start)

    @property
    def on_faces(self) -> jax.stages.Wrapped:
        """step(state, seed, faces, order): on faces that lie on every device.

        `order` is the epoch's, from `order.epoch_order_of`; the step finds its own batch in it.
        """
        return _on_faces(self)

    @property
    def on_batch(self) -> jax.stages.Wrapped:
        """step(state, seed, batch): on a batch that `barrel_jax.input.streaming` brings."""
        return _on_batch(self)

    def in_one_dispatch(self, count: int) -> jax.stages.Wrapped:
        """`count` steps `on_faces` of one epoch as one program, which the host starts once; the losses are [count]."""
        return _in_one_dispatch(self, count)

    def jitted(self, program: Callable[..., tuple[State, Array]]) -> jax.stages.Wrapped:
        """A program of these steps, which is donated the state that it is given first."""
        return jax.jit(program, donate_argnums=0, compiler_options=self._xla)

    def choose_and_update(self, state: State, seed: Seed, faces: Faces, order: Order) -> tuple[State, Float[Array, ""]]:
        """`update` on the step's own batch of the faces; not compiled."""
        batch_size = self._baked.batch_size
        start = state.step % (order.shape[0] // batch_size) * batch_size
        chosen = jax.lax.dynamic_slice_in_dim(order, start, batch_size)
        return self.update(state, seed, jax.tree.map(lambda x: x[chosen], faces))

    def update(self, state: State, seed: Seed, batch: Faces) -> tuple[State, Float[Array, ""]]:
        """What a step does with its batch: augment, forward, L1, backward, Adam; not compiled."""
        config, mesh = self._baked, self.mesh
        count, landmarks = config.batch_size, len(self._flip)
        chex.assert_shape(batch.images, (count, None, None, 3))
        chex.assert_shape((batch.points, batch.labelled), ((count, landmarks, 2), (count, landmarks)))
        kept = ["batch_stats"] + ["intermediates"] * bool(config.optim.dqinit_loss or config.model.uncertainty)
        keys = step_keys(seed, state.step)
        batch = jax.lax.with_sharding_constraint(batch, split(mesh))
        around = round(config.data.context * config.data.image_size)
        images, truth, flipped = augment(
            keys.augmentation, batch.images, batch.points, self._flip, config.augment, around
        )
        labelled = jnp.where(flipped[:, None], batch.labelled[:, self._flip], batch.labelled)

        def loss_of(params: ArrayTree) -> tuple[Float[Array, ""], ArrayTree]:
            points, changed = self.model.apply(
                {"params": params, "batch_stats": state.batch_stats},
                images,
                train=True,
                mutable=kept,
                rngs={"dropout": keys.dropout},
            )
            trained = points if config.optim.aux_loss else points[-1:]
            loss = landmark_l1(trained, truth, labelled)
            if config.optim.dqinit_loss:
                coarse = sown(changed, "coarse")
                loss += config.optim.dqinit_loss * landmark_l1(coarse[None], truth, labelled)
            if config.model.uncertainty:
                log_scale = sown(changed, "log_scale")
                loss += config.optim.scale_loss * scale_likelihood(points[-1], log_scale, truth, labelled)
            return loss, changed["batch_stats"]

        (loss, batch_stats), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.params)
        # Summed as the weights lie, then split: asked for the split alone XLA sends parts of each convolution's
        # gradient around a ring, step by step (barrel_jax.pod shows it).
        gradient = jax.lax.with_sharding_constraint(gradient, layout({"params": gradient}, mesh, config.mesh)["params"])
        gradient = jax.lax.with_sharding_constraint(gradient, moments_layout(gradient, mesh, config.mesh))
        updates, opt_state = self.optimiser.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = state.ema
        if ema is not None:
            # The average follows fast at first, so that it forgets the initial weights.
            decay = jnp.minimum(config.optim.ema_decay, (1.0 + state.step) / (10.0 + state.step))
            ema = optax.incremental_update({"params": params, "batch_stats": batch_stats}, ema, 1 - decay)
        following = State(state.step + 1, params, batch_stats, opt_state, ema)
        chex.assert_trees_all_equal_shapes_and_dtypes(following, state)
        chex.assert_shape(loss, ())
        return jax.lax.with_sharding_constraint(following, layout(following, mesh, config.mesh)), loss


def baked(config: Config) -> Config:
    """What the programs of a step know of a config, in a copy; all else is at its default."""
    data = DataConfig(image_size=config.data.image_size, context=config.data.context)
    parts = {name: replace(getattr(config, name)) for name in ("mesh", "model", "augment", "optim")}
    return Config(batch_size=config.batch_size, data=data, **parts)


# Of equal steps these give the same program; the last few are kept.
@lru_cache(maxsize=4)
def _on_faces(step: TrainStep) -> jax.stages.Wrapped:
    return step.jitted(step.choose_and_update)


@lru_cache(maxsize=4)
def _on_batch(step: TrainStep) -> jax.stages.Wrapped:
    return step.jitted(step.update)


@lru_cache(maxsize=4)
def _in_one_dispatch(step: TrainStep, count: int) -> jax.stages.Wrapped:
    def steps(state: State, seed: Seed, faces: Faces, order: Order) -> tuple[State, Float[Array, " {count}"]]:
        def advance(state: State, _: None) -> tuple[State, Float[Array, ""]]:
            return step.choose_and_update(state, seed, faces, order)

        return jax.lax.scan(advance, state, length=count)

    return step.jitted(steps)


@lru_cache(maxsize=4)
def make_predict_step(model: nn.Module, mesh: Mesh) -> jax.stages.Wrapped:
    """predict(variables, images uint8 [B, S, S, 3]) -> points float32 [B, K, 2] in crop units, on every device.

    B must divide by the number of devices.
    """

    def predict(variables: ArrayTree, images: UInt8[Array, "B S S 3"]) -> Float[Array, "B K 2"]:
        images = jax.lax.with_sharding_constraint(images, split(mesh))
        return predict_points(model, variables, images)

    return jax.jit(
        predict, out_shardings=replicated(mesh), compiler_options=graph_options(mesh.devices.flat[0].platform)
    )
