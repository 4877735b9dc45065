# SPDX-License-Identifier: Apache-2.0
"""Trained runs: which checkpoint is read, and a run at another rank; what predicts has tests of its own."""

from pathlib import Path
from types import SimpleNamespace

import chex
import jax
import numpy as np
import pytest

from barrel_jax.config import MeshConfig
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.models.build import build_model
from barrel_jax.pretrained.named_models import find_model
from barrel_jax.training.checkpoint import Checkpoints
from barrel_jax.training.open_model import open_model
from barrel_jax.training.optimiser import optimiser
from barrel_jax.training.state import abstract, abstract_weights, create
from barrel_jax.training.trained import TrainedRun, find_checkpoint, restore_variables
from tests.kit import small
from tests.kit.saved_run import save_run
from tests.kit.toy import make_crops


def saved(best, latest):
    return SimpleNamespace(steps={"best": best, "latest": latest}.__getitem__)


def test_the_newest_of_a_kind_or_a_step_of_either():
    there = saved([4], [8, 12])
    found = {which: find_checkpoint(Path("runs/a"), there, which) for which in ("latest", "best", "4", "8", "12")}
    assert found == {
        "latest": ("latest", 12), "best": ("best", 4), "4": ("best", 4), "8": ("latest", 8), "12": ("latest", 12)
    }  # fmt: skip
    for which in ("5", "newest", "²"):
        with pytest.raises(FileNotFoundError, match=r"runs/a: no .* can be: best at step 4; latest at step 8, 12"):
            find_checkpoint(Path("runs/a"), there, which)
    with pytest.raises(FileNotFoundError, match=r"no checkpoint 'best' in this run; .* none, train first"):
        find_checkpoint(Path("runs/a"), saved([], []), "best")


def test_a_run_that_has_only_been_scored_is_read(tmp_path):
    """As of few faces, whose first scores come before the first `latest`."""
    save_run(tmp_path, small.config(), make_crops(4))
    (tmp_path / "checkpoints" / "latest").rename(tmp_path / "checkpoints" / "best")
    assert TrainedRun.open(tmp_path, "best").step == TrainedRun.open(tmp_path, "0").step == 0
    with pytest.raises(FileNotFoundError, match=r"no checkpoint 'latest' in this run; .* best at step 0"):
        TrainedRun.open(tmp_path)
    assert not (tmp_path / "checkpoints" / "latest").exists()


@pytest.mark.parametrize("decay", [0, 0.99])
def test_a_run_is_opened_without_what_only_training_needs(tmp_path, decay):
    """Of the optimiser and of weights that are averaged nothing is read; the rest is as saved, on any mesh."""
    config = small.config(optim__ema_decay=decay)
    save_run(tmp_path, config, make_crops(4))
    mesh = make_mesh(MeshConfig(data=4, model=2))
    model = build_model(config.model, make_crops(4).scheme.num_points)
    checkpoints = Checkpoints(tmp_path, reading=True)
    whole = checkpoints.restore("latest", 0, abstract(model, optimiser(config.optim, 1), config, mesh))
    like = abstract_weights(model, config, mesh)
    part = checkpoints.restore("latest", 0, like)
    assert part.opt_state is None and (part.params is None) == (part.ema is not None) == (decay > 0)
    chex.assert_trees_all_equal(part.variables(), whole.variables())
    assert int(part.step) == 0
    for restored, wanted in zip(jax.tree.leaves(part), jax.tree.leaves(like), strict=True):
        assert restored.sharding.is_equivalent_to(wanted.sharding, restored.ndim)
    if decay == 0:  # weights without an average are there in either case
        averaged = abstract_weights(model, small.config(optim__ema_decay=0.99), mesh)
        with pytest.raises(ValueError, match=r"is of another model .*ema/.*: nothing is there, \(.*\) is wanted"):
            checkpoints.restore("latest", 0, averaged)
    checkpoints.close()
    with pytest.raises(ValueError, match=r"is of another model .*decoder0/.* is there, nothing is wanted"):
        restore_variables(tmp_path, small.config(optim__ema_decay=decay, **small.PLAIN), 3, "0", mesh)


def test_a_best_checkpoint_that_is_replaced_meanwhile_is_read_anew(tmp_path, monkeypatch):
    save_run(tmp_path, small.config(), make_crops(4))
    (tmp_path / "checkpoints" / "latest").rename(tmp_path / "checkpoints" / "best")
    restore = Checkpoints.restore

    def after_the_next(checkpoints, kind, step, like):
        if step == 0:
            (tmp_path / "checkpoints" / "best" / "0").rename(tmp_path / "checkpoints" / "best" / "3")
        return restore(checkpoints, kind, step, like)

    monkeypatch.setattr(Checkpoints, "restore", after_the_next)
    state, step = restore_variables(tmp_path, small.config(), 3, "best", make_mesh(MeshConfig(data=1)))
    assert step == 0 and state["params"]  # what it says of itself is what it was saved as


def test_a_run_at_a_rank_says_so_in_its_config(tmp_path):
    crops = make_crops(4)
    config = small.config(data__image_size=32)
    run = TrainedRun.open(save_run(tmp_path / "run", config, crops))
    ranked = run.at_rank(2)
    assert (ranked.config.model.dqinit_rank, ranked.config.model.qamem_rank) == (2, 2)
    assert (run.config.model.dqinit_rank, run.config.model.qamem_rank) == (0, 0)
    images = np.zeros((2, 32, 32, 3), np.uint8)
    assert ranked.attention(images)[0].shape == run.attention(images)[0].shape == (2, 3, 2)


def test_a_model_is_a_runs_folder_a_packed_file_or_a_name(tmp_path):
    save_run(tmp_path / "run", small.config(), make_crops(4))
    run = open_model(tmp_path / "run")
    assert isinstance(run, TrainedRun) and run.step == 0
    with pytest.raises(FileNotFoundError, match=r"no checkpoint 'best' in this run"):
        open_model(str(tmp_path / "run"), "best")
    named, file = open_model("small"), open_model(find_model("small"))
    assert named.scheme == file.scheme == "300w-68"
    chex.assert_trees_all_equal(named.variables, file.variables)


def test_what_only_reads_leaves_a_damaged_checkpoint_where_it_is(tmp_path):
    crops, config = make_crops(4), small.config()
    save_run(tmp_path, config, crops)
    model, tx = build_model(config.model, 3), optimiser(config.optim, 1)
    state = create(model, tx, config, abstract(model, tx, config, make_mesh(MeshConfig(data=1))))
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("latest", state.replace(step=state.step + 1), {})
    checkpoints.close()
    files = [path for path in (tmp_path / "checkpoints/latest/1").rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    largest.write_bytes(b"")
    with pytest.warns(UserWarning, match="that of step 0 is read in its place"):
        assert TrainedRun.open(tmp_path).step == 0
    assert (tmp_path / "checkpoints/latest/1").is_dir() and not (tmp_path / "checkpoints/damaged").exists()
