# SPDX-License-Identifier: Apache-2.0
"""The backbone of a name: a ResNet or HRNet-W18."""

from typing import Any

from barrel_jax.models.hrnet import HRNet
from barrel_jax.models.resnet import ResNet


def make_backbone(
    layout: str, stride: int, norm: str, dtype: Any, norm_group: int = 0, name: str | None = None
) -> HRNet | ResNet:
    """HRNet-W18, whose stride is 4, or a ResNet; attributes are those of config.ModelConfig."""
    if layout == "hrnet_w18":
        return HRNet(norm, dtype, norm_group, name=name)
    return ResNet(layout, stride, norm, dtype, norm_group, name=name)
