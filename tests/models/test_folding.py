# SPDX-License-Identifier: Apache-2.0
"""Folded batch norm against the numbers of the running statistics."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from scipy.stats import laplace

from barrel_jax.config import ModelConfig
from barrel_jax.models.build import build_model, shapes_of
from barrel_jax.models.folding import fold
from barrel_jax.models.inference import make_inference, predict_points, predict_with_scale
from barrel_jax.models.uncertainty import START
from tests.kit import plans

K, SIZE = 5, 64
SMALL = {"width": 32, "heads": 4, "feedforward": 48, "dtype": "float32"}
# A program that runs once: what XLA's code generation would bring costs more.
QUICK = {"xla_backend_optimization_level": "0"}


def drawn(config):
    """A model, and variables whose statistics and affine numbers are not those of the start."""
    model = build_model(config, K)
    shapes = shapes_of(model, SIZE)
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        if path[-1].key in ("scale", "var"):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        spread = math.sqrt(2 / math.prod(leaf.shape[:-1])) if len(leaf.shape) > 1 else 0.1
        return spread * rng.standard_normal(leaf.shape, np.float32)

    return model, jax.tree_util.tree_map_with_path(draw, shapes)


@pytest.mark.parametrize(
    ("backbone", "stride"), [("resnet10", 32), ("resnet18", 8), ("small_bottlenecks", 32), ("small_hrnet", 4)]
)
def test_folded_outputs_are_those_of_the_running_statistics(backbone, stride, monkeypatch):
    plans.add_small_backbones(monkeypatch)
    config = ModelConfig(backbone=backbone, stride=stride, **SMALL)
    model, variables = drawn(config)
    images = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    plain = jax.jit(lambda v, x: model.apply(v, x / 255.0, train=False)[-1], compiler_options=QUICK)
    expected = plain(variables, images.astype(np.float32))
    predict, weights = make_inference(config, K, variables)
    assert np.ptp(expected) > 1e-2
    np.testing.assert_allclose(jax.jit(predict, compiler_options=QUICK)(weights, images), expected, atol=2e-5)
    assert {"conv", "norm"} - set(weights["params"]["backbone"]["stem1" if stride == 4 else "stem"]) == {"norm"}


@pytest.mark.quick
def test_one_channel_by_hand():
    # y = 2 (3 x - 1) / sqrt(4 - 1e-5 + 1e-5) + 5 = 3 x + 4
    norm = {"scale": jnp.array([2.0]), "bias": jnp.array([5.0])}
    params = {"layer": {"conv": {"kernel": jnp.full((1, 1, 1, 1), 3.0)}, "norm": norm}, "other": jnp.ones(2)}
    seen = {"layer": {"norm": {"mean": jnp.array([1.0]), "var": jnp.array([4.0 - 1e-5])}}}
    folded = fold({"params": params, "batch_stats": seen})["params"]
    np.testing.assert_allclose(folded["layer"]["conv"]["kernel"], 3.0, rtol=1e-6)
    np.testing.assert_allclose(folded["layer"]["conv"]["bias"], 4.0, rtol=1e-6)
    assert list(folded["layer"]) == ["conv"] and folded["other"].shape == (2,)


def test_the_last_layers_points_and_their_standard_deviations():
    """A scale b of 0.1 in every place: the standard deviation of Laplace's distribution as SciPy has it."""
    model, variables = drawn(ModelConfig(backbone="resnet10", decoder_layers=2, uncertainty=True, **SMALL))
    last = variables["params"]["scale"]["layer2"]
    last["kernel"], last["bias"] = np.zeros_like(last["kernel"]), np.full(1, np.log(0.1) - START, np.float32)
    images = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    layers = jax.jit(model.apply, static_argnames="train")(variables, images / np.float32(255), train=False)
    assert np.abs(layers[0] - layers[1]).max() > 1e-3
    points, deviations = jax.jit(predict_with_scale, static_argnums=0)(model, variables, images)
    np.testing.assert_allclose(points, layers[-1], atol=1e-5)
    alone = jax.jit(predict_points, static_argnums=0)(model, variables, images)
    np.testing.assert_allclose(alone, layers[-1], atol=1e-5)
    np.testing.assert_allclose(deviations, np.full((2, K), laplace.std(scale=0.1)), rtol=1e-5)


@pytest.mark.quick
def test_weights_are_of_the_compute_type():
    config = ModelConfig(**SMALL)
    _, variables = drawn(config)
    predict, weights = make_inference(dataclasses.replace(config, dtype="bfloat16"), K, variables)
    full = {
        name for name, leaf in flatten_dict(weights, sep="/").items() if leaf.ndim > 1 and leaf.dtype == jnp.float32
    }
    assert full == {"params/head/layer3/kernel"}
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    # As operation by operation: XLA would leave out a rounding to bfloat16 whose result is taken as float32 again.
    predict = jax.jit(predict, compiler_options=QUICK | {"xla_allow_excess_precision": False})
    points = predict(weights, images)
    assert points.dtype == jnp.float32
    # Rounded beforehand is rounded in place, and what is computed with in float32 is not rounded at all.
    np.testing.assert_array_equal(points, predict(jax.jit(fold)(variables), images))


def test_pytorch_folds_to_the_same_numbers():
    from tests.kit.needs_torch import torch

    from barrel_jax.pytorch import resnet as torch_resnet
    from barrel_jax.pytorch.folding import fold_batch_norm
    from tests.kit import torch_reference as reference

    network = torch_resnet.ResNet("resnet18", 32)
    reference.randomise(network, seed=3)
    images = torch.rand(2, 3, SIZE, SIZE)
    with torch.inference_mode():
        expected = network.eval()(images)
        fold_batch_norm(network)
        torch.testing.assert_close(network(images), expected, atol=1e-4, rtol=1e-4)
    assert not [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
