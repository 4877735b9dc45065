# SPDX-License-Identifier: Apache-2.0
"""XLA's settings: under the programs' CPU flag bfloat16 gives float32's points, with weights that have learned."""

import dataclasses
import os
from types import SimpleNamespace

import chex
import flax.linen as nn
import jax
import numpy as np
import pytest

from barrel_jax.config import DataConfig
from barrel_jax.devices.xla import CPU_FLAG, GRAPHS, GRAPHS_SINCE, graph_options, one_use_options, tune_cpu
from barrel_jax.input.splits import load_split
from barrel_jax.models.inference import make_inference
from barrel_jax.training.open_model import open_model
from data.prepare import prepare_config
from tests.kit import in_use, small
from tests.kit.saved_run import steep

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", CPU_FLAG),
        ("--xla_dump_to=d", f"--xla_dump_to=d {CPU_FLAG}"),
        (f"{CPU_FLAG.split('=')[0]}=reduce", f"{CPU_FLAG.split('=')[0]}=reduce"),
    ],
)
def test_the_flag_is_added_unless_the_user_gives_it(monkeypatch, given, expected):
    monkeypatch.setenv("XLA_FLAGS", given)
    tune_cpu()
    assert os.environ["XLA_FLAGS"] == expected


@pytest.mark.parametrize(
    ("platform", "runtime", "version", "flags", "expected"),
    [
        ("gpu", "PJRT C API\ncuda 13000", "0.11.2", "", GRAPHS),
        ("gpu", "rocm 70000", "0.11.2", "", {}),
        ("gpu", "PJRT C API\ncuda 13000", "0.10.2", "", {}),
        ("gpu", "PJRT C API\ncuda 13000", "0.11.2", "--xla_gpu_enable_command_buffer=", {}),
        ("cpu", "cpu", "0.11.2", "", {}),
        ("tpu", "tpu", "0.11.2", "", {}),
    ],
)
def test_convolutions_are_in_graphs_where_cuda_has_them(monkeypatch, platform, runtime, version, flags, expected):
    monkeypatch.setenv("XLA_FLAGS", flags)
    monkeypatch.setattr(jax, "__version__", version)
    client = SimpleNamespace(platform_version=runtime)
    monkeypatch.setattr(jax, "devices", lambda: [SimpleNamespace(client=client)])
    assert graph_options(platform) == expected


def test_xla_knows_the_options_that_a_gpu_would_be_told():
    """XLA reads every flag on a CPU too, and refuses those that it does not know."""
    if jax.__version_info__ < GRAPHS_SINCE:
        pytest.skip(f"jax {jax.__version__} is not told of them")
    assert jax.jit(lambda x: x + 1).lower(1.0).compile(GRAPHS)(2.0) == 3


def test_weights_drawn_by_a_program_that_is_compiled_for_one_use_have_the_same_bits(monkeypatch):
    def draw(key):
        return [init(key, (3, 3, 16, 32)) for init in (nn.initializers.he_normal(), nn.initializers.xavier_uniform())]

    as_in_use = in_use.emitters()
    assert one_use_options("cpu") == {}  # what XLA_FLAGS says holds
    monkeypatch.setenv("XLA_FLAGS", "")
    with_effort, once = (
        jax.jit(draw, compiler_options=options | as_in_use)(jax.random.key(0))
        for options in ({"xla_backend_optimization_level": 3}, one_use_options("cpu"))
    )
    chex.assert_trees_all_equal(with_effort, once)
    assert one_use_options("gpu") == {} != one_use_options("cpu")


def apart(config, num_landmarks, variables, images):
    """Points in float32 [B, K, 2] in crop units, and how far those of bfloat16 lie from them, in pixels of the crop."""
    assert CPU_FLAG in os.environ["XLA_FLAGS"]  # set by conftest.py, as programs do
    points = {}
    for dtype in ("float32", "bfloat16"):
        predict, weights = make_inference(dataclasses.replace(config, dtype=dtype), num_landmarks, variables)
        points[dtype] = np.asarray(jax.jit(predict)(weights, images))
    return points["float32"], images.shape[1] * np.abs(points["bfloat16"] - points["float32"]).max()


def test_bfloat16_lies_within_half_a_pixel_of_float32_with_trained_weights(tmp_path):
    model = open_model("small")
    drawn = DataConfig(data_dir=str(tmp_path), scheme=model.scheme, synthetic_train=12, synthetic_test=1)
    drawn.image_size = model.config.data.image_size
    crops = load_split(drawn, prepare_config(drawn), "train")
    points, distance = apart(model.config.model, model.num_landmarks, model.variables, crops.images)
    errors = [np.abs(guess - crops.points_unit).mean() for guess in (points, crops.points_unit.mean(0))]
    assert errors[0] < 0.5 * errors[1], "a mean face does nearly as well: nothing was learned"
    assert 0 < distance < 0.5  # false for NaN


def test_bfloat16_lies_within_half_a_pixel_of_float32_in_the_papers_modules():
    """XLA's choices follow from the sizes of products: `dot,reduce` is NaN here with jaxlib 0.11.2."""
    config = small.config(model__width=256, model__heads=8, model__feedforward=2048)
    images = small.faces(48, 64, 29).images
    points, distance = apart(config.model, 29, steep(config, 29), images)
    assert 64 * np.abs(points - points.mean(0)).max() > 2  # the points follow the pixels
    assert 0 < distance < 0.5
