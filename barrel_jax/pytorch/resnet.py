# SPDX-License-Identifier: Apache-2.0
"""ResNet-18/34/50/101 in PyTorch with torchvision's layout and names (v1.5), so that its state dicts fit.

Stride 16 and 8 are torchvision's `replace_stride_with_dilation`, here for basic blocks as well.
"""

import torch
import torch.nn.functional as F
from torch import nn


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
    """Two 3x3 convolutions and a shortcut (ResNet-18/34)."""

    expansion = 1

    def __init__(
        self,
        inputs: int,
        planes: int,
        stride: int,
        dilation: int,
        downsample: nn.Module | None,
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

    expansion = 4

    def __init__(
        self,
        inputs: int,
        planes: int,
        stride: int,
        dilation: int,
        downsample: nn.Module | None,
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


# Blocks per stage, and their kind.
LAYOUTS: dict[str, tuple[tuple[int, ...], type[BasicBlock] | type[Bottleneck]]] = {
    "resnet18": ((2, 2, 2, 2), BasicBlock),
    "resnet34": ((3, 4, 6, 3), BasicBlock),
    "resnet50": ((3, 4, 6, 3), Bottleneck),
    "resnet101": ((3, 4, 23, 3), Bottleneck),
}


class ResNet(nn.Module):
    """torchvision's ResNet without its pooling and classifier.

    Args:
      layout: a key of LAYOUTS.
      stride: of the output, 32, 16 or 8.
      norm: 'batch' or 'frozen'.

    Attributes:
      channels: of the output.

    Raises:
      ValueError: when an argument is none of these.
    """

    def __init__(self, layout: str, stride: int, norm: str = "batch") -> None:
        super().__init__()
        for name, value, known in (("layout", layout, LAYOUTS), ("stride", stride, (32, 16, 8)), ("norm", norm, NORMS)):
            if value not in known:
                raise ValueError(f"ResNet: {name}={value!r} is none of {', '.join(map(str, known))}")
        blocks, self.block = LAYOUTS[layout]
        self.norm = NORMS[norm]
        self.channels, self.dilation = 64, 1
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = self.norm(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = self._stage(blocks[0], 64, 1, dilate=False)
        self.layer2 = self._stage(blocks[1], 128, 2, dilate=False)
        self.layer3 = self._stage(blocks[2], 256, 2, dilate=stride < 16)
        self.layer4 = self._stage(blocks[3], 512, 2, dilate=stride < 32)
        for conv in (module for module in self.modules() if isinstance(module, nn.Conv2d)):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")

    def _stage(self, count: int, planes: int, stride: int, *, dilate: bool) -> nn.Sequential:
        first_dilation = self.dilation
        if dilate:
            self.dilation *= stride
            stride = 1
        inputs, self.channels = self.channels, planes * self.block.expansion
        downsample = None
        if stride != 1 or inputs != self.channels:
            conv = nn.Conv2d(inputs, self.channels, 1, stride, bias=False)
            downsample = nn.Sequential(conv, self.norm(self.channels))
        blocks = [self.block(inputs, planes, stride, first_dilation, downsample, self.norm)]
        blocks += [self.block(self.channels, planes, 1, self.dilation, None, self.norm) for _ in range(count - 1)]
        return nn.Sequential(*blocks)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised images [B, 3, H, W] -> features [B, C, ceil(H / stride), ceil(W / stride)]."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(images)), inplace=True))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))
