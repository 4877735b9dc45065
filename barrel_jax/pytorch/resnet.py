# SPDX-License-Identifier: Apache-2.0
"""ResNets in PyTorch with torchvision's layout and names (v1.5), so that its state dicts fit.

Stride 16 and 8 are torchvision's `replace_stride_with_dilation`, here for basic blocks as well.
"""

import torch
import torch.nn.functional as F
from torch import nn

from barrel_jax.backbones import EXPANSION, RESNETS, Stage


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with given statistics and affine numbers, none of them trained (DETR's FrozenBatchNorm2d)."""

    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> the same shape, in training as in evaluation."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


NORMS = {"batch": nn.BatchNorm2d, "frozen": FrozenBatchNorm2d}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (ResNet-10/18/34)."""

    expansion = 1

    def __init__(
        self,
        inputs: int,
        planes: int,
        stride: int,
        dilation: int,
        downsample: nn.Sequential | None,
        norm: type[nn.BatchNorm2d],
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.bn1 = norm(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = norm(planes)
        self.downsample = downsample

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> [B, planes, ceil(H / stride), ceil(W / stride)]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)).add_(shortcut), inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride), 1x1 convolutions and a shortcut (ResNet-50/101)."""

    expansion = EXPANSION

    def __init__(
        self,
        inputs: int,
        planes: int,
        stride: int,
        dilation: int,
        downsample: nn.Sequential | None,
        norm: type[nn.BatchNorm2d],
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = norm(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = norm(planes)
        self.conv3 = nn.Conv2d(planes, planes * self.expansion, 1, bias=False)
        self.bn3 = norm(planes * self.expansion)
        self.downsample = downsample

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> [B, 4 planes, ceil(H / stride), ceil(W / stride)]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)).add_(shortcut), inplace=True)


class ResNet(nn.Module):
    """torchvision's ResNet without its pooling and classifier.

    Args:
        layout: a key of `barrel_jax.backbones.RESNETS`.
        stride: of the output, 32, 16 or 8.
        norm: 'batch' or 'frozen'.

    Attributes:
        channels: of the output.

    Raises:
        ValueError: when an argument is none of these.
    """

    def __init__(self, layout: str, stride: int, norm: str = "batch") -> None:
        super().__init__()
        if layout not in RESNETS:
            raise ValueError(f"ResNet: layout={layout!r} is none of {', '.join(RESNETS)}")
        plan = RESNETS[layout]
        for name, value, known in (("stride", stride, plan.strides), ("norm", norm, NORMS)):
            if value not in known:
                raise ValueError(f"ResNet: {name}={value!r} is none of {', '.join(map(str, known))}")
        self.block = Bottleneck if plan.bottleneck else BasicBlock
        self.norm, self.channels = NORMS[norm], plan.width
        self.conv1 = nn.Conv2d(3, plan.width, 7, stride=2, padding=3, bias=False)
        self.bn1 = self.norm(plan.width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1, self.layer2, self.layer3, self.layer4 = map(self._stage, plan.stages(stride))
        for conv in (module for module in self.modules() if isinstance(module, nn.Conv2d)):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")

    def _stage(self, stage: Stage) -> nn.Sequential:
        inputs, self.channels = self.channels, stage.channels
        downsample = None
        if stage.stride != 1 or inputs != stage.channels:
            conv = nn.Conv2d(inputs, stage.channels, 1, stage.stride, bias=False)
            downsample = nn.Sequential(conv, self.norm(stage.channels))
        first = self.block(inputs, stage.width, stage.stride, stage.first_dilation, downsample, self.norm)
        others = (
            self.block(stage.channels, stage.width, 1, stage.dilation, None, self.norm) for _ in range(stage.blocks - 1)
        )
        return nn.Sequential(first, *others)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised images [B, 3, H, W] -> features [B, C, ceil(H / stride), ceil(W / stride)]."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(images)), inplace=True))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))
