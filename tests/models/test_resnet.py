# SPDX-License-Identifier: Apache-2.0
"""ResNets against PyTorch's numbers with the same weights, at each stride, in evaluation and training."""

from functools import partial

from tests.kit.needs_torch import torch

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from barrel_jax.models.norms import EPSILON, FrozenBatchNorm, GroupedBatchNorm
from barrel_jax.models.resnet import Bottleneck, ConvNorm, ResNet
from barrel_jax.models.windows import from_subgrids, max_pool, to_subgrids
from barrel_jax.pytorch.weights import flax_views, to_flax
from tests.kit import torch_reference as reference
from tests.kit.torch_reference import images, nchw, nhwc


def shapes(leaves):
    return {path: tuple(leaf.shape) for path, leaf in leaves.items()}


# Published parameter counts (torchvision's; ResNet-10's is pytorchcv's), less the classifier: 1000 classes on 512 or
# 2048 features.
@pytest.mark.parametrize(
    ("layout", "count"),
    [
        ("resnet10", 5_418_792 - 513_000),
        ("resnet18", 11_689_512 - 513_000),
        ("resnet34", 21_797_672 - 513_000),
        ("resnet50", 25_557_032 - 2_049_000),
        ("resnet101", 44_549_160 - 2_049_000),
    ],
)
def test_every_layout_has_torchvisions_weights(layout, count):
    model = ResNet(layout, 32, "batch", jnp.float32)
    variables = jax.eval_shape(
        lambda key, x: model.init(key, x, train=False), jax.random.key(0), jnp.zeros((1, 32, 32, 3))
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count
    with torch.device("meta"):
        theirs = reference.ResNet(layout, 32)
    assert shapes(flatten_dict(variables, sep="/")) == shapes(flax_views(theirs))


@pytest.mark.parametrize(
    ("layout", "stride", "height", "width"),
    [
        ("resnet10", 32, 96, 80),
        ("resnet10", 8, 64, 48),
        ("resnet18", 32, 96, 80),
        ("resnet18", 16, 72, 56),
        ("resnet18", 8, 64, 48),
        ("resnet50", 32, 64, 64),
        ("resnet50", 16, 72, 56),
    ],
)
def test_features_are_pytorchs(layout, stride, height, width):
    model = reference.randomise(reference.ResNet(layout, stride), seed=1)
    x = images(1, height, width, 3)
    with torch.no_grad():
        expected = nhwc(model(nchw(x)))
    assert expected.shape[1:3] == (-(-height // stride), -(-width // stride))
    assert expected.std() > 0.3
    ours = jax.jit(ResNet(layout, stride, "batch", jnp.float32).apply, static_argnames="train")
    np.testing.assert_allclose(ours(to_flax(model), x, train=False), expected, rtol=0, atol=1e-4)


def test_training_normalises_and_records_as_pytorch_does():
    model = reference.randomise(reference.ResNet("resnet18", 32), seed=2)
    before = to_flax(model)
    counts = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_hook(
                lambda m, args, output, name=name: counts.update({name: output.numel() / m.num_features})
            )
    x = images(4, 64, 96, 3)
    with torch.no_grad():
        expected = nhwc(model.train()(nchw(x)))
    after = to_flax(model)["batch_stats"]

    @jax.jit
    def apply(variables, x):
        return ResNet("resnet18", 32, "batch", jnp.float32).apply(variables, x, train=True, mutable=["batch_stats"])

    features, updated = apply(before, x)
    np.testing.assert_allclose(features, expected, rtol=0, atol=1e-3)
    assert counts["layer4.1.bn2"] == 4 * 2 * 3

    def compare(path, old, ours, torchs):
        names = [key.key for key in path]
        ours, torchs = ours - 0.9 * old, torchs - 0.9 * old
        if names[-1] == "mean":
            np.testing.assert_allclose(ours, torchs, rtol=1e-4, atol=1e-5)
            return
        block = names[0].replace("layer", "").split("_") if names[0] != "stem" else []
        norm = {"stem": "bn1", "conv1": "bn1", "conv2": "bn2", "downsample": "downsample.1"}[names[-3]]
        n = counts[f"layer{block[0]}.{block[1]}.{norm}" if block else norm]
        # torch records the unbiased variance, Flax the one it normalised with.
        np.testing.assert_allclose(ours, torchs * (n - 1) / n, rtol=1e-4, atol=1e-5)

    jax.tree_util.tree_map_with_path(compare, before["batch_stats"], updated["batch_stats"], after)


def test_frozen_norm_leaves_statistics_alone_and_gives_the_same_numbers_in_training():
    model = reference.randomise(reference.ResNet("resnet18", 32), seed=3)
    before = to_flax(model)
    x = images(2, 64, 64, 3)
    with torch.no_grad():
        expected = nhwc(model(nchw(x)))

    @jax.jit
    def apply(variables, x):
        return ResNet("resnet18", 32, "frozen", jnp.float32).apply(variables, x, train=True, mutable=["batch_stats"])

    features, updated = apply(before, x)
    np.testing.assert_allclose(features, expected, rtol=0, atol=1e-4)
    chex.assert_trees_all_equal(before["batch_stats"], updated["batch_stats"])


def test_frozen_norm_in_bfloat16_rounds_its_result_alone():
    """Where the mean is far from zero, what it and the factor leave of a bfloat16 offset would be rounding alone."""
    mean, variance, scale, bias = 10.3, 1.7, 0.9, 0.2
    x = (jax.random.normal(jax.random.key(0), (4, 8, 8, 3)) * variance**0.5 + mean).astype(jnp.bfloat16)
    given = {"params": {"scale": jnp.full(3, scale), "bias": jnp.full(3, bias)}}
    given["batch_stats"] = {"mean": jnp.full(3, mean), "var": jnp.full(3, variance)}
    expected = (np.asarray(x, np.float64) - mean) * scale / (variance + EPSILON) ** 0.5 + bias

    def error(found):
        return np.abs(np.asarray(found, np.float64) - expected).mean()

    rounded = error(jnp.asarray(expected, jnp.bfloat16))
    assert error(FrozenBatchNorm(dtype=jnp.bfloat16).apply(given, x)) == pytest.approx(rounded, rel=0.01)


def test_a_norm_over_groups_learns_nothing_while_it_is_drawn():
    drawn = GroupedBatchNorm(2, dtype=jnp.float32).init(jax.random.key(0), jnp.full((4, 2, 2, 3), 5.0))
    flaxs = nn.BatchNorm(use_running_average=False).init(jax.random.key(0), jnp.full((4, 2, 2, 3), 5.0))
    chex.assert_trees_all_equal(drawn, flaxs)


def test_frozen_norm_does_not_train_its_scale_and_bias():
    block = Bottleneck(2, stride=2, dilation=1, conv_norm=partial(ConvNorm, norm="frozen", dtype=jnp.float32))
    x = images(2, 6, 6, 4)
    variables = jax.jit(block.init, static_argnames="train")(jax.random.key(0), x, train=False)

    def total(params):
        y, _ = block.apply({**variables, "params": params}, x, train=True, mutable=["batch_stats"])
        return (y * images(*y.shape)).sum()

    gradients = jax.jit(jax.grad(total))(variables["params"])
    for name, conv_norm in gradients.items():
        assert np.abs(conv_norm["conv"]["kernel"]).max() > 1e-3, name
        for leaf in ("scale", "bias"):
            assert (conv_norm["norm"][leaf] == 0).all(), (name, leaf)


@pytest.mark.parametrize("size", [(7, 10), (8, 5), (1, 1)])
def test_max_pool_is_pytorchs(size):
    x = images(2, *size, 3) - 3  # negative throughout: padding with zeros would win
    pool = torch.nn.MaxPool2d(3, stride=2, padding=1)
    torch_x = nchw(x).requires_grad_()
    expected = pool(torch_x)
    weights = images(*nhwc(expected).shape)
    np.testing.assert_array_equal(max_pool(x), nhwc(expected))
    (expected * nchw(weights)).sum().backward()
    gradient = jax.grad(lambda x: (max_pool(x) * weights).sum())(x)
    np.testing.assert_allclose(gradient, nhwc(torch_x.grad), atol=1e-6)


def test_subgrids_hold_every_dilationth_pixel():
    x = np.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    grids = to_subgrids(x, 2)
    assert grids.shape == (8, 2, 3, 3)
    np.testing.assert_array_equal(grids[6], x[1, 1::2, 0::2])  # image 1, odd rows, even columns
    np.testing.assert_array_equal(from_subgrids(grids, 2), x)


@pytest.mark.parametrize(("dilation", "size"), [(2, (7, 10)), (4, (3, 5))])
def test_dilated_convolution_and_its_gradients_are_pytorchs(dilation, size):
    layer = ConvNorm(features=4, kernel=3, norm="batch", dtype=jnp.float32, dilation=dilation)
    x, kernel, weights = images(2, *size, 3), images(3, 3, 3, 4), images(2, *size, 4)
    statistics = jax.jit(layer.init, static_argnames="train")(jax.random.key(0), x, train=False)

    def ours(x, kernel):
        params = {"conv": {"kernel": kernel}, "norm": statistics["params"]["norm"]}
        return layer.apply({**statistics, "params": params}, x, train=False)

    torch_x, torch_kernel = nchw(x).requires_grad_(), torch.from_numpy(kernel).permute(3, 2, 0, 1).requires_grad_()
    # A fresh batch norm divides by the root of 1 + epsilon.
    expected = torch.nn.functional.conv2d(torch_x, torch_kernel, padding=dilation, dilation=dilation) / np.sqrt(
        1 + 1e-5
    )
    (expected * nchw(weights)).sum().backward()
    output, gradients = jax.jit(jax.vjp, static_argnums=0)(ours, x, kernel)
    of_x, of_kernel = gradients(weights)
    np.testing.assert_allclose(output, nhwc(expected), atol=1e-5)
    np.testing.assert_allclose(of_x, nhwc(torch_x.grad), atol=1e-4)
    np.testing.assert_allclose(of_kernel, torch_kernel.grad.permute(2, 3, 1, 0), atol=1e-4)


def test_grid_is_the_ceiling_of_size_over_stride():
    x = jax.ShapeDtypeStruct((1, 75, 129, 3), jnp.float32)
    for stride, grid in ((32, (3, 5)), (16, (5, 9)), (8, (10, 17))):
        model = ResNet("resnet18", stride, "batch", jnp.bfloat16)
        features, variables = jax.eval_shape(
            lambda key, x, m=model: m.init_with_output(key, x, train=False), jax.random.key(0), x
        )
        assert features.shape == (1, *grid, 512)
        assert features.dtype == jnp.bfloat16
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_norm_over_groups_is_flaxs_batch_norm_of_each_group(dtype):
    """Output, gradient and moving averages; a group as large as the batch is plain batch norm."""
    x = jax.random.normal(jax.random.key(0), (6, 5, 4, 3), dtype) * 2 + 1
    flaxs = nn.BatchNorm(use_running_average=False, momentum=0.9, epsilon=1e-5, dtype=dtype)
    variables = {
        "params": {"scale": jnp.array([1.0, 2.0, 0.5]), "bias": jnp.array([0.0, -1.0, 3.0])},
        "batch_stats": {"mean": jnp.array([0.3, 0.0, -0.2]), "var": jnp.array([1.0, 0.5, 2.0])},
    }
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == jnp.float32 else {"rtol": 2e-2, "atol": 2e-2}
    for group in (6, 2):
        ours = GroupedBatchNorm(group, dtype=dtype)

        def weighed(model, given, x):
            y, changed = model.apply(given, x, mutable=["batch_stats"])
            return (y.astype(jnp.float32) * jnp.arange(y.size).reshape(y.shape) / y.size).sum(), (y, changed)

        gradient, (y, changed) = jax.grad(lambda x, m=ours: weighed(m, variables, x), has_aux=True)(x)
        parts = [x[start : start + group] for start in range(0, 6, group)]
        expected = [flaxs.apply(variables, part, mutable=["batch_stats"]) for part in parts]
        assert y.dtype == dtype
        np.testing.assert_allclose(
            np.asarray(y, np.float32),
            np.concatenate([np.asarray(part, np.float32) for part, _ in expected]),
            **tolerance,
        )
        for name in ("mean", "var"):
            of_groups = np.mean([np.asarray(stats["batch_stats"][name]) for _, stats in expected], axis=0)
            np.testing.assert_allclose(changed["batch_stats"][name], of_groups, rtol=1e-4, atol=1e-5)
        if group == 6 and dtype == jnp.float32:
            theirs = jax.grad(lambda x: weighed(flaxs, variables, x), has_aux=True)(x)[0]
            np.testing.assert_allclose(gradient, theirs, atol=1e-4)
