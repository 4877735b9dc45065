# SPDX-License-Identifier: Apache-2.0
"""HRNet-W18 against PyTorch's numbers with the same weights, timm's names, and the images that it takes."""

from functools import cache, partial

from tests.kit.needs_torch import torch

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torch import nn

from barrel_jax.backbones import HRNetPlan
from barrel_jax.config import Config
from barrel_jax.models import hrnet
from barrel_jax.models.build import build_model
from barrel_jax.models.hrnet import HRNet
from barrel_jax.models.resnet import ConvNorm
from barrel_jax.pretrained import torch_names
from barrel_jax.pytorch import hrnet as torch_hrnet
from tests.kit import hrnet_reference
from tests.kit import torch_reference as reference
from tests.kit.torch_reference import images, nchw, nhwc


@cache
def abstract(model, *size, capture=False):
    """Shapes and types of a model's output and variables; with `capture` also of the outputs of its modules."""
    x = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)

    def init(key, x):
        return model.init_with_output(key, x, train=False, mutable=True, capture_intermediates=capture)

    return jax.eval_shape(init, jax.random.key(0), x)


@cache
def torch_network():
    """HRNet-W18 in PyTorch, its shapes alone."""
    with torch.device("meta"):
        return torch_hrnet.HRNet()


def flax_weights(model, variables):
    return torch_names.to_flax(
        {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}, variables
    )


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_backbone_is_timms_less_its_classifier():
    """timm publishes 21,299,004 parameters, in 1830 entries of the backbone and 126 of the classifier."""
    with torch.device("meta"):
        model, classifier = torch_network(), hrnet_reference.Classifier()
    assert count(model) == 9_562_260
    assert count(model) + count(classifier) == 21_299_004
    assert (len(model.state_dict()), len(classifier.state_dict())) == (1830, 126)


def test_weights_have_timms_names_and_shapes():
    state = {name: tuple(tensor.shape) for name, tensor in torch_network().state_dict().items()}
    # Written by hand from timm's hrnet.py.
    by_hand = {
        "conv2.weight": (64, 64, 3, 3),
        "bn2.running_var": (64,),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer1.3.bn3.bias": (256,),
        "transition1.0.0.weight": (18, 256, 3, 3),
        "transition1.1.0.1.running_mean": (36,),
        "transition2.2.0.0.weight": (72, 36, 3, 3),
        "transition3.3.0.1.weight": (144,),
        "stage2.0.branches.1.3.conv2.weight": (36, 36, 3, 3),
        "stage3.3.fuse_layers.0.2.0.weight": (18, 72, 1, 1),
        "stage4.2.fuse_layers.2.3.1.running_var": (72,),
        "stage4.2.fuse_layers.3.0.0.0.weight": (18, 18, 3, 3),
        "stage4.2.fuse_layers.3.0.2.0.weight": (144, 18, 3, 3),
        "stage4.2.fuse_layers.3.0.2.1.bias": (144,),
    }
    assert by_hand.items() <= state.items()
    _, variables = abstract(HRNet("batch", jnp.float32), 32, 32)
    ours = torch_names.torch_shapes(variables)
    assert ours == {name: shape for name, shape in state.items() if not name.endswith("num_batches_tracked")}
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 9_562_260


def test_stem_and_first_stage_have_the_widths_that_the_backbone_says():
    narrow = HRNetPlan("narrow", "", branches=(8, 8, 8, 8), modules=(1, 1, 1), blocks=1, width=16)
    with torch.device("meta"):
        state = {name: tuple(tensor.shape) for name, tensor in torch_hrnet.HRNet(plan=narrow).state_dict().items()}
    shapes = torch_names.torch_shapes(abstract(HRNet("batch", jnp.float32, plan=narrow), 32, 32)[1])
    assert shapes == {name: shape for name, shape in state.items() if not name.endswith("num_batches_tracked")}
    by_hand = {
        "conv1.weight": (16, 3, 3, 3),
        "conv2.weight": (16, 16, 3, 3),
        "layer1.0.conv2.weight": (16, 16, 3, 3),
        "layer1.0.conv3.weight": (64, 16, 1, 1),
        "transition1.0.0.weight": (8, 64, 3, 3),
    }
    assert by_hand.items() <= shapes.items()


def test_features_are_pytorchs():
    """Not compiled as a whole: XLA takes longer for its 300 convolutions than they take one by one."""
    model = hrnet_reference.randomise(torch_hrnet.HRNet(), seed=1)
    x = images(1, 64, 96, 3)
    with torch.no_grad():
        expected = nhwc(model(nchw(x)))
    assert expected.shape == (1, 16, 24, 270)
    assert all(0.3 < part.std() < 3 for part in np.split(expected, (18, 54, 126), axis=3))
    ours = HRNet("batch", jnp.float32)
    features = ours.apply(flax_weights(model, abstract(ours, 32, 32)[1]), x, train=False)
    np.testing.assert_allclose(features, expected, rtol=0, atol=1e-4)


def test_training_normalises_by_the_batch_and_frozen_norm_does_not():
    channels = (18, 36, 72)
    model = reference.randomise(torch_hrnet.HighResolutionModule(channels, 1, nn.BatchNorm2d), seed=2)
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.running_mean.normal_(generator=torch.Generator().manual_seed(3))
        norm.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(4))
    branches = [images(2, 32 >> i, 32 >> i, channels) for i, channels in enumerate(channels)]

    def module(norm):
        return hrnet.HighResolutionModule(channels, 1, partial(ConvNorm, norm=norm, dtype=jnp.float32))

    init = jax.eval_shape(
        lambda key, x: module("batch").init(key, x, train=False),
        jax.random.key(0),
        branches,
    )
    before = flax_weights(model, init)
    with torch.no_grad():
        evaluated = [nhwc(y) for y in model(list(map(nchw, branches)))]
        trained = [nhwc(y) for y in model.train()(list(map(nchw, branches)))]
    assert np.abs(evaluated[2] - trained[2]).max() > 0.1
    for norm, expected in (("frozen", evaluated), ("batch", trained)):
        features, updated = module(norm).apply(before, branches, train=True, mutable=["batch_stats"])
        for y, torchs in zip(features, expected, strict=True):
            np.testing.assert_allclose(y, torchs, rtol=0, atol=1e-4)
        change = jax.tree.map(lambda old, new: np.abs(new - old).max(), before["batch_stats"], updated["batch_stats"])
        changes = np.array(jax.tree.leaves(change))
        assert (changes == 0).all() if norm == "frozen" else (changes > 0).all()


def test_sides_must_divide_by_32():
    for size in ((64, 48), (40, 64)):
        with pytest.raises(ValueError, match=f"divide by 32, not {size[0]} x {size[1]}"):
            abstract(HRNet("batch", jnp.float32), *size)


def test_it_is_a_backbone_of_stride_4_computed_in_its_own_type():
    config = Config().model
    config.backbone, config.stride, config.norm, config.dtype = "hrnet_w18", 4, "frozen", "bfloat16"
    points, of_model = abstract(build_model(config, 29), 64, 96, capture=True)
    assert points.shape == (1, 1, 29, 2)
    (features,) = of_model["intermediates"]["backbone"]["__call__"]
    assert (features.shape, features.dtype) == ((1, 16, 24, 270), jnp.bfloat16)
    _, variables = abstract(HRNet("batch", jnp.float32), 32, 32)
    for kind in ("params", "batch_stats"):
        leaves = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), of_model[kind]["backbone"])
        assert leaves == jax.tree.map(lambda leaf: (leaf.shape, jnp.dtype("float32")), variables[kind])
    assert of_model["params"]["projection"]["kernel"].shape == (1, 1, 270, 256)
