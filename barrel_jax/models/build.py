# SPDX-License-Identifier: Apache-2.0
"""The model of a config, and its size."""

from typing import Any

import jax
import jax.numpy as jnp

from barrel_jax.config import ModelConfig
from barrel_jax.models.barrelnet import BarrelNet


def build_model(config: ModelConfig, num_landmarks: int, platform: str | None = None) -> BarrelNet:
    """The model of a config for a platform (default: JAX's); type 'auto' is float32 on 'cpu', bfloat16 elsewhere."""
    fields = dict(vars(config))
    name = fields.pop("dtype")
    if name == "auto":
        name = "float32" if (platform or jax.default_backend()) == "cpu" else "bfloat16"
    return BarrelNet(num_landmarks=num_landmarks, dtype=jnp.dtype(name), **fields)


def count_parameters(params: Any) -> int:
    """How many numbers are trained."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
