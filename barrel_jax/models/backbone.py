# SPDX-License-Identifier: Apache-2.0
"""The module of a backbone by its name in the config: a ResNet or an HRNet."""

from collections.abc import Callable
from typing import Any

from barrel_jax.backbones import BACKBONES, Backbone, HRNetPlan, ResNetPlan
from barrel_jax.models.hrnet import HRNet
from barrel_jax.models.resnet import ResNet


def make_backbone(
    backbone: str, stride: int, norm: str, dtype: Any, norm_group: int = 0, name: str | None = None
) -> HRNet | ResNet:
    """An HRNet, which has one stride, or a ResNet; attributes are those of config.ModelConfig.

    Raises:
        ValueError: there is no backbone of that name, or it has no such stride.
    """
    if backbone not in BACKBONES:
        raise ValueError(f"backbone={backbone!r} is none of {', '.join(BACKBONES)}")
    plan = BACKBONES[backbone]
    if stride not in plan.strides:
        raise ValueError(f"stride={stride} with {plan.name} is not {' or '.join(map(str, plan.strides))}")
    return BUILDERS[type(plan)](plan, stride, norm, dtype, norm_group, name)


def _resnet(plan: ResNetPlan, stride: int, norm: str, dtype: Any, norm_group: int, name: str | None) -> ResNet:
    return ResNet(plan.name, stride, norm, dtype, norm_group, name=name)


def _hrnet(plan: HRNetPlan, _: int, norm: str, dtype: Any, norm_group: int, name: str | None) -> HRNet:
    return HRNet(norm, dtype, norm_group, plan, name=name)


BUILDERS: dict[type[Backbone], Callable[..., HRNet | ResNet]] = {ResNetPlan: _resnet, HRNetPlan: _hrnet}
