# SPDX-License-Identifier: Apache-2.0
"""ResNets in torchvision's v1.5 layout (stride in the 3x3 convolution, explicit padding).

Output stride 16 and 8 replace the stride of the last one or two stages by dilation, in the meaning of torchvision's
`replace_stride_with_dilation` (DETR's DC5; `barrel_jax.backbones`): at stride 8 the two stages end with dilation 2 and
4. (The paper, section 4.3, says "stride 1 and dilation 2, following"
DETR.) The same is done for the basic blocks of the smaller ones, for which torchvision has no such option.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Real

from barrel_jax.arrays import AnyArray
from barrel_jax.backbones import RESNETS
from barrel_jax.models.windows import convolve, max_pool

he_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class FrozenBatchNorm(nn.Module):
    """Batch norm with given statistics and affine numbers, none of them trained (DETR's FrozenBatchNorm2d)."""

    dtype: Any

    @nn.compact
    def __call__(self, x: AnyArray) -> jax.Array:
        """[B, H, W, C] -> the same shape."""
        shape = (x.shape[-1],)
        scale = jax.lax.stop_gradient(self.param("scale", nn.initializers.ones, shape))
        bias = jax.lax.stop_gradient(self.param("bias", nn.initializers.zeros, shape))
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape).value
        variance = self.variable("batch_stats", "var", jnp.ones, shape).value
        factor = scale * jax.lax.rsqrt(variance + 1e-5)
        factor, offset = factor[None, None, None], (bias - mean * factor)[None, None, None]
        return x * factor.astype(self.dtype) + offset.astype(self.dtype)


class GroupedBatchNorm(nn.Module):
    """Batch norm in training whose statistics are those of `group` faces, whatever the batch (ghost batch norm).

    A group that lies on one device needs no all-reduce before the next layer, forward or backward: a batch of 16 on
    each of many chips trains like the paper's 16. Variables are those of flax.linen.BatchNorm; the moving averages
    take the mean over the groups.
    """

    group: int
    dtype: Any

    @nn.compact
    def __call__(self, x: AnyArray) -> jax.Array:
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
        mean.value = 0.9 * mean.value + 0.1 * own_mean.mean((0, 1, 2, 3))
        variance.value = 0.9 * variance.value + 0.1 * own_variance.mean((0, 1, 2, 3))
        scale, bias = scale[None, None, None, None], bias[None, None, None, None]
        y = (wide - own_mean) * (scale * jax.lax.rsqrt(own_variance + 1e-5)) + bias
        return y.astype(self.dtype).reshape(x.shape)


class ConvNorm(nn.Module):
    """Convolution without bias and its batch norm, named conv and norm; or, folded, one convolution with a bias."""

    features: int
    kernel: int
    norm: str
    dtype: Any
    stride: int = 1
    dilation: int = 1
    norm_group: int = 0

    @nn.compact
    def __call__(self, x: AnyArray, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, ceil(H / stride), ceil(W / stride), features]."""
        conv = nn.Conv(
            self.features,
            (self.kernel, self.kernel),
            strides=self.stride,
            padding=self.kernel // 2 * self.dilation,
            kernel_dilation=self.dilation,
            use_bias=self.norm == "folded",
            kernel_init=he_fan_out,
            dtype=self.dtype,
            conv_general_dilated=convolve if self.kernel == 3 else None,
            name="conv",
        )
        x = conv(x)
        if self.norm == "folded":
            return x
        if self.norm == "frozen":
            return FrozenBatchNorm(dtype=self.dtype, name="norm")(x)
        if self.norm_group and train:
            return GroupedBatchNorm(self.norm_group, dtype=self.dtype, name="norm")(x)
        return nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5, dtype=self.dtype, name="norm")(x)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (ResNet-10/18/34)."""

    channels: int
    stride: int
    dilation: int
    norm: str
    dtype: Any
    norm_group: int = 0
    expansion = 1

    @nn.compact
    def __call__(self, x: AnyArray, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, ceil(H / stride), ceil(W / stride), channels * expansion]."""
        kind = {"norm": self.norm, "dtype": self.dtype, "norm_group": self.norm_group}
        first: dict[str, Any] = {"stride": self.stride, "dilation": self.dilation}
        y = nn.relu(ConvNorm(self.channels, 3, **kind, **first, name="conv1")(x, train))
        y = ConvNorm(self.channels, 3, **kind, dilation=self.dilation, name="conv2")(y, train)
        if x.shape != y.shape:
            x = ConvNorm(self.channels, 1, **kind, stride=self.stride, name="downsample")(x, train)
        return nn.relu(x + y)


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride), 1x1 convolutions and a shortcut (ResNet-50/101)."""

    channels: int
    stride: int
    dilation: int
    norm: str
    dtype: Any
    norm_group: int = 0
    expansion = 4

    @nn.compact
    def __call__(self, x: AnyArray, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, ceil(H / stride), ceil(W / stride), channels * expansion]."""
        kind = {"norm": self.norm, "dtype": self.dtype, "norm_group": self.norm_group}
        middle: dict[str, Any] = {"stride": self.stride, "dilation": self.dilation}
        y = nn.relu(ConvNorm(self.channels, 1, **kind, name="conv1")(x, train))
        y = nn.relu(ConvNorm(self.channels, 3, **kind, **middle, name="conv2")(y, train))
        y = ConvNorm(self.channels * self.expansion, 1, **kind, name="conv3")(y, train)
        if x.shape != y.shape:
            x = ConvNorm(y.shape[-1], 1, **kind, stride=self.stride, name="downsample")(x, train)
        return nn.relu(x + y)


class ResNet(nn.Module):
    """The convolutional backbone.

    Attributes:
      layout: a key of `barrel_jax.backbones.RESNETS`.
      stride: of the output, 32, 16 or 8.
      norm: 'batch', 'frozen', or 'folded' for inference (`barrel_jax.models.folding`).
      dtype: compute type; parameters are float32.
      norm_group: faces that share a batch norm's statistics in training; 0 for the whole batch.
    """

    layout: str
    stride: int
    norm: str
    dtype: Any
    norm_group: int = 0

    @nn.compact
    def __call__(self, images: Real[AnyArray, "B H W 3"], train: bool) -> Float[Array, "B h w C"]:
        """Normalised images [B, H, W, 3] to features [B, ceil(H / stride), ceil(W / stride), C]."""
        plan = RESNETS[self.layout]
        block = Bottleneck if plan.bottleneck else BasicBlock
        kind = {"norm": self.norm, "dtype": self.dtype, "norm_group": self.norm_group}
        x = ConvNorm(plan.width, 7, **kind, stride=2, name="stem")(images.astype(self.dtype), train)
        x = max_pool(nn.relu(x))
        for stage in plan.stages(self.stride):
            for index in range(stage.blocks):
                x = block(
                    channels=stage.width,
                    stride=stage.stride if index == 0 else 1,
                    dilation=stage.first_dilation if index == 0 else stage.dilation,
                    **kind,
                    name=f"{stage.name}_{index}",
                )(x, train)
        return x
