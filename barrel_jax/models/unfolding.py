# SPDX-License-Identifier: Apache-2.0
"""Batch norm taken out of the convolutions again, so that a model whose norm was folded can be trained.

What it computes with running statistics is the same, whatever statistics a norm is given. In training a norm takes
those of its batch; so it is given those that the convolution has on faces to train on, and training begins where the
model is.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import UInt8

from barrel_jax.arrays import AnyArray, ArrayTree
from barrel_jax.config import ModelConfig
from barrel_jax.models.inference import folded_model
from barrel_jax.models.norms import EPSILON


def unfold(config: ModelConfig, num_landmarks: int, folded: ArrayTree, images: UInt8[AnyArray, "B S S 3"]) -> ArrayTree:
    """The variables of the model with `norm='batch'` whose outputs are those of a folded one, but for rounding.

    Args:
        config: of the model.
        num_landmarks: K.
        folded: its {params}, as of `models.folding.fold`.
        images: crops whose statistics the norms are given.

    Returns:
        {params, batch_stats}.
    """
    model = folded_model(config, num_landmarks)

    @jax.jit
    def outputs(folded: ArrayTree, images: AnyArray) -> ArrayTree:
        _, kept = model.apply(
            folded,
            jnp.asarray(images, jnp.float32) / 255.0,
            train=False,
            capture_intermediates=lambda module, _: isinstance(module, nn.Conv),
            mutable=["intermediates"],
        )
        moments = {
            # In float32, as norms keep them, also where the model computes in bfloat16.
            path[:-1]: (output.mean((0, 1, 2), jnp.float32), output.var((0, 1, 2), jnp.float32))
            for path, (output,) in flatten_dict(kept["intermediates"]).items()
            if path[-2:] == ("conv", "__call__")
        }
        return unflatten_dict(moments)

    params, statistics = {}, {}
    moments = flatten_dict(jax.device_get(outputs(folded, images)))
    for path, leaf in flatten_dict(folded["params"]).items():
        if path[-2:] != ("conv", "bias"):
            params[path] = leaf
            continue
        mean, variance = moments[path[:-1]]
        norm = (*path[:-2], "norm")
        params[(*norm, "scale")] = (variance + EPSILON) ** 0.5
        params[(*norm, "bias")] = mean
        statistics[(*norm, "mean")] = mean - leaf
        statistics[(*norm, "var")] = variance
    return {"params": unflatten_dict(params), "batch_stats": unflatten_dict(statistics)}
