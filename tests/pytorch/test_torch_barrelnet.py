# SPDX-License-Identifier: Apache-2.0
"""The PyTorch BarrelNet and the Flax one with the same weights: points, gradients, sizes, first draws; compilation."""

import re

from tests.kit.needs_torch import torch

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from barrel_jax.config import ModelConfig
from barrel_jax.models import build
from barrel_jax.models.barrelnet import BarrelNet as FlaxBarrelNet
from barrel_jax.pytorch.barrelnet import BarrelNet, build_model
from barrel_jax.pytorch.resnet import ResNet
from barrel_jax.pytorch.weights import flax_views, to_flax
from barrel_jax.training.losses import landmark_l1, scale_likelihood
from tests.kit import torch_reference as reference

B, K, HEIGHT, WIDTH = 2, 5, 96, 64
SMALL = {"width": 32, "heads": 4, "feedforward": 48, "dropout": 0.0}
RANKS = {"dqinit_rank": 0, "qamem_rank": 0, "reference_points": False, "uncertainty": False}
NEITHER = {"encoder_layers": 0, "decoder_layers": 1, "dqinit": False, "qamem_layers": 0} | RANKS
# A program that runs once: what XLA's code generation would bring costs more.
QUICK = {"xla_backend_optimization_level": "0"}
# The backbone, its stride and norm, and the modules.
CASES = {
    "plain": ("resnet18", 32, "batch", NEITHER | {"decoder_layers": 0}),
    "baseline": ("resnet10_w16", 32, "batch", NEITHER),
    "dqinit": ("resnet10_w16", 32, "batch", NEITHER | {"dqinit": True}),
    "qamem1": ("resnet10_w16", 16, "batch", NEITHER | {"qamem_layers": 1}),
    "both, qamem2": ("resnet10_w16", 32, "batch", NEITHER | {"dqinit": True, "qamem_layers": 2}),
    "both, 3 decoders": (
        "resnet10_w16",
        32,
        "batch",
        NEITHER | {"dqinit": True, "qamem_layers": 1, "decoder_layers": 3},
    ),
    "low rank": (
        "resnet10_w16",
        32,
        "batch",
        NEITHER | {"dqinit": True, "qamem_layers": 2, "dqinit_rank": 3, "qamem_rank": 5},
    ),
    "coarse to fine": (
        "resnet10_w16",
        32,
        "batch",
        NEITHER | {"dqinit": True, "decoder_layers": 2, "reference_points": True},
    ),
    "2 encoders": ("resnet10_w16", 32, "batch", NEITHER | {"encoder_layers": 2}),
    "plain, frozen": ("resnet18", 32, "frozen", NEITHER | {"decoder_layers": 0}),
}


def torch_model(backbone, stride, norm, modules):
    grid = -(-HEIGHT // stride), -(-WIDTH // stride)
    model = BarrelNet(ResNet(backbone, stride), K, grid, **SMALL | modules)
    reference.randomise(model, seed=4)
    if norm == "frozen":  # the statistics that batch norm has recorded
        weights = model.state_dict()
        model = BarrelNet(ResNet(backbone, stride, norm), K, grid, **SMALL | modules).eval()
        model.load_state_dict(weights)
    return model


def images():
    """Noise, of another brightness in every image."""
    brightness = np.linspace(0.3, 1, B, dtype=np.float32)[:, None, None, None]
    return brightness * np.random.default_rng(0).random((B, HEIGHT, WIDTH, 3), np.float32)


def nchw(x):
    return torch.from_numpy(x).permute(0, 3, 1, 2)


def torch_loss(points, truth, labelled):
    """The mean over the labelled coordinates of every decoder layer's L1 loss."""
    return torch.stack([torch.nn.functional.l1_loss(layer[labelled], truth[labelled]) for layer in points]).mean()


def torch_gradients(model):
    """By Flax's names and in its layout; the model is spoilt."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.zeros_like(parameter) if parameter.grad is None else parameter.grad)
    return flatten_dict(to_flax(model)["params"], sep="/")


def without_gradient(path, norm, modules):
    """Whether a parameter's gradient is zero in exact arithmetic.

    A key's bias adds the same to all scores of a query, which softmax does not see. Where queries start from zeros, the
    values of the first self-attention are their bias, whatever is attended to.
    """
    of_zeros = not modules["dqinit"] and re.match("decoder0/self_attention/(query/|key/|value/kernel)", path)
    frozen = norm == "frozen" and re.match("backbone/.*/norm/", path)
    return bool(path.endswith("key/bias") or of_zeros or frozen)


@pytest.mark.parametrize("case", CASES)
def test_points_and_gradients_of_every_parameter_agree(case):
    """Points of all decoder layers to 1e-4, with running statistics; in training, gradients of the L1 loss to 1e-3.

    A gradient's error is the largest absolute difference over the largest absolute value of that parameter's gradient.
    Where the gradient is zero in exact arithmetic both frameworks may only have rounding there, below a millionth of
    the model's largest gradient; all other gradients are larger than that.
    """
    backbone, stride, norm, modules = CASES[case]
    model, x = torch_model(backbone, stride, norm, modules), images()
    reference.keep_off_kinks(model, nchw(x))
    random = np.random.default_rng(1)
    truth, labelled = random.random((B, K, 2), np.float32), random.random((B, K)) > 0.2
    assert not labelled.all()
    variables = to_flax(model)
    flax_model = FlaxBarrelNet(
        num_landmarks=K,
        backbone=backbone,
        stride=stride,
        norm=norm,
        norm_group=0,
        qamem_init="identity",
        dtype=jnp.float32,
        **SMALL | modules,
    )

    def ours(variables, x):
        def loss(params):
            points, _ = flax_model.apply({**variables, "params": params}, x, train=True, mutable=["batch_stats"])
            return landmark_l1(points, truth, labelled)

        return flax_model.apply(variables, x, train=False), *jax.value_and_grad(loss)(variables["params"])

    points, loss, gradients = jax.jit(ours, compiler_options=QUICK)(variables, x)

    with torch.no_grad():
        expected = model.eval()(nchw(x))
    assert points.shape == expected.shape == (max(modules["decoder_layers"], 1), B, K, 2)
    assert expected.std(1).mean((1, 2)).min() > 3e-3  # the images are told apart
    np.testing.assert_allclose(points, expected, rtol=0, atol=1e-4)

    expected = torch_loss(model.train()(nchw(x)), torch.from_numpy(truth), torch.from_numpy(labelled))
    assert float(loss) == pytest.approx(expected.item(), rel=1e-4)
    expected.backward()
    gradients, expected = flatten_dict(gradients, sep="/"), torch_gradients(model)
    assert gradients.keys() == expected.keys()
    scales = {path: np.abs(gradient).max() for path, gradient in expected.items()}
    rounding = 1e-6 * max(scales.values())
    for path, gradient in gradients.items():
        if without_gradient(path, norm, modules):
            assert max(scales[path], np.abs(gradient).max()) < rounding, path
        else:
            assert scales[path] > rounding, path
            error = np.abs(gradient - expected[path]).max() / scales[path]
            assert error < 1e-3, (path, error)


def test_coarse_points_and_scales_agree_and_a_scales_gradient_reaches_no_point():
    modules = NEITHER | {"dqinit": True, "qamem_layers": 1, "reference_points": True, "uncertainty": True}
    model, x = torch_model("resnet10_w16", 32, "batch", modules), images()
    options = {"norm_group": 0, "qamem_init": "identity", "dtype": jnp.float32} | SMALL | modules
    flax_model = FlaxBarrelNet(num_landmarks=K, backbone="resnet10_w16", **options)
    truth, labelled = np.random.default_rng(1).random((B, K, 2), np.float32), np.ones((B, K), bool)
    labelled[0, 2] = False

    def ours(variables, x):
        def loss(params):
            points, kept = flax_model.apply({**variables, "params": params}, x, train=False, mutable=["intermediates"])
            log_scale = kept["intermediates"]["log_scale"][0]
            return scale_likelihood(points[-1], log_scale, truth, labelled), (points, kept["intermediates"])

        return jax.value_and_grad(loss, has_aux=True)(variables["params"])

    (loss, (points, kept)), gradients = jax.jit(ours, compiler_options=QUICK)(to_flax(model), x)
    found = model.eval().outputs(nchw(x))
    np.testing.assert_allclose(points, found.points.detach(), rtol=0, atol=1e-4)
    np.testing.assert_allclose(kept["coarse"][0], found.coarse.detach(), rtol=0, atol=1e-4)
    np.testing.assert_allclose(kept["log_scale"][0], found.log_scale.detach(), rtol=0, atol=1e-3)
    assert np.ptp(kept["log_scale"][0]) > 0.01
    # torch.distributions' density of both coordinates; the likelihood here lacks log 2.
    scale = found.log_scale.exp()[..., None].expand(B, K, 2)
    density = torch.distributions.Laplace(found.points[-1].detach(), scale).log_prob(torch.from_numpy(truth))
    expected = -density[torch.from_numpy(labelled)].mean() - np.log(2)
    assert float(loss) == pytest.approx(expected.item(), rel=1e-4)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradients["offset_head"]))
    expected.backward()
    wanted = model.scale.layer1.weight.grad.T
    np.testing.assert_allclose(gradients["scale"]["layer1"]["kernel"], wanted, atol=1e-3 * float(wanted.abs().max()))


@pytest.mark.parametrize("case", ["plain", "both, 3 decoders", "coarse to fine"])
def test_prediction_is_the_last_layers_points(case):
    model, x = torch_model(*CASES[case]), nchw(images())
    with torch.no_grad():
        torch.testing.assert_close(model.predict(x), model(x)[-1], rtol=0, atol=1e-6)


def same_weights(config, num_landmarks):
    """How many numbers both models train, after their names and shapes are found equal; nothing is computed."""
    ours = build.build_model(config, num_landmarks)
    variables = jax.eval_shape(lambda: ours.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False))
    with torch.device("meta"):
        theirs = build_model(config, num_landmarks, 256)
    shapes = {path: leaf.shape for path, leaf in flatten_dict(variables, sep="/").items()}
    assert shapes == {path: tuple(view.shape) for path, view in flax_views(theirs).items()}
    count = build.count_parameters(variables["params"])
    assert count == sum(parameter.numel() for parameter in theirs.parameters())
    return count


@pytest.mark.parametrize("num_landmarks", [68, 29, 98])
@pytest.mark.parametrize("backbone", ["resnet10_w16", "resnet10", "resnet18", "resnet50", "resnet101"])
def test_every_model_of_table_1_has_the_same_weights(backbone, num_landmarks):
    """Baseline and BarrelNet on 300W, COFW and WFLW. DQInit has K D^2 + K D numbers, and so has a layer of QAMem."""
    baseline = same_weights(ModelConfig(backbone=backbone, dqinit=False, qamem_layers=0), num_landmarks)
    for layers in (1, 2):
        ours = same_weights(ModelConfig(backbone=backbone, dqinit=True, qamem_layers=layers), num_landmarks)
        assert ours - baseline == (1 + layers) * (num_landmarks * 256 * 256 + num_landmarks * 256)


def test_every_further_option_has_the_same_weights():
    """At rank r: DQInit r D (K + 1) + K D numbers, a layer of QAMem 2 K D r + K D, of what are 4.47M each at 68."""
    baseline = same_weights(ModelConfig(backbone="resnet10", dqinit=False, qamem_layers=0), 68)
    low = ModelConfig(backbone="resnet10", dqinit_rank=8, qamem_rank=8)
    assert same_weights(low, 68) - baseline == 8 * 256 * 69 + 68 * 256 + 2 * 68 * 256 * 8 + 68 * 256 == 454_656
    same_weights(ModelConfig(backbone="resnet10", reference_points=True, uncertainty=True), 68)


def test_hrnet_baseline_of_table_4_has_the_same_weights():
    config = ModelConfig(backbone="hrnet_w18", stride=4, dqinit=False, qamem_layers=0)
    with torch.device("meta"):
        model = build_model(config, 98, 256)
    assert model.grid == (64, 64)
    assert model.backbone.channels == model.input_proj.in_channels == 270
    same_weights(config, 98)


@pytest.mark.parametrize("fields", [{}, {"dqinit_rank": 32, "qamem_rank": 16, "reference_points": True}], ids=str)
def test_first_draws_are_flaxs(fields):
    """Spread and largest value of every parameter of a hundred; biases, norms and QAMem start from the same numbers."""
    fields = {"width": 64, "feedforward": 128, "encoder_layers": 1, "qamem_layers": 2, "uncertainty": True} | fields
    config = ModelConfig(backbone="resnet10", dtype="float32", **fields)
    init = jax.jit(build.build_model(config, 29).init, static_argnames="train")
    ours = init(jax.random.key(0, impl="rbg"), jnp.zeros((1, 32, 32, 3)), train=False)  # rbg is quicker to compile
    torch.manual_seed(0)
    theirs = flatten_dict(to_flax(build_model(config, 29, 32)), sep="/")
    for path, leaf in flatten_dict(ours, sep="/").items():
        leaf = np.asarray(leaf)
        if not path.endswith(("kernel", "embedding", "v1", "v2")):
            np.testing.assert_array_equal(theirs[path], leaf, err_msg=path)
        elif leaf.size > 100:
            assert theirs[path].std() == pytest.approx(leaf.std(), rel=0.1 if leaf.size > 1000 else 0.3), path
            assert np.abs(theirs[path]).max() == pytest.approx(np.abs(leaf).max(), rel=0.35), path


def test_images_of_another_size_are_refused():
    model = torch_model(*CASES["baseline"])
    with pytest.raises(ValueError, match=r"features of \(2, 3\), positions of \(3, 2\).*grid of these images"):
        model(torch.zeros(1, 3, WIDTH, HEIGHT))


def test_channels_last_gives_the_same_points():
    model, x = torch_model(*CASES["both, 3 decoders"]), nchw(images())
    assert x.is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = model(x.contiguous())
        model.to(memory_format=torch.channels_last)
        assert model.backbone(x).is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-5)


def test_points_are_float32_under_autocast_and_lie_near():
    model, x = torch_model(*CASES["both, 3 decoders"]), nchw(images())
    with torch.no_grad():
        expected = model(x)
        with torch.autocast("cpu", torch.bfloat16):
            points = model(x)
        cast = model.to(torch.bfloat16)(x.to(torch.bfloat16))
    for coarse in (points, cast):
        assert coarse.dtype == torch.float32
        assert 0 < (coarse - expected).abs().max() < 0.1


def test_compiles_into_one_graph_with_the_same_points_and_gradients():
    """fullgraph is an error at a graph break; backend 'aot_eager' is all of torch.compile but the code it writes."""
    torch.manual_seed(0)
    config = ModelConfig(
        backbone="resnet10_w16", encoder_layers=1, qamem_layers=2, width=32, feedforward=48, dropout=0.0
    )
    model, x = build_model(config, K, WIDTH).train(), torch.rand(B, 3, WIDTH, WIDTH)
    expected = model(x)
    weights = torch.randn(expected.shape)
    wanted = torch.autograd.grad((expected * weights).sum(), list(model.parameters()))
    points = torch.compile(model, fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(points, expected, rtol=0, atol=1e-6)
    gradients = torch.autograd.grad((points * weights).sum(), list(model.parameters()))
    for gradient, expected in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-5 * float(expected.abs().max() + 1))
    torch.compile(model.eval().predict, fullgraph=True, backend="eager")(x)
