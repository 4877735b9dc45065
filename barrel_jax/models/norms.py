# SPDX-License-Identifier: Apache-2.0
"""Batch norms that flax.linen has not, frozen and over groups of faces, and the epsilon of every norm."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from barrel_jax.arrays import AnyArray

NORMS = ("batch", "frozen", "folded")  # folded: none, its numbers are in the convolution (`models.folding`)
EPSILON = 1e-5  # of batch norms and layer norms, as PyTorch has it; Flax's own is 1e-6 in a layer norm


class FrozenBatchNorm(nn.Module):
    """Batch norm with given statistics and affine numbers, none of them trained (DETR's FrozenBatchNorm2d)."""

    dtype: Any

    @nn.compact
    def __call__(self, x: Float[AnyArray, "B H W C"]) -> Float[Array, "B H W C"]:
        """[B, H, W, C] -> the same shape."""
        shape = (x.shape[-1],)
        scale = jax.lax.stop_gradient(self.param("scale", nn.initializers.ones, shape))
        bias = jax.lax.stop_gradient(self.param("bias", nn.initializers.zeros, shape))
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape).value
        variance = self.variable("batch_stats", "var", jnp.ones, shape).value
        factor, mean, bias = (
            leaf[None, None, None] for leaf in (scale * jax.lax.rsqrt(variance + EPSILON), mean, bias)
        )
        # In float32, since what the mean and the factor leave of a bfloat16 offset may be its rounding alone.
        return ((x.astype(jnp.float32) - mean) * factor + bias).astype(self.dtype)


class GroupedBatchNorm(nn.Module):
    """Batch norm in training whose statistics are those of `group` faces, whatever the batch (ghost batch norm).

    A group that lies on one device needs no all-reduce before the next layer, forward or backward: a batch of 16 on
    each of many chips trains like the paper's 16. Variables are those of flax.linen.BatchNorm; the moving averages
    take the mean over the groups.
    """

    group: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[AnyArray, "B H W C"]) -> Float[Array, "B H W C"]:
        """[B, H, W, C] -> the same shape; B divides by the group."""
        shape = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        variance = self.variable("batch_stats", "var", jnp.ones, shape)
        grouped = x.reshape(-1, self.group, *x.shape[1:])
        wide = grouped.astype(jnp.float32)
        own_mean = wide.mean((1, 2, 3), keepdims=True)
        own_variance = jnp.maximum((wide * wide).mean((1, 2, 3), keepdims=True) - own_mean * own_mean, 0.0)
        if not self.is_initializing():  # what it is drawn on is no face
            mean.value = 0.9 * mean.value + 0.1 * own_mean.mean((0, 1, 2, 3))
            variance.value = 0.9 * variance.value + 0.1 * own_variance.mean((0, 1, 2, 3))
        scale, bias = scale[None, None, None, None], bias[None, None, None, None]
        y = (wide - own_mean) * (scale * jax.lax.rsqrt(own_variance + EPSILON)) + bias
        return y.astype(self.dtype).reshape(x.shape)
