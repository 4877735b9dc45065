# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest

from barrel_jax import loop, stepper
from barrel_jax.checkpoint import Checkpoints
from data.of_config import prepare_config
from tests import small


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("loop") / "run"
    config = small.config(mesh__data=1, data__data_dir=str(tmp_path_factory.mktemp("sets")))
    return config, workdir, loop.train(config, workdir, prepare_config(config.data))


def test_a_run_leaves_what_it_promises(trained):
    _, workdir, metrics = trained
    names = {str(path.relative_to(workdir)) for path in workdir.rglob("*") if path.is_file()}
    evaluation = {f"eval/synthetic-test/{n}" for n in ("metrics.json", "predictions.npz", "ced.png", "worst.png")}
    assert names >= {"config.json", "run.json", "metrics.jsonl", "predictions.png"} | evaluation
    assert any(name.startswith("tensorboard/") for name in names)
    run = json.loads((workdir / "run.json").read_text())
    assert run["versions"]["jax"] and run["num_landmarks"] == 29
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [2, 4, 6, 8, 10, 12]
    assert [line["step"] for line in lines if "test/nme_outer_eye_corners" in line] == [6, 12]
    assert lines[-1]["test/nme_outer_eye_corners"] == metrics["nme"] and metrics["num_images"] == 20


def test_best_and_latest_are_kept(trained):
    _, workdir, _ = trained
    checkpoints = Checkpoints(workdir)
    assert checkpoints.steps("latest") == [8, 12]
    (best,) = checkpoints.steps("best")
    nmes = {
        line["step"]: line["test/nme_outer_eye_corners"]
        for line in map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
        if "test/nme_outer_eye_corners" in line
    }
    assert nmes[best] == min(nmes.values()) == checkpoints.facts("best", best)["nme"]
    checkpoints.close()


def test_a_dispatch_of_several_steps_ends_where_something_is_due(tmp_path, trained):
    config, workdir, _ = trained
    two = small.config(mesh__data=1, data__data_dir=config.data.data_dir, loop__dispatch_steps=2, loop__save_steps=3)
    assert 12 % 3 == 0 and two.loop.log_steps == 2  # steps 0 1, 2, 3, 4 5, 6 7, 8, 9, 10 11
    loop.train(two, tmp_path, prepare_config(two.data))
    lines = [[json.loads(line) for line in (w / "metrics.jsonl").read_text().splitlines()] for w in (workdir, tmp_path)]
    assert [line["step"] for line in lines[0]] == [line["step"] for line in lines[1]]
    for one, other in zip(*lines, strict=True):
        # Adam makes much of rounding; tests/test_steps.py compares the steps themselves.
        assert "loss" not in one or one["loss"] == pytest.approx(other["loss"], rel=0.05)
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps("latest") == [9, 12]
    checkpoints.close()


def test_learning_lowers_the_loss(tmp_path, trained):
    config, _, _ = trained
    longer = small.config(mesh__data=1, data__data_dir=config.data.data_dir, optim__epochs=12, optim__decay_epoch=12)
    longer.loop.eval_epochs = 12
    loop.train(longer, tmp_path, prepare_config(longer.data))
    losses = [
        row["loss"] for row in map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines()) if "loss" in row
    ]
    assert np.mean(losses[-6:]) < 0.7 * np.mean(losses[:3])


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path, trained, monkeypatch):
    config, _, _ = trained
    make = stepper.make_train_step

    def breaks_at_step_7(*args):
        step = make(*args)

        def broken(state, faces, order):
            at = int(state.step)
            state, loss = step(state, faces, order)
            return (state.replace(params=state.params), loss * np.nan) if at == 7 else (state, loss)

        return broken

    monkeypatch.setattr(stepper, "make_train_step", breaks_at_step_7)
    with pytest.raises(
        FloatingPointError, match=r"first at step 7; the last good checkpoint is that of step 4\. Lower"
    ):
        loop.train(config, tmp_path, prepare_config(config.data))
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps("latest") == [4]
    checkpoints.close()


def test_a_file_in_the_place_of_the_folder_is_left_alone(tmp_path, trained):
    config, _, _ = trained
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(ValueError, match="notes: this is a file, and a run needs a folder; choose another --workdir"):
        loop.train(config, tmp_path / "notes", prepare_config(config.data))
    assert (tmp_path / "notes").read_text() == "mine"


def test_more_faces_in_a_batch_than_there_are(tmp_path, trained):
    config, _, _ = trained
    large = small.config(mesh__data=1, data__data_dir=config.data.data_dir, batch_size=64)
    with pytest.raises(ValueError, match="has 48 faces; use a smaller batch"):
        loop.train(large, tmp_path, prepare_config(large.data))
    assert not any(tmp_path.iterdir())


def test_told_to_stop_it_saves_where_it_is_and_before_the_first_step_does_nothing(tmp_path, trained):
    config, _, _ = trained
    directory = prepare_config(config.data)
    assert loop.train(config, tmp_path, directory, lambda step: step == 0) is None
    assert loop.train(config, tmp_path, directory, lambda step: step == 3) is None
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps("latest") == [3] and checkpoints.steps("best") == []
    checkpoints.close()
    # At the end of an epoch it is scored as well, since the run that goes on is not.
    assert loop.train(config, tmp_path, directory, lambda step: step == 6) is None
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps("latest")[-1] == 6 and checkpoints.steps("best") == [6]
    checkpoints.close()
