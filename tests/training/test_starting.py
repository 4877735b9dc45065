# SPDX-License-Identifier: Apache-2.0
"""A run that starts from another run, from a file, or goes on for longer than it was to."""

import json
import shutil

import chex
import jax
import numpy as np
import pytest

from barrel_jax.config_checks import validate
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.input.splits import load_split
from barrel_jax.models.build import build_model, shapes_of
from barrel_jax.models.folding import fold
from barrel_jax.models.packed import unpack
from barrel_jax.pretrained.backbone import write_backbone
from barrel_jax.pretrained.named_models import find_model
from barrel_jax.training import loop
from barrel_jax.training.checkpoint import Checkpoints
from barrel_jax.training.optimiser import optimiser
from barrel_jax.training.starting import begin, read_origin, read_trained
from barrel_jax.training.state import abstract, create
from data.prepare import prepare_config
from tests.kit import small
from tests.kit.small import PLAIN
from tests.training.test_resume import last_state


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    return str(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def run(tmp_path_factory, sets):
    """A run of two epochs with averaged weights, whose best checkpoint is made that of step 8."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    config = small.config(mesh__data=1, data__data_dir=sets, optim__ema_decay=0.9)
    loop.train(config, workdir, prepare_config)
    shutil.rmtree(workdir / "checkpoints/best")
    shutil.copytree(workdir / "checkpoints/latest/8", workdir / "checkpoints/best/8")
    return workdir


def saved(workdir, kind):
    """Weights that a run predicts with at its checkpoint of a kind."""
    config = small.config(mesh__data=1, optim__ema_decay=0.9)
    checkpoints = Checkpoints(workdir)
    like = abstract(build_model(config.model, 29), optimiser(config.optim, 1), config, make_mesh(config.mesh))
    state = checkpoints.restore(kind, checkpoints.steps(kind)[-1], like)
    checkpoints.close()
    return jax.device_get(state.ema)


def test_a_run_starts_from_anothers_best_weights_and_goes_on_without_it(run, sets, tmp_path, capsys):
    other, workdir = tmp_path / "other", tmp_path / "run"
    shutil.copytree(run, other)
    config = small.config(mesh__data=1, data__data_dir=sets, init_from=str(other), model__decoder_layers=2, seed=5)
    assert loop.train(config, workdir, prepare_config, lambda step: step == 0) is None
    said = capsys.readouterr().out
    assert f"from {other} (best checkpoint, step 8: resnet10_w16, 1 decoder layer of width 32, DQInit, " in said
    assert "  taken: backbone 0.31M," in said and "  drawn anew: decoder1 (the run has none)" in said
    kept = json.loads((workdir / "run.json").read_text())["init_from"]
    assert kept["drawn"] == {"decoder1": "the run has none"} and kept["from"].startswith(str(other))
    assert kept["taken"]["decoder0/qamem"] == 29 * 32 * 33 and kept["mapped"] == {}
    assert loop.train(config, workdir, prepare_config, lambda step: step == 2) is None
    shutil.rmtree(other)
    capsys.readouterr()
    loop.train(config, workdir, prepare_config, lambda step: step == 3)
    said = capsys.readouterr().out
    assert "taken:" not in said and "going on from step 2 of 12" in said
    assert json.loads((workdir / "run.json").read_text())["init_from"] == kept


@pytest.mark.quick
def test_a_backbone_that_the_run_named_does_not_have_is_not_trained_at_a_tenth_of_the_rate(sets):
    """The paper's schedule is for trained weights, and those of `small` are not a ResNet-50's."""
    config = small.config(mesh__data=1, data__data_dir=sets, init_from="small", model__backbone="resnet50")
    config.model.width, config.model.heads, config.model.feedforward = 256, 8, 1024
    config.optim.schedule, config.optim.backbone_multiplier = "step", 0.1
    validate(config)
    mesh = make_mesh(config.mesh)
    crops = load_split(config.data, prepare_config(config.data), "train", 0.0)
    like = shapes_of(build_model(config.model, crops.scheme.num_points), config.data.image_size)
    origin = read_origin(config, mesh)
    with pytest.raises(ValueError, match=r"=0.1 under .*this run's would be drawn: set --config.pretrained"):
        begin(origin, config, like, crops)
    config.optim.backbone_multiplier = 1.0
    assert "backbone" in begin(origin, config, like, crops).drawn


@pytest.mark.parametrize(("data", "model"), [(1, 1), (2, 2)])
def test_the_state_and_its_average_start_from_the_weights_on_any_mesh(run, sets, data, model):
    config = small.config(mesh__data=data, mesh__model=model, data__data_dir=sets, optim__ema_decay=0.5)
    config.init_from = str(run)
    config.model.decoder_layers, config.seed = 2, 5
    mesh, network, tx = make_mesh(config.mesh), build_model(config.model, 29), optimiser(config.optim, 6)
    like = abstract(network, tx, config, mesh)
    crops = load_split(config.data, prepare_config(config.data), "train")
    start = begin(read_origin(config, mesh), config, {"params": like.params, "batch_stats": like.batch_stats}, crops)
    state, drawn = (create(network, tx, config, like, weights) for weights in (start.weights, None))
    for mine in ({"params": state.params, "batch_stats": state.batch_stats}, state.ema):
        extra = mine["params"].pop("decoder1")
        chex.assert_trees_all_equal(mine, saved(run, "best"))
        chex.assert_trees_all_equal(extra, drawn.params["decoder1"])
    assert state.params["dqinit"]["dense"]["kernel"].sharding == like.params["dqinit"]["dense"]["kernel"].sharding


def test_a_runs_backbone_goes_before_a_file_of_one(run, tmp_path):
    config = small.config(mesh__data=1, init_from=str(run), pretrained=str(tmp_path / "none.pth"))
    origin = read_origin(config, make_mesh(config.mesh))
    assert origin.backbone is None and "backbone" in origin.trained.variables["params"]
    config.model.backbone = "resnet18"  # which the run has not, and the file is to give
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        read_origin(config, make_mesh(config.mesh))


def test_without_a_score_yet_the_latest_weights_are_read(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/checkpoints/best")
    trained = read_trained(str(tmp_path / "run"), "resnet10_w16", make_mesh(small.config(mesh__data=1).mesh))
    assert "(latest checkpoint, step 12: " in trained.about
    chex.assert_trees_all_equal(trained.variables, saved(run, "latest"))


def test_a_backbone_that_was_written_as_a_file_is_taken(run, sets, tmp_path, capsys):
    path = tmp_path / "backbone.safetensors"
    weights = {kind: tree["backbone"] for kind, tree in saved(run, "best").items()}
    write_backbone(path, weights)
    config = small.config(mesh__data=1, data__data_dir=sets, init_from=str(path), optim__epochs=1, **PLAIN)
    config.model.norm, config.optim.backbone_multiplier = "frozen", 0.0
    loop.train(config, tmp_path / "run", prepare_config)
    assert f"from {path} (resnet10_w16 alone):\n  taken: backbone 0.31M\n" in capsys.readouterr().out
    state = last_state(tmp_path / "run")
    assert int(state.step) == 6
    chex.assert_trees_all_equal(
        {"params": state.params["backbone"], "batch_stats": state.batch_stats["backbone"]}, weights
    )


@pytest.mark.parametrize("by_name", [True, False])
def test_a_packed_models_weights_are_taken_with_norms_that_know_the_faces(sets, tmp_path, capsys, monkeypatch, by_name):
    """The model that comes with the package, by name or as a file, in a deeper backbone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").mkdir()  # an export's, which holds no run
    file = find_model("small")
    init_from = "small" if by_name else str(shutil.copy(file, tmp_path / "own.npz"))
    config = small.config(mesh__data=1, data__data_dir=sets, init_from=init_from, model__backbone="resnet18")
    assert loop.train(config, tmp_path / "run", prepare_config, lambda step: step == 0) is None
    said = capsys.readouterr().out
    assert f"from {init_from} (packed: resnet10, 1 decoder layer of width 256, DQInit, 1 QAMem layer; 68 points" in said
    assert "  taken: backbone 4.91M\n" in said
    assert "backbone/blocks (the run's resnet10 has fewer; each begins as the identity)" in said
    mesh, crops = make_mesh(config.mesh), load_split(config.data, prepare_config(config.data), "train", 0.25)
    like = build_model(config.model, 29).init(jax.random.key(0), np.zeros((1, 64, 64, 3), np.float32), train=False)
    start = begin(read_origin(config, mesh), config, like, crops)
    # Folded again they are what was packed: the statistics, which are of these faces, cancel.
    packed, taken = unpack(file).variables["params"]["backbone"], {}
    for kind, tree in start.weights.items():
        blocks = {name: block for name, block in tree["backbone"].items() if not name.endswith("_1")}
        taken[kind] = blocks
    chex.assert_trees_all_close(fold(taken)["params"], packed, rtol=1e-7, atol=1e-4)
    assert np.ptp(taken["batch_stats"]["stem"]["norm"]["var"]) > 0.01


def test_what_cannot_be_started_from_leaves_no_run_behind(run, sets, tmp_path):
    def fails(words, error=ValueError, **fields):
        config = small.config(mesh__data=1, data__data_dir=sets, **fields)
        with pytest.raises(error, match=words):
            loop.train(config, tmp_path / "run", prepare_config)
        assert not (tmp_path / "run").exists()

    plain = {"model__backbone": "resnet50", "init_from": str(run)} | PLAIN
    fails(rf"nothing of {run} \(best checkpoint, step 8: resnet10_w16, .*29 points, cofw-29\) fits", **plain)
    fails(rf"this is a folder, .*--config.init_from={run}", pretrained=str(run))
    fails(
        "nowhere: no run and no weights file; give --config.init_from",
        FileNotFoundError,
        init_from=str(tmp_path / "nowhere"),
    )
    fails(
        r"smal: no run and .*, or the name of a model \(small\); did you mean small\?",
        FileNotFoundError,
        init_from="smal",
    )
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    fails("broken.npz: this is no packed model", init_from=str(tmp_path / "broken.npz"))
    (tmp_path / "empty").mkdir()
    fails("empty/config.json: no run there", FileNotFoundError, init_from=str(tmp_path / "empty"))
    frozen = {"model__backbone": "resnet34", "model__norm": "frozen", "init_from": str(run)}
    fails("norm='frozen' keeps the given statistics, and .* has no resnet34; name one with config", **frozen)


def longer(sets, epochs, **fields):
    given = {"optim__epochs": epochs, "optim__decay_epoch": 1, "loop__eval_epochs": 1, "optim__ema_decay": 0.9}
    return small.config(mesh__data=1, data__data_dir=sets, **PLAIN, **given | fields)


def test_a_finished_run_that_is_lengthened_is_one_that_had_the_epochs_from_the_start(sets, tmp_path, capsys):
    loop.train(longer(sets, 1), tmp_path / "parted", prepare_config)
    loop.train(longer(sets, 2), tmp_path / "parted", prepare_config)
    said = capsys.readouterr().out
    assert f"{tmp_path / 'parted'}: lengthened from 1 to 2 epochs; under the step schedule it ends as if" in said
    assert "going on from step 6 of 12" in said
    loop.train(longer(sets, 2), tmp_path / "whole", prepare_config)
    whole, parted = (last_state(tmp_path / name) for name in ("whole", "parted"))
    assert int(parted.step) == 12
    chex.assert_trees_all_equal(parted, whole)
    lines = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("whole", "parted")]
    steps = [[json.loads(line)["step"] for line in part] for part in lines]
    assert steps[0] == steps[1]
    assert json.loads((tmp_path / "parted/run.json").read_text())["lengthened"] == [[1, 2]]
    with pytest.raises(ValueError, match=r"optim.epochs: 2 there, 1 now"):
        loop.train(longer(sets, 1), tmp_path / "parted", prepare_config)
    # Nothing is said, and the history is kept, when it is started once more.
    capsys.readouterr()
    loop.train(longer(sets, 2), tmp_path / "parted", prepare_config)
    assert "lengthened" not in capsys.readouterr().out
    assert json.loads((tmp_path / "parted/run.json").read_text())["lengthened"] == [[1, 2]]


def test_under_the_cosine_schedule_it_is_said_that_it_is_another_one(sets, tmp_path, capsys):
    loop.train(longer(sets, 1, optim__schedule="cosine"), tmp_path / "run", prepare_config)
    stops = loop.train(longer(sets, 2, optim__schedule="cosine"), tmp_path / "run", prepare_config, lambda s: s == 6)
    assert stops is None and "the cosine schedule is another one now: the rate falls" in capsys.readouterr().out
