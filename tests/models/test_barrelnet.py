# SPDX-License-Identifier: Apache-2.0
"""The whole model: shapes and types of each option, what learns, one golden tree; test_torch_barrelnet has numbers."""

import re
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from barrel_jax.config import ModelConfig
from barrel_jax.models.barrelnet import MEAN, STD, BarrelNet
from barrel_jax.models.build import build_model

GOLDEN = Path(__file__).parents[1] / "golden" / "barrelnet_params.txt"
TINY = {
    "num_landmarks": 5,
    "backbone": "resnet18",
    "stride": 32,
    "norm": "batch",
    "norm_group": 0,
    "encoder_layers": 0,
    "decoder_layers": 1,
    "dqinit": True,
    "qamem_layers": 1,
    "qamem_init": "identity",
    "dqinit_rank": 0,
    "qamem_rank": 0,
    "reference_points": False,
    "uncertainty": False,
    "width": 8,
    "heads": 2,
    "feedforward": 16,
    "dropout": 0.1,
    "dtype": jnp.float32,
}
# Each value of each option meets every other at least once, and both baselines are here.
OPTIONS = [
    {"decoder_layers": 0, "encoder_layers": 0, "dqinit": False, "qamem_layers": 0, "num_landmarks": 68},
    {"decoder_layers": 1, "encoder_layers": 0, "dqinit": False, "qamem_layers": 0, "num_landmarks": 29},
    {"decoder_layers": 1, "encoder_layers": 0, "dqinit": True, "qamem_layers": 1, "num_landmarks": 98},
    {"decoder_layers": 1, "encoder_layers": 1, "dqinit": False, "qamem_layers": 2, "num_landmarks": 68},
    {"decoder_layers": 3, "encoder_layers": 1, "dqinit": True, "qamem_layers": 0, "num_landmarks": 98},
    {"decoder_layers": 3, "encoder_layers": 0, "dqinit": True, "qamem_layers": 2, "num_landmarks": 29},
    {"decoder_layers": 3, "encoder_layers": 1, "dqinit": False, "qamem_layers": 1, "num_landmarks": 68},
]


def images(*shape):
    return np.random.default_rng(0).uniform(size=(*shape, 3)).astype(np.float32)


def abstract(model, *shape, **kwargs):
    """Output, variables (and captured intermediates) as shapes and types; nothing is computed."""
    x = jax.ShapeDtypeStruct((*shape, 3), jnp.float32)
    return jax.eval_shape(lambda key, x: model.init_with_output(key, x, train=False, **kwargs), jax.random.key(0), x)


def flat(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(key.key for key in path if hasattr(key, "key")): leaf for path, leaf in leaves}


def draw(model):
    """Variables with random biases too, where a fresh model has zeros."""
    random = np.random.default_rng(1)

    def leaf(shape):
        if len(shape) == 1:
            return random.uniform(0.5, 1.0, shape).astype(np.float32)
        return (random.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32)

    return jax.tree.map(lambda of: leaf(of.shape), abstract(model, 1, 64, 64)[1])


@pytest.fixture
def shallow():
    """Quick to compile."""
    return TINY | {"backbone": "resnet10_w16"}


def test_normalisation_is_imagenets():
    assert MEAN == (0.485, 0.456, 0.406)
    assert STD == (0.229, 0.224, 0.225)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("fields", "images", "message"),
    [
        ({}, jnp.zeros((1, 64, 64, 3), jnp.uint8), r"in 0..1, these are uint8 \[1, 64, 64, 3\]; divide uint8 by 255"),
        ({}, jnp.zeros((64, 64, 3)), r"images are floating numbers \[B, H, W, 3\] .* these are float32 \[64, 64, 3\]"),
        ({}, jnp.zeros((1, 3, 64, 64)), r"these are float32 \[1, 3, 64, 64\]"),
        ({"backbone": "vgg"}, jnp.zeros((1, 64, 64, 3)), "backbone='vgg' is none of .*resnet18"),
        ({"stride": 7}, jnp.zeros((1, 64, 64, 3)), "stride=7 with resnet10_w16 is not 8 or 16 or 32"),
        ({"backbone": "hrnet_w18", "stride": 8}, jnp.zeros((1, 64, 64, 3)), "stride=8 with hrnet_w18 is not 4"),
        (
            {"dqinit": False, "dqinit_rank": 2},
            jnp.zeros((1, 64, 64, 3)),
            "^dqinit_rank=2 is of a module that this model",
        ),
        ({"dqinit_rank": 9}, jnp.zeros((1, 64, 64, 3)), r"^dqinit_rank=9 is not in 0\.\.8, the model's width"),
        (
            {"qamem_layers": 0, "qamem_rank": 2},
            jnp.zeros((1, 64, 64, 3)),
            "^qamem_rank=2 is of a module that this model",
        ),
        ({"qamem_rank": 2, "qamem_init": "xavier"}, jnp.zeros((1, 64, 64, 3)), "transforms start as the identity"),
        ({"encoder_layers": 2, "decoder_layers": 0}, jnp.zeros((1, 64, 64, 3)), "no decoder reads it"),
        ({"width": 33}, jnp.zeros((1, 64, 64, 3)), "width=33 does not divide by 4"),
        ({"norm": "layer"}, jnp.zeros((1, 64, 64, 3)), "norm='layer' is none of batch, frozen, folded"),
        ({"qamem_init": "id"}, jnp.zeros((1, 64, 64, 3)), "qamem_init='id' is none of identity, xavier"),
        ({"reference_points": True, "dqinit": False}, jnp.zeros((1, 64, 64, 3)), "reads coarse points from DQInit's"),
        ({"uncertainty": True, "decoder_layers": 0}, jnp.zeros((1, 64, 64, 3)), "and decoder_layers is 0"),
    ],
)
def test_what_a_loop_of_ones_own_gives_wrongly_is_said(shallow, fields, images, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda: BarrelNet(**shallow | fields).init(jax.random.key(0), images, train=False))


@pytest.mark.quick
def test_the_auto_type_is_that_of_the_platform_asked_for():
    """Of a program that is compiled here for chips that are elsewhere, too."""
    of = {
        platform: build_model(ModelConfig(dtype="auto"), 5, platform).dtype for platform in (None, "cpu", "tpu", "gpu")
    }
    assert of == {None: jnp.float32, "cpu": jnp.float32, "tpu": jnp.bfloat16, "gpu": jnp.bfloat16}
    assert build_model(ModelConfig(dtype="float32"), 5, "tpu").dtype == jnp.float32


@pytest.mark.quick
@pytest.mark.parametrize("options", OPTIONS)
def test_points_and_parameters_are_float32_whatever_computes(shallow, options):
    points, variables = abstract(BarrelNet(**(shallow | options | {"dtype": jnp.bfloat16})), 3, 64, 64)
    assert points.shape == (max(options["decoder_layers"], 1), 3, options["num_landmarks"], 2)
    assert points.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    parts = {name.rstrip("0123456789") for name in variables["params"]}
    if options["decoder_layers"] == 0:
        assert parts == {"backbone", "regression"}
    else:
        expected = {"backbone", "projection", "query_positions", "decoder_norm", "head", "decoder"}
        expected |= {"encoder"} if options["encoder_layers"] else set()
        assert parts == expected | ({"dqinit"} if options["dqinit"] else set())
        assert ("qamem" in variables["params"]["decoder0"]) == (options["qamem_layers"] > 0)


@pytest.mark.quick
def test_bfloat16_is_computed_in_bfloat16_up_to_the_last_layer(shallow):
    settings = shallow | {"encoder_layers": 1, "dtype": jnp.bfloat16}
    _, variables = abstract(BarrelNet(**settings), 1, 64, 64, capture_intermediates=True)
    kinds = {name: leaf.dtype for name, leaf in flat(variables["intermediates"]).items()}
    last = {"__call__", "head/__call__", "head/layer3/__call__", "query_positions/__call__", "coarse"}
    softmax = {name for name in kinds if name.endswith("/attention_weights")}
    assert last <= kinds.keys() and len(softmax) == 3  # of the encoder, and two of the decoder
    assert {name for name, kind in kinds.items() if kind == jnp.float32} == last | softmax
    assert {kind for name, kind in kinds.items() if name not in last | softmax} == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize(("decoder_layers", "result"), [(1, "1x5x2xf32"), (0, "1x10xf32")])
def test_the_product_that_gives_coordinates_is_computed_in_full(shallow, decoder_layers, result):
    model = BarrelNet(**TINY | {"decoder_layers": decoder_layers})
    x = images(1, 32, 32)
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), x, train=False))
    with jax.default_matmul_precision("bfloat16"):
        program = jax.jit(lambda v, x: model.apply(v, x, train=False)).lower(variables, x).as_text()
    products = [line for line in program.splitlines() if "stablehlo.dot_general" in line]
    (last,) = [line for line in products if line.endswith(f"-> tensor<{result}>")]
    assert "precision = [HIGHEST, HIGHEST]" in last
    assert len(products) - 1 == sum("precision = [DEFAULT, DEFAULT]" in line for line in products)


@pytest.mark.quick
def test_evaluation_in_bfloat16_lies_near_float32_and_draws_nothing(shallow):
    x, variables = images(2, 64, 64), draw(BarrelNet(**shallow))

    @jax.jit
    def evaluate(variables, key):
        models = (BarrelNet(**(shallow | {"dtype": dtype})) for dtype in (jnp.float32, jnp.bfloat16))
        return [model.apply(variables, x, train=False, rngs={"dropout": key}) for model in models]

    exact, coarse = evaluate(variables, jax.random.key(1))
    assert 0 < exact.min() < exact.max() < 1
    assert 0 < np.abs(exact - coarse).max() < 0.05
    again, _ = evaluate(variables, jax.random.key(2))
    np.testing.assert_array_equal(exact, again)
    jax.eval_shape(lambda: BarrelNet(**shallow).apply(variables, x, train=False))  # needs no key at all


@pytest.mark.parametrize(
    ("options", "without"),
    [
        ({"encoder_layers": 1, "decoder_layers": 2, "dqinit": True, "qamem_layers": 2}, set()),
        # The first layer's queries are zero, hence so are its values but for their bias.
        ({"dqinit": False, "qamem_layers": 0}, {"decoder0/self_attention/value/kernel"}),
        ({"decoder_layers": 0, "dqinit": False, "qamem_layers": 0}, set()),
    ],
)
def test_every_parameter_learns(shallow, options, without):
    """But for keys' biases, which add the same to all scores of a query, and softmax does not see that."""
    model = BarrelNet(**(shallow | options))
    x = images(4, 64, 64)
    variables = draw(model)

    @jax.jit
    def gradient(params, key):
        def total(params):
            rngs = {"dropout": key}
            points, updated = model.apply(
                {**variables, "params": params}, x, train=True, mutable=["batch_stats"], rngs=rngs
            )
            return (points * random_like(points)).sum(), (points, updated)

        return jax.grad(total, has_aux=True)(params)

    gradients, (points, updated) = gradient(variables["params"], jax.random.key(2, impl="rbg"))  # quicker to compile
    largest = {name: np.abs(leaf).max() for name, leaf in flat(gradients).items()}
    blind = {name for name in largest if name.endswith("key/bias")} | without
    assert len(blind) == (2 * model.decoder_layers + model.encoder_layers) + len(without)
    assert {name for name, size in largest.items() if size < 1e-5} == blind
    statistics = flat(updated["batch_stats"])
    for name, old in flat(variables["batch_stats"]).items():
        assert np.abs(statistics[name] - old).max() > 1e-3, name
    if model.decoder_layers:
        _, (other, _) = gradient(variables["params"], jax.random.key(3, impl="rbg"))
        assert np.abs(points - other).max() > 1e-3  # dropout draws from its key


def random_like(points):
    return np.random.default_rng(7).standard_normal(points.shape).astype(np.float32)


@pytest.mark.quick
def test_parameter_tree_is_the_golden_one():
    """Checkpoints and weight conversion go by these names; one head serves all decoder layers."""
    settings = TINY | {"encoder_layers": 1, "decoder_layers": 2, "qamem_layers": 2}
    _, variables = abstract(BarrelNet(**settings), 1, 64, 64)
    lines = [f"{name} {leaf.shape} {leaf.dtype}" for name, leaf in sorted(flat(variables).items())]
    assert lines == GOLDEN.read_text().splitlines()
    assert sum(line.startswith("params/head/") for line in lines) == 6


@pytest.mark.quick
def test_every_submodule_has_a_given_name():
    """None has Flax's own, CamelCase and numbered, which would move with every edit."""
    names = set()

    def note(next_function, args, kwargs, context):
        names.update(context.module.path)
        return next_function(*args, **kwargs)

    with nn.intercept_methods(note):
        abstract(BarrelNet(**(TINY | {"encoder_layers": 1, "decoder_layers": 2, "qamem_layers": 2})), 1, 64, 64)
        abstract(BarrelNet(**(TINY | {"decoder_layers": 0, "backbone": "resnet50", "norm": "frozen"})), 1, 64, 64)
    assert {"backbone", "dropout", "feedforward", "head", "regression", "downsample", "layer4_2", "norm3"} <= names
    assert not [name for name in names if re.match(r"[A-Z]\w*_\d+$", name)]


@pytest.mark.quick
def test_counts_of_the_papers_parts_at_68_points():
    """Section 5: 4.4M for DQInit, 9M for (two layers of) QAMem, 1.6M for a decoder layer."""
    counts = {}
    for qamem_layers in (1, 2):
        settings = TINY | {"num_landmarks": 68, "width": 256, "heads": 8, "feedforward": 2048}
        settings["qamem_layers"] = qamem_layers
        _, variables = abstract(BarrelNet(**settings), 1, 32, 32)
        for part in ("dqinit", "decoder0"):
            counts[part, qamem_layers] = sum(leaf.size for leaf in jax.tree.leaves(variables["params"][part]))
    assert counts["dqinit", 1] == counts["dqinit", 2] == 4_473_856
    assert counts["decoder0", 1] == 1_578_752 + 4_473_856
    assert counts["decoder0", 2] == 1_578_752 + 8_947_712
