# SPDX-License-Identifier: Apache-2.0
"""The backbones by name: strides, channels and stages.

This is what the Flax and the PyTorch model, the ONNX writer, the readers of weights and the config know of a backbone,
as timm's `feature_info` is there. A new size of a known kind is one line at the end of this file.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

EXPANSION = 4  # channels of a bottleneck's output for each of its 3x3 convolution's


@dataclass(frozen=True)
class Stage:
    """Residual blocks one after another."""

    name: str  # 'layer1'
    blocks: int
    width: int  # channels of the blocks' 3x3 convolutions
    channels: int  # of the output
    stride: int  # of the first block; the others have none
    first_dilation: int  # of the first block
    dilation: int  # of the others


@dataclass(frozen=True)
class BranchedStage:
    """High-resolution modules one after another, which begin with a new branch below those of the stage before."""

    name: str  # 'stage2'
    transition: str  # what the new branch comes from, 'transition1'
    modules: int
    channels: tuple[int, ...]  # of the branches; each has half the resolution of the one before


@dataclass(frozen=True)
class Backbone(ABC):
    """What is known of every backbone; whoever builds or writes one has a table from its class to what does that."""

    name: str  # in a config
    size: str  # the paper's word for it in the name of a model, such as 18 in BarrelNet-18
    width: int = field(default=64, kw_only=True)  # channels of the stem and of the first stage's 3x3 convolutions
    strides: ClassVar[tuple[int, ...]]  # of the output, one of which a model chooses
    divisor: ClassVar[int]  # of the images' sides
    classifier: ClassVar[str]  # a pattern of what a state dict holds beside the backbone

    @property
    @abstractmethod
    def channels(self) -> int:
        """Of the output."""

    @abstractmethod
    def stages(self, stride: int) -> tuple[Stage | BranchedStage, ...]:
        """The stages behind the stem (stride 4) of a backbone whose output has a stride."""


@dataclass(frozen=True)
class ResNetPlan(Backbone):
    """A ResNet of torchvision's v1.5 layout; the width doubles from stage to stage."""

    blocks: tuple[int, ...]  # of each stage
    bottleneck: bool  # 1x1, 3x3 and 1x1 convolutions in a block, or two of 3x3
    strides = (8, 16, 32)
    divisor = 1
    classifier = r"fc\.(weight|bias)$"

    @property
    def channels(self) -> int:
        """Of the output."""
        return self.stages(max(self.strides))[-1].channels

    def stages(self, stride: int) -> tuple[Stage, ...]:
        """The stages behind the stem (stride 4) of a backbone whose output has a stride.

        Where that is reached, dilation takes the place of the strides of the later stages, and the first block of a
        stage keeps the dilation of the stage before it (torchvision's `replace_stride_with_dilation`).
        """
        stages, reached, dilation = [], 4, 1
        for index, blocks in enumerate(self.blocks):
            step, first_dilation = 1 if index == 0 else 2, dilation
            if step == 2 and reached == stride:
                step, dilation = 1, dilation * 2
            reached *= step
            width = self.width * 2**index
            channels = width * (EXPANSION if self.bottleneck else 1)
            stages.append(Stage(f"layer{index + 1}", blocks, width, channels, step, first_dilation, dilation))
        return tuple(stages)


@dataclass(frozen=True)
class HRNetPlan(Backbone):
    """An HRNet with the HRNetV2 head: all branches brought to the resolution of the first, and concatenated."""

    branches: tuple[int, ...]  # channels at stride 4, 8, 16, 32
    modules: tuple[int, ...]  # of the stages of two, three, four branches
    blocks: int  # of the first stage, and of every branch of a module
    strides = (4,)
    divisor = 32
    classifier = r"(incre_modules|downsamp_modules|final_layer|classifier)\."

    @property
    def channels(self) -> int:
        """Of the output."""
        return sum(self.branches)

    def stages(self, stride: int = 4) -> tuple[Stage, *tuple[BranchedStage, ...]]:
        """The stages behind the stem, of which the first is of bottlenecks; they are the same for any stride."""
        del stride
        first = Stage("layer1", self.blocks, self.width, EXPANSION * self.width, 1, 1, 1)
        branched = (
            BranchedStage(f"stage{number}", f"transition{number - 1}", modules, self.branches[:number])
            for number, modules in enumerate(self.modules, start=2)
        )
        return first, *branched


RESNETS = {
    plan.name: plan
    for plan in (
        ResNetPlan("resnet10_w16", "10-w16", (1, 1, 1, 1), bottleneck=False, width=16),
        ResNetPlan("resnet10", "10", (1, 1, 1, 1), bottleneck=False),
        ResNetPlan("resnet18", "18", (2, 2, 2, 2), bottleneck=False),
        ResNetPlan("resnet34", "34", (3, 4, 6, 3), bottleneck=False),
        ResNetPlan("resnet50", "50", (3, 4, 6, 3), bottleneck=True),
        ResNetPlan("resnet101", "101", (3, 4, 23, 3), bottleneck=True),
    )
}
HRNET_W18 = HRNetPlan("hrnet_w18", "HRNet", branches=(18, 36, 72, 144), modules=(1, 4, 3), blocks=4)
BACKBONES: dict[str, Backbone] = {**RESNETS, HRNET_W18.name: HRNET_W18}
