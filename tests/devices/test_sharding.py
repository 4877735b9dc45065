# SPDX-License-Identifier: Apache-2.0
"""Sharding: one device, many devices and many processes do the same, up to the order of sums."""

import re
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from barrel_jax.config import MeshConfig
from barrel_jax.devices.sharding import from_local, layout, local_rows, make_mesh
from barrel_jax.input.splits import load_split
from barrel_jax.models.build import build_model
from barrel_jax.training.optimiser import optimiser
from barrel_jax.training.state import abstract
from barrel_jax.training.steps import TrainStep
from barrel_jax.training.streams import seed_data
from data.prepare import prepare_config
from tests.kit import small
from tests.kit.processes import ROOT, free_port, started
from tests.kit.sharded_run import on_mesh, run

# A program that is only read: what XLA's code generation would bring costs seconds.
QUICK = {"xla_backend_optimization_level": "0"}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    config = on_mesh(1, 1, tmp_path_factory.mktemp("sets"))
    return prepare_config(config.data)


@pytest.fixture(scope="module")
def splits(built):
    return tuple(load_split(small.config().data, built, split) for split in ("train", "test"))


@pytest.fixture(scope="module")
def one(built, splits):
    return run(on_mesh(1, 1, built.parent), *splits)


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    np.testing.assert_allclose(theirs["losses"], ours["losses"], rtol=1e-4)
    for name in ours:
        if name.startswith(("gradient", "statistic")):
            np.testing.assert_allclose(theirs[name], ours[name], atol=1e-5, err_msg=name)
    assert theirs["num_images"] == ours["num_images"] == 20
    np.testing.assert_allclose(theirs["nme"], ours["nme"], rtol=1e-3)
    np.testing.assert_allclose(theirs["points"], ours["points"], atol=0.05)  # source pixels


@pytest.mark.parametrize(("data", "model"), [(2, 1), (2, 2), (8, 1)])
def test_meshes_train_and_score_alike(one, built, splits, data, model):
    assert_same(one, run(on_mesh(data, model, built.parent, mesh__split_moments=model > 1), *splits))


@pytest.mark.processes
def test_two_processes_of_four_devices_train_and_score_like_one_device(one, built, tmp_path):
    address = f"127.0.0.1:{free_port()}"
    commands = [
        [
            sys.executable,
            "-m",
            "tests.kit.sharded_run",
            str(tmp_path / "out.npz"),
            str(built),
            f"{address},2,{i}",
            "4",
            "2",
        ]
        for i in range(2)
    ]
    with started(commands, 4, tmp_path) as running:
        codes = [process.wait(timeout=300) for process in running]
    assert codes == [0, 0], (tmp_path / "1.txt").read_text()[-3000:]
    with np.load(tmp_path / "out.npz") as theirs:
        assert_same(one, dict(theirs))


def test_brought_batches_are_the_gathered_ones(one, built, splits):
    streamed = run(on_mesh(1, 1, built.parent, data__resident=False), *splits, steps=7)
    np.testing.assert_allclose(streamed["losses"], one["losses"][:7], rtol=1e-5)


def test_groups_of_a_batch_norm_do_not_see_the_devices(built, splits):
    grouped = [run(on_mesh(n, 1, built.parent, model__norm_group=4), *splits, steps=3) for n in (1, 2)]
    np.testing.assert_allclose(grouped[1]["losses"], grouped[0]["losses"], rtol=1e-4)


def specs(data, model, **fields):
    config = small.config(mesh__data=data, mesh__model=model, **{"mesh__split_moments": True} | fields)
    state = abstract(build_model(config.model, 30), optimiser(config.optim, 6), config, make_mesh(config.mesh))
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.sharding.spec)
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }


def test_query_weights_are_split_over_model_and_moments_over_data():
    by_name = specs(4, 2)
    kernel = "backbone/layer4_0/conv2/conv/kernel"  # [3, 3, 128, 128]
    assert by_name[f"params/{kernel}"] == ()
    assert by_name[f"opt_state/0/mu/{kernel}"] == by_name[f"opt_state/0/nu/{kernel}"] == (None, None, "data")
    # DQInit writes 30 x 32 numbers, QAMem has 30 queries: 2 divides both.
    assert by_name["params/dqinit/dense/kernel"] == (None, "model")
    assert by_name["params/decoder0/qamem/kernel1"] == ("model",)
    assert by_name["opt_state/0/mu/decoder0/qamem/kernel1"] == ("model", "data")
    assert by_name["opt_state/0/mu/decoder0/qamem/bias1"] == ("model",)  # too small to be worth a gather
    assert by_name["step"] == by_name[f"batch_stats/{kernel.replace('conv/kernel', 'norm/mean')}"] == ()


def test_the_factors_of_a_rank_are_split_by_whole_queries():
    """U and V of QAMem are [K, D, r]: a device along `model` has all of some queries', and nothing of the others'."""
    by_name = specs(4, 2, model__qamem_layers=2, model__qamem_rank=8, mesh__split_moments=False)
    factors = {name: spec for name, spec in by_name.items() if re.search(r"qamem/[uv]\d$", name)}
    parameters = {f"params/decoder0/qamem/{factor}{layer}" for factor in "uv" for layer in (1, 2)}
    moments = {name.replace("params", f"opt_state/0/{moment}") for name in parameters for moment in ("mu", "nu")}
    assert parameters | moments <= factors.keys() and set(factors.values()) == {("model",)}


def test_no_device_gathers_the_gradients_of_all_queries():
    config = small.config(mesh__data=4, mesh__model=2, batch_size=8)
    model, mesh, flip = build_model(config.model, 12), make_mesh(config.mesh), tuple(range(12))
    step = TrainStep(model, optimiser(config.optim, 1), config, mesh, flip)
    batch = jax.eval_shape(lambda: small.faces(8, 32, 12))
    program = step.on_batch.lower(step.like, seed_data(0), batch).compile(QUICK).as_text()
    gathered = set(re.findall(r"= f32\[([\d,]*)\]\S* all-gather", program))
    kernel = step.like.params["decoder0"]["qamem"]["kernel1"].shape
    assert gathered and ",".join(map(str, kernel)) not in gathered


def test_queries_that_model_does_not_divide_are_split_along_the_width_without_padding():
    assert specs(2, 4)["params/decoder0/qamem/kernel1"] == (None, None, "model")


def test_moments_may_lie_everywhere():
    assert all("data" not in spec for spec in specs(8, 1, mesh__split_moments=False).values())


def test_each_device_holds_its_share_of_the_moments():
    mesh = make_mesh(MeshConfig(data=8))
    config = small.config(mesh__data=8, mesh__split_moments=True, model__backbone="resnet10")
    state = abstract(build_model(config.model, 29), optimiser(config.optim, 6), config, mesh)
    sizes = [
        (leaf.size, np.prod(leaf.sharding.shard_shape(leaf.shape))) for leaf in jax.tree.leaves(state.opt_state[0].mu)
    ]
    whole, share = np.array(sizes).sum(0)
    assert share < 0.14 * whole  # an eighth, and what is too small to be split


def test_rows_are_read_by_the_process_that_holds_them():
    mesh = make_mesh(MeshConfig(data=4, model=2))
    np.testing.assert_array_equal(local_rows(16, mesh), np.arange(16))
    rows = from_local(np.arange(32).reshape(16, 2), 16, mesh)
    np.testing.assert_array_equal(rows, np.arange(32).reshape(16, 2))
    assert {shard.data.shape for shard in rows.addressable_shards} == {(2, 2)}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"data": 9}, "take 9 devices, and there are 8 cpu"),
        ({"model": 3}, r"8 cpu device\(s\) do not divide by 3; config.mesh.model can be 1, 2, 4, 8"),
        ({"model": 0}, "each must be at least 1"),
        ({"data": 0}, "each must be at least 1"),
    ],
)
def test_a_mesh_that_cannot_be_says_what_can(fields, message):
    with pytest.raises(ValueError, match=message):
        make_mesh(MeshConfig(**fields))


def test_collectives_are_named_in_one_file_alone():
    words = re.compile(r"\b(psum|pmean|pmap|shard_map|all_gather|ppermute|axis_name|with mesh)\b")
    for path in (Path(ROOT) / "barrel_jax").rglob("*.py"):
        assert path.name == "sharding.py" or not words.search(path.read_text()), path


def test_the_layout_of_a_tree_of_shapes_follows_its_names():
    mesh = make_mesh(MeshConfig(data=2, model=2))
    tree = {"params": {"decoder3": {"qamem": {"kernel2": jax.ShapeDtypeStruct((98, 256, 256), np.float32)}}}}
    (sharding,) = jax.tree.leaves(layout(tree, mesh, MeshConfig()))
    assert sharding.shard_shape((98, 256, 256)) == (49, 256, 256)
