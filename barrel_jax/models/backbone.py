# SPDX-License-Identifier: Apache-2.0
"""The module of a backbone by its name in the config: a ResNet or an HRNet."""

from typing import Any

from barrel_jax.backbones import BACKBONES, HRNetPlan
from barrel_jax.models.hrnet import HRNet
from barrel_jax.models.resnet import ResNet


def make_backbone(
    backbone: str, stride: int, norm: str, dtype: Any, norm_group: int = 0, name: str | None = None
) -> HRNet | ResNet:
    """An HRNet, which has one stride, or a ResNet; attributes are those of config.ModelConfig.

    Raises:
      ValueError: there is no backbone of that name, or no ResNet of that stride.
    """
    if backbone not in BACKBONES:
        raise ValueError(f"backbone={backbone!r} is none of {', '.join(BACKBONES)}")
    plan = BACKBONES[backbone]
    if isinstance(plan, HRNetPlan):
        return HRNet(norm, dtype, norm_group, plan, name=name)
    if stride not in plan.strides:
        raise ValueError(f"stride={stride} with {backbone} is not {' or '.join(map(str, plan.strides))}")
    return ResNet(backbone, stride, norm, dtype, norm_group, name=name)
