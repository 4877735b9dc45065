# SPDX-License-Identifier: Apache-2.0
"""The model of a config, its first weights, and its size."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from barrel_jax.arrays import ArrayTree
from barrel_jax.config import ModelConfig
from barrel_jax.models.barrelnet import BarrelNet


def build_model(config: ModelConfig, num_landmarks: int, platform: str | None = None) -> BarrelNet:
    """The model of a config for a platform (default: JAX's); type 'auto' is float32 on 'cpu', bfloat16 elsewhere."""
    fields = dict(vars(config))
    name = fields.pop("dtype")
    if name == "auto":
        name = "float32" if (platform or jax.default_backend()) == "cpu" else "bfloat16"
    return BarrelNet(num_landmarks=num_landmarks, dtype=jnp.dtype(name), **fields)


@partial(jax.jit, static_argnums=(0, 1))
def draw(model: nn.Module, image_size: int, key: Key[Array, ""]) -> ArrayTree:
    """New variables {params, batch_stats} of a model for crops of so many pixels.

    JAX traces them once for a model and a size, whether they are drawn or, by jax.eval_shape, only their shapes are.
    """
    return dict(model.init(key, jnp.zeros((1, image_size, image_size, 3), jnp.float32), train=False))


def shapes_of(model: nn.Module, image_size: int) -> dict[str, Any]:
    """What `draw` would give, as jax.ShapeDtypeStruct."""
    return jax.eval_shape(partial(draw, model, image_size), jax.random.key(0))


def count_parameters(params: Any) -> int:
    """How many numbers there are; those of frozen norms, which are not trained, among them."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
