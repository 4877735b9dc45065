# SPDX-License-Identifier: Apache-2.0
"""The state of a run, all that changes during training: order and randomness are functions of (seed, step)."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from chex import ArrayTree
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Int

from barrel_jax.config import Config
from barrel_jax.devices.sharding import layout
from barrel_jax.devices.xla import one_use_options
from barrel_jax.models.build import draw, shapes_of
from barrel_jax.training.streams import seed_data, seed_key


class State(flax.struct.PyTreeNode):
    """A run after `step` steps."""

    step: Int[Array, ""]
    params: ArrayTree
    batch_stats: ArrayTree
    opt_state: optax.OptState
    ema: ArrayTree | None  # moving average {params, batch_stats}

    def variables(self) -> ArrayTree:
        """What predictions are made with: the moving average where there is one."""
        return {"params": self.params, "batch_stats": self.batch_stats} if self.ema is None else self.ema


def _initialiser(model: nn.Module, optimiser: optax.GradientTransformation, config: Config) -> Callable[..., State]:
    return _drawn(model, optimiser, config.data.image_size, config.optim.ema_decay > 0)


# Of equal arguments one function, which is traced once.
@lru_cache(maxsize=4)
def _drawn(
    model: nn.Module, optimiser: optax.GradientTransformation, image_size: int, averaged: bool
) -> Callable[..., State]:
    def init(seed: jax.Array, start: ArrayTree | None = None) -> State:
        variables = draw(model, image_size, seed_key(seed))
        if start:
            started = jax.tree.map(jnp.copy, flatten_dict(start))
            variables = unflatten_dict({**flatten_dict(variables), **started})
        params, batch_stats = variables["params"], variables["batch_stats"]
        average = {"params": params, "batch_stats": batch_stats} if averaged else None
        return State(
            jnp.zeros((), jnp.int32), params, batch_stats, optimiser.init(params), jax.tree.map(jnp.copy, average)
        )

    return init


@jax.jit
def is_finite(state: State) -> Bool[Array, ""]:
    """Whether all numbers of a state are finite: an update may break what its own loss did not show.

    The largest size of a leaf, which is finite only if all of its numbers are, compiles in half the time that a look at
    each of them takes; there are hundreds of leaves. It is one program on the devices: of a state that is split over
    processes no host has all numbers, which `chex.assert_tree_all_finite` would fetch.
    """
    inexact = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.isfinite(jnp.stack([jnp.abs(x).max() for x in inexact])).all()


def abstract(model: nn.Module, optimiser: optax.GradientTransformation, config: Config, mesh: Mesh) -> State:
    """Shapes, types and shardings of a run's state, without its arrays: what a checkpoint is restored into."""
    return _laid_out(jax.eval_shape(_initialiser(model, optimiser, config), seed_data(0), None), config, mesh)


def abstract_weights(model: nn.Module, config: Config, mesh: Mesh) -> State:
    """Of `abstract` the step and what predictions are made with; all else is None, and is not restored."""
    step: Any = jax.ShapeDtypeStruct((), jnp.int32)
    variables = shapes_of(model, config.data.image_size)
    if config.optim.ema_decay > 0:
        return _laid_out(State(step, None, None, None, variables), config, mesh)
    return _laid_out(State(step, variables["params"], variables["batch_stats"], None, None), config, mesh)


def _laid_out(shapes: State, config: Config, mesh: Mesh) -> State:
    return jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        shapes,
        layout(shapes, mesh, config.mesh),
    )


def create(
    model: nn.Module,
    optimiser: optax.GradientTransformation,
    config: Config,
    like: State,
    start: ArrayTree | None = None,
) -> State:
    """The state at step 0, made on the devices it lives on, which are those of `like` (`abstract`).

    `start` is the part of {params, batch_stats} that is given, for the moving average too; the rest is drawn from the
    config's seed.
    """
    shardings = jax.tree.map(lambda x: x.sharding, like)
    device: Any = next(iter(shardings.step.device_set))
    initialise = jax.jit(
        _initialiser(model, optimiser, config),
        out_shardings=shardings,
        compiler_options=one_use_options(device.platform),
    )
    return initialise(seed_data(config.seed), start or None)
