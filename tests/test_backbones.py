# SPDX-License-Identifier: Apache-2.0
"""What the backbones say of themselves is what they are."""

import jax
import jax.numpy as jnp
import pytest

from barrel_jax.backbones import BACKBONES, RESNETS, Stage
from barrel_jax.models.backbone import make_backbone
from barrel_jax.paper import model_of, row


@pytest.mark.parametrize("name", BACKBONES)
def test_strides_and_channels_are_those_of_the_features(name):
    plan = BACKBONES[name]
    assert plan.name == name
    for stride in plan.strides:
        model = make_backbone(name, stride, "batch", jnp.float32)
        images = jax.ShapeDtypeStruct((1, 64, 96, 3), jnp.float32)
        features, _ = jax.eval_shape(lambda x, model=model: model.init_with_output(jax.random.key(0), x, False), images)
        assert features.shape == (1, 64 // stride, 96 // stride, plan.channels)


def test_stages_by_hand():
    """Dilation in the place of stride, as torchvision's `_make_layer` counts it with dilate."""
    assert RESNETS["resnet10"].stages(32) == (
        Stage("layer1", 1, 64, 64, 1, 1, 1),
        Stage("layer2", 1, 128, 128, 2, 1, 1),
        Stage("layer3", 1, 256, 256, 2, 1, 1),
        Stage("layer4", 1, 512, 512, 2, 1, 1),
    )
    third, fourth = RESNETS["resnet50"].stages(8)[2:]
    assert third == Stage("layer3", 6, 256, 1024, 1, 1, 2)
    assert fourth == Stage("layer4", 3, 512, 2048, 1, 2, 4)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_has_a_name_in_the_paper_and_back(name):
    one = row("BarrelNet", "wflw", name, stride=BACKBONES[name].strides[-1])
    assert model_of(one.label)["backbone"] == name and model_of(one.label) == one.model
