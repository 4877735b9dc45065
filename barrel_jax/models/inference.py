# SPDX-License-Identifier: Apache-2.0
"""The network as it is used: batch norm folded, weights in the compute type, uint8 crops in, points out."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from barrel_jax.config import ModelConfig
from barrel_jax.models.barrelnet import BarrelNet
from barrel_jax.models.build import build_model
from barrel_jax.models.folding import fold


def make_inference(
    config: ModelConfig, num_landmarks: int, variables: Mapping[str, Any]
) -> tuple[Callable[[Any, jax.Array], jax.Array], Any]:
    """The function of a trained model, not jitted, and the weights that it takes.

    Args:
      config: of the run; its `dtype` is the type of weights and computation.
      num_landmarks: K.
      variables: of the run's model, {params, batch_stats}.

    Returns:
      predict(weights, images uint8 [B, S, S, 3]) -> points float32 [B, K, 2] in crop units; weights.
    """
    model = folded_model(config, num_landmarks)
    weights = jax.tree.map(lambda leaf: jnp.asarray(leaf, model.dtype), jax.jit(fold)(variables))

    def predict(weights: Any, images: jax.Array) -> jax.Array:
        return predict_points(model, weights, images)

    return predict, weights


def folded_model(config: ModelConfig, num_landmarks: int) -> BarrelNet:
    """The model of a config whose batch norm is folded into its convolutions."""
    return dataclasses.replace(build_model(config, num_landmarks), norm="folded")


def sown(changed: Mapping[str, Any], name: str) -> jax.Array:
    """What a model left in Flax's collection of intermediates under a name."""
    return changed["intermediates"][name][0]


def predict_with_scale(model: nn.Module, variables: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """As `predict_points`, and the standard deviations [B, K] of the points' errors along an axis, in crop units.

    The model is one with `uncertainty`; sqrt(2) b is the standard deviation of a Laplace distribution.
    """
    points, kept = model.apply(variables, images.astype(jnp.float32) / 255.0, train=False, mutable=["intermediates"])
    return points[-1], 2**0.5 * jnp.exp(sown(kept, "log_scale"))


def predict_points(model: nn.Module, variables: Any, images: jax.Array) -> jax.Array:
    """Images uint8 [B, S, S, 3] -> points float32 [B, K, 2] in crop units, those of the last decoder layer."""
    points: Any = model.apply(variables, images.astype(jnp.float32) / 255.0, train=False)
    return points[-1]
