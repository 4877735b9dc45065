# SPDX-License-Identifier: Apache-2.0
"""ResNets in torchvision's v1.5 layout (stride in the 3x3 convolution, explicit padding).

Output stride 16 and 8 replace the stride of the last one or two stages by dilation, in the meaning of torchvision's
`replace_stride_with_dilation` (DETR's DC5; `barrel_jax.backbones`): at stride 8 the two stages end with dilation 2 and
4. The paper (section 4.3) follows DETR with "stride 1 and dilation 2". The same is done for the basic blocks of the
smaller ResNets, for which torchvision has no such option.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float, Real

from barrel_jax.arrays import AnyArray
from barrel_jax.backbones import EXPANSION, RESNETS
from barrel_jax.models.norms import EPSILON, FrozenBatchNorm, GroupedBatchNorm
from barrel_jax.models.windows import convolve, max_pool

he_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


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
    def __call__(self, x: Float[AnyArray, "B H W C"], *, train: bool) -> Float[Array, "B h w {self.features}"]:
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
        return nn.BatchNorm(not train, momentum=0.9, epsilon=EPSILON, dtype=self.dtype, name="norm")(x)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (ResNet-10/18/34)."""

    channels: int
    stride: int
    dilation: int
    conv_norm: Callable[..., ConvNorm]
    expansion = 1

    @nn.compact
    def __call__(self, x: Float[AnyArray, "B H W C"], *, train: bool) -> Float[Array, "B h w {self.channels}"]:
        """[B, H, W, C] -> [B, ceil(H / stride), ceil(W / stride), channels * expansion]."""
        first = self.conv_norm(self.channels, 3, stride=self.stride, dilation=self.dilation, name="conv1")
        y = nn.relu(first(x, train=train))
        y = self.conv_norm(self.channels, 3, dilation=self.dilation, name="conv2")(y, train=train)
        if x.shape != y.shape:
            x = self.conv_norm(self.channels, 1, stride=self.stride, name="downsample")(x, train=train)
        return nn.relu(x + y)


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride), 1x1 convolutions and a shortcut (ResNet-50/101)."""

    channels: int
    stride: int
    dilation: int
    conv_norm: Callable[..., ConvNorm]
    expansion = EXPANSION

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "B H W C"], *, train: bool
    ) -> Float[Array, "B h w {self.channels*self.expansion}"]:
        """[B, H, W, C] -> [B, ceil(H / stride), ceil(W / stride), channels * expansion]."""
        middle = self.conv_norm(self.channels, 3, stride=self.stride, dilation=self.dilation, name="conv2")
        y = nn.relu(self.conv_norm(self.channels, 1, name="conv1")(x, train=train))
        y = nn.relu(middle(y, train=train))
        y = self.conv_norm(self.channels * self.expansion, 1, name="conv3")(y, train=train)
        if x.shape != y.shape:
            x = self.conv_norm(y.shape[-1], 1, stride=self.stride, name="downsample")(x, train=train)
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
    def __call__(self, images: Real[AnyArray, "B H W 3"], *, train: bool) -> Float[Array, "B h w C"]:
        """Normalised images [B, H, W, 3] to features [B, ceil(H / stride), ceil(W / stride), C]."""
        plan = RESNETS[self.layout]
        conv_norm = partial(ConvNorm, norm=self.norm, dtype=self.dtype, norm_group=self.norm_group)
        block = partial(Bottleneck if plan.bottleneck else BasicBlock, conv_norm=conv_norm)
        x = conv_norm(plan.width, 7, stride=2, name="stem")(images.astype(self.dtype), train=train)
        x = max_pool(nn.relu(x))
        for stage in plan.stages(self.stride):
            for index in range(stage.blocks):
                x = block(
                    channels=stage.width,
                    stride=stage.stride if index == 0 else 1,
                    dilation=stage.first_dilation if index == 0 else stage.dilation,
                    name=f"{stage.name}_{index}",
                )(x, train=train)
        return x
