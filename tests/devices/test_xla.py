# SPDX-License-Identifier: Apache-2.0
"""Under the CPU flag that the programs set, bfloat16 gives float32's points, with weights that have learned."""

import dataclasses
import os
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from barrel_jax.config import AugmentConfig, MeshConfig
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.devices.xla import CPU_FLAG, GRAPHS, GRAPHS_SINCE, inference_options, tune_cpu
from barrel_jax.input.splits import load_split
from barrel_jax.models.inference import make_inference
from barrel_jax.training import loop
from barrel_jax.training.trained import restore_variables
from data.prepare import prepare_config
from tests.kit import small

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
    assert inference_options(platform) == expected


def test_xla_knows_the_options_that_a_gpu_would_be_told():
    """XLA reads every flag on a CPU too, and refuses those that it does not know."""
    if jax.__version_info__ < GRAPHS_SINCE:
        pytest.skip(f"jax {jax.__version__} is not told of them")
    assert jax.jit(lambda x: x + 1).lower(1.0).compile(GRAPHS)(2.0) == 3


def test_bfloat16_lies_within_half_a_pixel_of_float32_with_trained_weights(tmp_path):
    assert CPU_FLAG in os.environ["XLA_FLAGS"]  # set by conftest.py, as programs do
    # Of the paper's width: XLA's choices follow from the sizes of products, and those of a small model are others.
    model = {"model__width": 256, "model__heads": 8, "model__feedforward": 2048}
    data = {"data__image_size": 64, "data__data_dir": str(tmp_path / "sets")}
    config = small.config(mesh__data=1, optim__epochs=10, optim__decay_epoch=9, loop__eval_epochs=10, **model, **data)
    config.augment = AugmentConfig(*[0.0] * len(dataclasses.fields(AugmentConfig)))
    workdir, prepared = tmp_path / "run", prepare_config(config.data)
    loop.train(config, workdir, prepared)
    crops = load_split(config.data, prepared, "train")
    variables, _ = restore_variables(workdir, config, 29, "latest", make_mesh(MeshConfig(data=1)))
    points = {}
    for dtype in ("float32", "bfloat16"):
        predict, weights = make_inference(dataclasses.replace(config.model, dtype=dtype), 29, variables)
        points[dtype] = 64 * np.asarray(jax.jit(predict)(weights, crops.images))
    errors = [np.abs(guess - crops.points_unit).mean() for guess in (points["float32"] / 64, crops.points_unit.mean(0))]
    assert errors[0] < 0.9 * errors[1], "a mean face does as well: nothing was learned"
    assert 0 < np.abs(points["bfloat16"] - points["float32"]).max() < 0.5  # false for NaN
