# SPDX-License-Identifier: Apache-2.0
"""The network as it is used: batch norm folded, weights in the compute type, uint8 crops in, points out."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Real

from barrel_jax.arrays import AnyArray, ArrayTree
from barrel_jax.config import ModelConfig
from barrel_jax.models.barrelnet import BarrelNet
from barrel_jax.models.build import build_model
from barrel_jax.models.folding import fold

# Kernels that are computed with in float32 whatever the model's type, since their results are coordinates or sizes of
# errors. Vectors, among them those of layer norms, stay as they are too: they cost nothing.
IN_FULL = re.compile(r"(layer3|regression|scale/layer2)/kernel$")


def make_inference(
    config: ModelConfig, num_landmarks: int, variables: ArrayTree
) -> tuple[Callable[[ArrayTree, jax.Array], jax.Array], ArrayTree]:
    """The function of a trained model, not jitted, and the weights that it takes.

    Args:
        config: of the run; its `dtype` is the type of computation, and of the weights that are computed with in it.
        num_landmarks: K.
        variables: of the run's model, {params, batch_stats}.

    Returns:
        predict(weights, images [B, S, S, 3] in 0..255) -> points float32 [B, K, 2] in crop units; weights.
    """
    model = folded_model(config, num_landmarks)

    def predict(weights: ArrayTree, images: Real[AnyArray, "B S S 3"]) -> Float[Array, "B K 2"]:
        return predict_points(model, weights, images)

    return predict, inference_weights(model, variables)


def inference_weights(model: BarrelNet, variables: ArrayTree) -> ArrayTree:
    """The weights {params} of a `folded_model`, each in the type that it is computed with in.

    `variables` are those of the run's model, {params, batch_stats}.
    """

    def cast(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        return leaf if leaf.ndim == 1 or IN_FULL.search(name) else jnp.asarray(leaf, model.dtype)

    return jax.tree_util.tree_map_with_path(cast, jax.jit(fold)(variables))


def folded_model(config: ModelConfig, num_landmarks: int) -> BarrelNet:
    """The model of a config whose batch norm is folded into its convolutions."""
    return dataclasses.replace(build_model(config, num_landmarks), norm="folded")


def sown(changed: ArrayTree, name: str) -> jax.Array:
    """What a model left in Flax's collection of intermediates under a name."""
    return changed["intermediates"][name][0]


def predict_with_scale(
    model: nn.Module, variables: ArrayTree, images: Real[AnyArray, "B S S 3"]
) -> tuple[Float[Array, "B K 2"], Float[Array, "B K"]]:
    """As `predict_points`, and the standard deviations [B, K] of the points' errors along an axis, in crop units.

    The model is one with `uncertainty`; sqrt(2) b is the standard deviation of a Laplace distribution.
    """
    points, kept = _with_intermediates(model, variables, images)
    return points[-1], 2**0.5 * jnp.exp(sown(kept, "log_scale"))


def predict_with_coarse(
    model: BarrelNet, variables: ArrayTree, images: Real[AnyArray, "B S S 3"]
) -> tuple[Float32[Array, "B K 2"], Float32[Array, "B K 2"]]:
    """As `predict_points`, and the coarse points that the head reads from DQInit's queries, both in crop units.

    Raises:
        ValueError: the model has no DQInit, or no decoder that would start from its queries.
    """
    if not (model.dqinit and model.decoder_layers):
        raise ValueError(
            f"this model has no coarse points: they are read from DQInit's queries, and it has model.dqinit="
            f"{model.dqinit} and model.decoder_layers={model.decoder_layers}"
        )
    points, kept = _with_intermediates(model, variables, images)
    return points[-1], sown(kept, "coarse")


def _with_intermediates(model: nn.Module, variables: ArrayTree, images: AnyArray) -> Any:
    return model.apply(variables, images.astype(jnp.float32) / 255.0, train=False, mutable=["intermediates"])


def predict_points(model: nn.Module, variables: ArrayTree, images: Real[AnyArray, "B S S 3"]) -> Float[Array, "B K 2"]:
    """Images [B, S, S, 3] in 0..255 -> points float32 [B, K, 2] in crop units, those of the last decoder layer.

    Images are uint8, or floating numbers where a crop on the device made them (`input/device_crop.py`).
    """
    points: Any = model.apply(variables, images.astype(jnp.float32) / 255.0, train=False)
    return points[-1]
