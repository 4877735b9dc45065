# SPDX-License-Identifier: Apache-2.0
"""HRNet in PyTorch with the parameter names of timm's `hrnet_w18`, so that its state dicts fit but for the head.

Four branches as in the ImageNet classification network (github.com/HRNet/HRNet-Image-Classification), its classifier
replaced by the HRNetV2 head, which has no weights: bilinear up-sampling to stride 4 and concatenation.
"""

from functools import reduce

import torch
import torch.nn.functional as F
from torch import nn

from barrel_jax.backbones import HRNET_W18, HRNetPlan
from barrel_jax.pytorch.resnet import NORMS, BasicBlock, Bottleneck

Norm = type[nn.BatchNorm2d]


def conv_norm(
    inputs: int, outputs: int, kernel: int, norm: Norm, *, stride: int = 1, relu: bool = True
) -> list[nn.Module]:
    """Convolution, batch norm and perhaps ReLU, for an nn.Sequential."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return [conv, norm(outputs), *([nn.ReLU(inplace=True)] if relu else [])]


class HighResolutionModule(nn.Module):
    """Basic blocks on every branch; then each branch becomes the sum of all, brought to its resolution."""

    def __init__(self, channels: tuple[int, ...], blocks: int, norm: Norm) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width, width, 1, 1, None, norm) for _ in range(blocks))) for width in channels
        )
        count = len(channels)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(self._way(j, i, channels, norm) for j in range(count)) for i in range(count)
        )

    @staticmethod
    def _way(j: int, i: int, channels: tuple[int, ...], norm: Norm) -> nn.Module:
        # From the channels and the grid of branch j to those of branch i.
        here, there = channels[j], channels[i]
        if j == i:
            return nn.Identity()
        if j > i:
            raised = nn.Upsample(scale_factor=2 ** (j - i), mode="nearest")
            return nn.Sequential(*conv_norm(here, there, 1, norm, relu=False), raised)
        between = [nn.Sequential(*conv_norm(here, here, 3, norm, stride=2)) for _ in range(i - j - 1)]
        return nn.Sequential(*between, nn.Sequential(*conv_norm(here, there, 3, norm, stride=2, relu=False)))

    def forward(self, branches: list[torch.Tensor]) -> list[torch.Tensor]:
        """[B, channels[i], H / 2^i, W / 2^i] each -> the same shapes."""
        branches = [blocks(x) for blocks, x in zip(self.branches, branches, strict=True)]
        resized = ((way(x) for way, x in zip(ways.children(), branches, strict=True)) for ways in self.fuse_layers)
        return [F.relu(reduce(torch.add, terms)) for terms in resized]


class HRNet(nn.Module):
    """HRNet as a backbone of stride 4.

    Args:
        norm: 'batch' or 'frozen'.
        plan: its stages and branches.

    Attributes:
        channels: of the output.
    """

    # Set by the names that the plan has for them.
    transition1: nn.ModuleList
    stage2: nn.Sequential
    transition2: nn.ModuleList
    stage3: nn.Sequential
    transition3: nn.ModuleList
    stage4: nn.Sequential

    def __init__(self, norm: str = "batch", plan: HRNetPlan = HRNET_W18) -> None:
        super().__init__()
        kind = NORMS[norm]
        self.channels = plan.channels
        stem, (first, *branched) = plan.width, plan.stages()
        self.conv1, self.bn1, _ = conv_norm(3, stem, 3, kind, stride=2)
        self.conv2, self.bn2, _ = conv_norm(stem, stem, 3, kind, stride=2)
        widen = nn.Sequential(*conv_norm(stem, first.channels, 1, kind, relu=False))
        others = (Bottleneck(first.channels, first.width, 1, 1, None, kind) for _ in range(first.blocks - 1))
        self.layer1 = nn.Sequential(Bottleneck(stem, first.width, 1, 1, widen, kind), *others)
        lowest = first.channels
        kept: list[nn.Module] = [nn.Sequential(*conv_norm(lowest, plan.branches[0], 3, kind))]
        for stage in branched:
            lower = nn.Sequential(nn.Sequential(*conv_norm(lowest, stage.channels[-1], 3, kind, stride=2)))
            setattr(self, stage.transition, nn.ModuleList([*kept, lower]))
            modules = (HighResolutionModule(stage.channels, plan.blocks, kind) for _ in range(stage.modules))
            setattr(self, stage.name, nn.Sequential(*modules))
            kept, lowest = [nn.Identity() for _ in stage.channels], stage.channels[-1]
        for conv in (module for module in self.modules() if isinstance(module, nn.Conv2d)):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised images [B, 3, H, W], sides that divide by 32 -> features [B, C, H / 4, W / 4]."""
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)
        x = self.layer1(F.relu(self.bn2(self.conv2(x)), inplace=True))
        branches = self.stage2([transition(x) for transition in self.transition1])
        branches = self.stage3([*branches, self.transition2[-1](branches[-1])])
        branches = self.stage4([*branches, self.transition3[-1](branches[-1])])
        size = branches[0].shape[2:]
        raised = [F.interpolate(y, size, mode="bilinear", align_corners=False) for y in branches[1:]]
        return torch.cat([branches[0], *raised], dim=1)
