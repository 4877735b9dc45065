# SPDX-License-Identifier: Apache-2.0
"""HRNet with the HRNetV2 head (Wang et al., "Deep High-Resolution Representation Learning"; BarrelNet section 4.3).

The layout is that of the ImageNet classification network (github.com/HRNet/HRNet-Image-Classification, timm's
`hrnet_w18`) up to its four branches, so that its weights fit: branches are fused by nearest up-sampling. The head has
no weights: the branches are brought to stride 4 by bilinear up-sampling and concatenated.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Real

from barrel_jax.arrays import AnyArray
from barrel_jax.backbones import HRNET_W18, HRNetPlan
from barrel_jax.models.resnet import BasicBlock, Bottleneck, ConvNorm


class HighResolutionModule(nn.Module):
    """Basic blocks on every branch; then each branch becomes the sum of all, brought to its resolution.

    Down by a chain of 3x3 convolutions of stride 2, up by a 1x1 convolution and nearest up-sampling.
    """

    channels: tuple[int, ...]  # of the branches
    blocks: int  # on each
    conv_norm: Callable[..., ConvNorm]

    @nn.compact
    def __call__(
        self, branches: list[Float[AnyArray, "B _h _w _c"]], *, train: bool
    ) -> list[Float[Array, "B _h _w _c"]]:
        """Branches [B, H / 2^i, W / 2^i, channels[i]] -> the same shapes."""
        branches = list(branches)
        for i, channels in enumerate(self.channels):
            for index in range(self.blocks):
                block = BasicBlock(channels, 1, 1, self.conv_norm, name=f"branch{i}_{index}")
                branches[i] = block(branches[i], train=train)

        def brought(x: AnyArray, j: int, i: int) -> jax.Array:
            if j > i:
                x = self.conv_norm(self.channels[i], 1, name=f"fuse{i}_{j}")(x, train=train)
                x = x.repeat(2 ** (j - i), axis=1).repeat(2 ** (j - i), axis=2)
            for step in range(i - j):
                last = step == i - j - 1
                channels = self.channels[i if last else j]
                x = self.conv_norm(channels, 3, stride=2, name=f"fuse{i}_{j}_{step}")(x, train=train)
                x = x if last else nn.relu(x)
            return x

        return [nn.relu(sum(brought(x, j, i) for j, x in enumerate(branches))) for i in range(len(branches))]


class HRNet(nn.Module):
    """HRNet as a backbone of stride 4.

    Attributes:
        norm: 'batch', 'frozen', or 'folded' (no norm: it is in the convolutions, `models.folding`).
        dtype: compute type; parameters are float32.
        norm_group: faces that share a batch norm's statistics in training; 0 for the whole batch.
        plan: its stages and branches.
    """

    norm: str
    dtype: Any
    norm_group: int = 0
    plan: HRNetPlan = HRNET_W18

    @nn.compact
    def __call__(self, images: Real[AnyArray, "B H W 3"], *, train: bool) -> Float[Array, "B h w C"]:
        """Normalised images [B, H, W, 3] to features [B, H / 4, W / 4, C], 270 channels in HRNet-W18.

        Raises:
            ValueError: H or W does not divide by 32, so that the branches' grids do not lie on each other.
        """
        _, height, width, _ = images.shape
        plan = self.plan
        if height % plan.divisor or width % plan.divisor:
            raise ValueError(f"HRNet needs images whose sides divide by {plan.divisor}, not {height} x {width}")
        conv_norm = partial(ConvNorm, norm=self.norm, dtype=self.dtype, norm_group=self.norm_group)
        first, *branched = plan.stages()
        x = nn.relu(conv_norm(plan.width, 3, stride=2, name="stem1")(images.astype(self.dtype), train=train))
        x = nn.relu(conv_norm(plan.width, 3, stride=2, name="stem2")(x, train=train))
        for index in range(first.blocks):
            x = Bottleneck(first.width, 1, 1, conv_norm, name=f"{first.name}_{index}")(x, train=train)
        branches, lowest = [nn.relu(conv_norm(plan.branches[0], 3, name="transition1_0")(x, train=train))], x
        for stage in branched:
            name = f"{stage.transition}_{len(branches)}_0"
            branches.append(nn.relu(conv_norm(stage.channels[-1], 3, stride=2, name=name)(lowest, train=train)))
            for index in range(stage.modules):
                module = HighResolutionModule(stage.channels, plan.blocks, conv_norm, name=f"{stage.name}_{index}")
                branches = module(branches, train=train)
            lowest = branches[-1]
        size = branches[0].shape[:3]
        raised = [jax.image.resize(y, (*size, y.shape[-1]), "bilinear") for y in branches[1:]]
        return jnp.concatenate([branches[0], *raised], axis=-1)
