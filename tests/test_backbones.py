# SPDX-License-Identifier: Apache-2.0
"""The table of backbones against the modules themselves."""

from collections import Counter

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from barrel_jax.backbones import BACKBONES, RESNETS, HRNetPlan, Stage
from barrel_jax.models.backbone import make_backbone
from barrel_jax.models.hrnet import HRNet
from barrel_jax.models.norms import GroupedBatchNorm
from barrel_jax.models.resnet import ResNet
from barrel_jax.paper import model_of, row


@pytest.mark.parametrize("name", BACKBONES)
def test_strides_and_channels_are_those_of_the_features(name):
    plan = BACKBONES[name]
    assert plan.name == name
    for stride in plan.strides:
        model = make_backbone(name, stride, "batch", jnp.float32)
        images = jax.ShapeDtypeStruct((1, 64, 96, 3), jnp.float32)
        features, _ = jax.eval_shape(
            lambda x, model=model: model.init_with_output(jax.random.key(0), x, train=False), images
        )
        assert features.shape == (1, 64 // stride, 96 // stride, plan.channels)


def test_stages_by_hand():
    """Dilation in the place of stride, as torchvision's `_make_layer` counts it with dilate."""
    assert RESNETS["resnet10"].stages(32) == (
        Stage("layer1", 1, 64, 64, 1, 1, 1),
        Stage("layer2", 1, 128, 128, 2, 1, 1),
        Stage("layer3", 1, 256, 256, 2, 1, 1),
        Stage("layer4", 1, 512, 512, 2, 1, 1),
    )
    assert [(stage.width, stage.channels) for stage in RESNETS["resnet10_w16"].stages(32)] == [
        (16, 16), (32, 32), (64, 64), (128, 128),
    ]  # fmt: skip
    third, fourth = RESNETS["resnet50"].stages(8)[2:]
    assert third == Stage("layer3", 6, 256, 1024, 1, 1, 2)
    assert fourth == Stage("layer4", 3, 512, 2048, 1, 2, 4)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_has_a_name_in_the_paper_and_back(name):
    one = row("BarrelNet", "wflw", name, stride=BACKBONES[name].strides[-1])
    assert model_of(one.label)["backbone"] == name and model_of(one.label) == one.model


def test_every_setting_is_handed_to_the_backbone():
    resnet = make_backbone("resnet18", 8, "frozen", jnp.bfloat16, 4, name="r")
    hrnet = make_backbone("hrnet_w18", 4, "frozen", jnp.bfloat16, 4, name="h")
    assert (resnet.layout, resnet.stride) == ("resnet18", 8) and hrnet.plan is BACKBONES["hrnet_w18"]
    for model, name in ((resnet, "r"), (hrnet, "h")):
        assert (model.norm, model.dtype, model.norm_group, model.name) == ("frozen", jnp.bfloat16, 4, name)


SHALLOW = HRNetPlan("shallow", "", branches=(8, 8, 8, 8), modules=(1, 1, 1), blocks=1)


@pytest.mark.parametrize(
    "model",
    [ResNet("resnet10", 32, "batch", jnp.float32, 2), HRNet("batch", jnp.float32, 2, SHALLOW)],
    ids=["resnet10", "hrnet"],
)
def test_a_group_is_that_of_every_norm(model):
    """In training no norm sees more faces than its group has."""
    kinds = Counter()

    def note(next_function, args, kwargs, context):
        if context.method_name == "__call__" and isinstance(context.module, nn.BatchNorm | GroupedBatchNorm):
            kinds[type(context.module), getattr(context.module, "group", None)] += 1
        return next_function(*args, **kwargs)

    images = jax.ShapeDtypeStruct((4, 64, 64, 3), jnp.float32)
    with nn.intercept_methods(note):
        jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x, train=True), images)
    assert list(kinds) == [(GroupedBatchNorm, 2)]
