# SPDX-License-Identifier: Apache-2.0
"""Weights between PyTorch and Flax: there and back bit for bit, and no name is passed over."""

import copy
from functools import partial

from tests.kit.needs_torch import torch

import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from barrel_jax.config import ModelConfig
from barrel_jax.pretrained import torch_names
from barrel_jax.pytorch.barrelnet import build_model
from barrel_jax.pytorch.hrnet import HRNet
from barrel_jax.pytorch.resnet import ResNet
from barrel_jax.pytorch.transformer import EncoderLayer
from barrel_jax.pytorch.weights import from_flax, to_flax
from tests.kit import torch_reference as reference

FULL = {"encoder_layers": 1, "decoder_layers": 2, "dqinit": True, "qamem_layers": 2}
PLAIN = {"encoder_layers": 0, "decoder_layers": 0, "dqinit": False, "qamem_layers": 0}


def model(seed, **fields):
    config = ModelConfig(width=16, heads=2, feedforward=24, **fields)
    return reference.randomise(build_model(config, 3, 64), seed)


@pytest.mark.parametrize(
    "fields",
    [FULL, PLAIN, FULL | {"backbone": "resnet50", "stride": 8}, FULL | {"backbone": "resnet10"}],
    ids=["full", "plain", "resnet50", "resnet10"],
)
def test_there_and_back_is_bit_exact(fields):
    first, second = model(1, **fields), model(2, **fields)
    count = second.backbone.bn1.num_batches_tracked.clone()
    from_flax(to_flax(first), second)
    wanted, found = first.state_dict(), second.state_dict()
    assert wanted.keys() == found.keys()
    for name, tensor in wanted.items():
        assert torch.equal(found[name], tensor), name
    assert second.backbone.bn1.num_batches_tracked == count


@pytest.mark.parametrize(
    "make", [partial(ResNet, "resnet18", 32), partial(ResNet, "resnet50", 32), HRNet], ids=["18", "50", "hrnet"]
)
def test_backbones_have_the_names_that_files_are_read_by(make):
    """pretrained.torch_names goes from Flax's names to torchvision's and timm's, flax_views from module to module."""
    backbone = reference.randomise(make(), 1)
    expected = {name: t for name, t in backbone.state_dict().items() if not name.endswith("num_batches_tracked")}
    found = torch_names.to_torch(to_flax(backbone))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor, err_msg=name)


def test_variables_are_copies():
    ours = model(1, **FULL)
    variables = to_flax(ours)
    before = variables["params"]["head"]["layer1"]["kernel"].copy()
    with torch.no_grad():
        ours.head.layer1.weight.zero_()
    np.testing.assert_array_equal(variables["params"]["head"]["layer1"]["kernel"], before)


def test_variables_that_do_not_fit_are_refused_by_name_and_change_nothing():
    ours = model(1, **FULL)
    before = copy.deepcopy(ours.state_dict())
    leaves = flatten_dict(to_flax(model(2, **FULL)), sep="/")
    del leaves["batch_stats/backbone/stem/norm/var"]
    leaves["params/decoder2/norm1/scale"] = np.ones(16, np.float32)
    leaves["params/dqinit/dense/kernel"] = leaves["params/dqinit/dense/kernel"].T
    message = (
        "make it with the same config: missing: batch_stats/backbone/stem/norm/var; "
        r"extra: params/decoder2/norm1/scale; of another shape: params/dqinit/dense/kernel \(48, 16\), not \(16, 48\)$"
    )
    with pytest.raises(ValueError, match=message):
        from_flax(unflatten_dict(leaves, sep="/"), ours)
    for name, tensor in ours.state_dict().items():
        assert torch.equal(before[name], tensor), name


def test_modules_and_tensors_without_a_flax_name_are_refused():
    ours = model(1, **FULL)
    ours.decoder[0].scale = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match=r"BarrelNet: flax_views has no names for decoder\.0\.scale"):
        to_flax(ours)
    with pytest.raises(ValueError, match=r"BarrelNet: flax_views has no names for decoder\.0\.scale"):
        from_flax(to_flax(model(2, **FULL)), ours)
    ours.backbone = torch.nn.Bilinear(2, 2, 2)
    with pytest.raises(ValueError, match=r"Bilinear: no Flax names are known"):
        to_flax(ours)


def test_a_part_has_its_own_variables():
    layer = EncoderLayer(16, 2, 24, 0.1)
    variables = to_flax(layer)
    assert variables.keys() == {"params"}
    assert variables["params"].keys() == {"self_attention", "norm1", "norm2", "feedforward"}
    np.testing.assert_array_equal(
        variables["params"]["feedforward"]["linear1"]["kernel"].T, layer.linear1.weight.detach()
    )
