# SPDX-License-Identifier: Apache-2.0
"""The training loop: logs, scores, checkpoints, and runs that stop or break."""

import json
import re
import shutil
import time
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from barrel_jax import progress
from barrel_jax.training import log, loop
from barrel_jax.training.checkpoint import Checkpoints
from barrel_jax.training.dispatch import Resident
from barrel_jax.training.finite import FiniteCheck
from barrel_jax.training.intervals import Intervals
from barrel_jax.training.log import Log
from barrel_jax.training.loss_log import LossLog
from barrel_jax.training.scorer import Scored, Scorer
from barrel_jax.training.sets import load_sets
from barrel_jax.training.state import State
from barrel_jax.training.stopwatch import Stopwatch
from data.prepare import prepare_config
from tests.kit import small
from tests.kit.own_faces import only_the_nose, write_faces


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("loop") / "run"
    config = small.config(mesh__data=1, data__data_dir=str(tmp_path_factory.mktemp("sets")))
    return config, workdir, loop.train(config, workdir, prepare_config(config.data))


def test_a_run_leaves_what_it_promises(trained):
    _, workdir, scores = trained
    names = {str(path.relative_to(workdir)) for path in workdir.rglob("*") if path.is_file()}
    evaluation = {f"eval/synthetic-test/{n}" for n in ("metrics.json", "predictions.npz", "ced.png", "worst.png")}
    assert names >= {"config.json", "run.json", "metrics.jsonl", "predictions.png"} | evaluation
    assert any(name.startswith("tensorboard/") for name in names)
    run = json.loads((workdir / "run.json").read_text())
    assert run["versions"]["jax"] and run["num_landmarks"] == 29
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [2, 4, 6, 8, 10, 12]
    assert [line["step"] for line in lines if "test/nme_outer_eye_corners" in line] == [6, 12]
    assert lines[-1]["test/nme_outer_eye_corners"] == scores.nme and scores.num_images == 20


def test_a_folder_that_is_deleted_while_training_is_an_error(trained, tmp_path):
    config, _, _ = trained
    workdir = tmp_path / "run"

    def stop(step):
        if step == 3:
            shutil.rmtree(workdir)
        return False

    with pytest.raises(OSError, match="run: this folder was deleted, moved or replaced while the run worked in it"):
        loop.train(config, workdir, prepare_config(config.data), stop)
    assert not workdir.exists()


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


def test_compiling_counts_neither_for_the_speed_nor_for_the_time_left(tmp_path, trained, monkeypatch, capsys):
    """In a file, as here, progress is plain lines; after each step in place of half a minute."""
    config, _, _ = trained
    # A rate and a width that no other run has, whose programs this one would share.
    optim, model = replace(config.optim, learning_rate=0.9e-3), replace(config.model, feedforward=72)
    config = replace(config, optim=optim, model=model)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, seconds, **about: compiled.append(about.get("fun_name")) if "backend_compile" in name else None
    )
    started = time.perf_counter()
    loop.train(config, tmp_path, prepare_config(config.data))
    whole = time.perf_counter() - started
    said = capsys.readouterr()
    # Each program is compiled once, and that is when its seconds are told.
    wanted = ["jit(choose_and_update)", "jit(predict)"]
    assert [name for name in compiled if name in wanted] == wanted
    told = [float(seconds) for seconds in re.findall(r"^compiled .* in (\d+\.\d) s$", said.out, re.MULTILINE)]
    assert len(told) == 3  # the look for NaN too
    training, speed, compiling, evaluation = map(
        float,
        re.search(
            r"^(\d+\.\d) s of training \((\S+) faces/s\), (\d+\.\d) s of compiling, (\d+\.\d) s of evaluation$",
            said.out,
            re.MULTILINE,
        ).groups(),
    )
    assert compiling == pytest.approx(sum(told), abs=0.21) and told[0] > 0.1
    assert training + compiling + evaluation < whole
    assert speed == pytest.approx(96 / training, rel=0.05 / training + 0.01)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    speeds = [row["faces_per_s"] for row in rows if "faces_per_s" in row]
    assert len(speeds) == 6 and sum(16 / one for one in speeds) < training + 0.06
    # Progress.
    assert "\r" not in said.err
    lines = [line for line in said.err.splitlines() if line.startswith("train: ")]
    assert len(lines) == 12 and lines[0].startswith("train: 8 of 96 faces (8 %), ")
    assert lines[-1].startswith("train: 96 of 96 faces (100 %), ") and ", epoch 1.7, loss 0." in lines[-1]
    for line in lines:
        minutes, seconds = re.search(r" (\d\d):(\d\d) gone, \d\d:\d\d left", line).groups()
        assert 60 * int(minutes) + int(seconds) <= training + evaluation + 1


def test_the_seeds_of_a_grid_compile_once_in_a_process(tmp_path, trained):
    config, _, scores = trained
    data = prepare_config(config.data)
    loop.train(config, tmp_path / "same", data, lambda step: step == 1)  # its programs are the last ones used
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, seconds, **about: compiled.append(about.get("fun_name")) if "backend_compile" in name else None
    )
    other = loop.train(replace(config, seed=7), tmp_path / "other", data)
    assert not [name for name in compiled if name in ("jit(choose_and_update)", "jit(predict)", "jit(init)")]
    assert other.nme != scores.nme


def test_a_dispatch_of_several_steps_ends_where_something_is_due(tmp_path, trained):
    config, workdir, _ = trained
    two = small.config(mesh__data=1, data__data_dir=config.data.data_dir, loop__dispatch_steps=2, loop__save_steps=3)
    assert 12 % 3 == 0 and two.loop.log_steps == 2  # steps 0 1, 2, 3, 4 5, 6 7, 8, 9, 10 11
    loop.train(two, tmp_path, prepare_config(two.data))
    lines = [[json.loads(line) for line in (w / "metrics.jsonl").read_text().splitlines()] for w in (workdir, tmp_path)]
    assert [line["step"] for line in lines[0]] == [line["step"] for line in lines[1]]
    for one, other in zip(*lines, strict=True):
        # Adam makes much of rounding; tests/training/test_steps.py compares the steps themselves.
        assert "loss" not in one or one["loss"] == pytest.approx(other["loss"], rel=0.05)
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps("latest") == [9, 12]
    checkpoints.close()


def test_the_last_step_is_logged_and_kept_and_the_best_is_the_lowest_of_all(tmp_path, trained, monkeypatch):
    """Of 24 steps with four scores; lines and checkpoints are due at numbers that do not divide 24."""
    config, _, scores = trained
    longer = small.config(mesh__data=1, data__data_dir=config.data.data_dir, optim__epochs=4)
    longer.loop.log_steps, longer.loop.save_steps = 10, 7
    given = iter([5.0, 3.0, 4.0, 3.5])
    monkeypatch.setattr(
        Scorer, "score", lambda self, state: Scored(replace(scores, nme=next(given)), np.zeros((20, 29, 2)))
    )
    loop.train(longer, tmp_path, prepare_config(longer.data))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [10, 20, 24]
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps("latest") == [21, 24] and checkpoints.steps("best") == [12]
    checkpoints.close()


def test_a_lines_loss_is_the_mean_since_the_last_line_whatever_is_kept_between(tmp_path, trained):
    config, workdir, _ = trained  # a line of every two steps
    every_six = small.config(mesh__data=1, data__data_dir=config.data.data_dir, loop__log_steps=6, loop__save_steps=4)
    loop.train(every_six, tmp_path, prepare_config(every_six.data))
    means, twos = ([line["loss"] for line in logged(w) if "loss" in line] for w in (tmp_path, workdir))
    np.testing.assert_allclose(means, np.reshape(twos, (2, 3)).mean(1), rtol=1e-5)


def test_a_score_that_is_due_when_it_is_told_to_stop_is_made_when_it_goes_on(tmp_path, trained):
    config, workdir, _ = trained
    assert loop.train(config, tmp_path, prepare_config(config.data), lambda step: step == 6) is None
    assert not any("/" in name for line in logged(tmp_path) for name in line)
    loop.train(config, tmp_path, prepare_config(config.data))
    scores = [[line for line in logged(w) if any("/" in name for name in line)] for w in (workdir, tmp_path)]
    assert [line["step"] for line in scores[0]] == [6, 12] and scores[0] == scores[1]
    kept = [Checkpoints(w) for w in (workdir, tmp_path)]
    assert kept[0].steps("best") == kept[1].steps("best")
    for checkpoints in kept:
        checkpoints.close()


def logged(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_learning_lowers_the_loss(tmp_path, trained):
    config, _, _ = trained
    longer = small.config(mesh__data=1, data__data_dir=config.data.data_dir, optim__epochs=8, optim__decay_epoch=8)
    longer.loop.eval_epochs = 8
    loop.train(longer, tmp_path, prepare_config(longer.data))
    losses = [
        row["loss"] for row in map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines()) if "loss" in row
    ]
    assert np.mean(losses[-6:]) < 0.7 * np.mean(losses[:3])


@pytest.fixture
def at_step_7(monkeypatch):
    """Puts what a function of (state, losses) returns in the place of what training gives in step 7."""

    def install(spoil):
        advance = Resident.advance

        def spoilt(trainer, state, most):
            step = int(state.step)
            state, losses, count = advance(trainer, state, most)
            return (*(spoil(state, losses) if step == 7 else (state, losses)), count)

        monkeypatch.setattr(Resident, "advance", spoilt)

    return install


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path, trained, at_step_7):
    config, _, _ = trained
    at_step_7(lambda state, losses: (state, losses * np.nan))
    with pytest.raises(
        FloatingPointError,
        match=r"first at step 8; the last good checkpoint is that of step 4\. In another --workdir: a lower",
    ):
        loop.train(config, tmp_path, prepare_config(config.data))
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps("latest") == [4]
    checkpoints.close()


def test_a_state_that_an_update_has_broken_is_not_kept_though_its_loss_was_finite(tmp_path, trained, at_step_7):
    config, _, _ = trained

    def break_a_moment(state, losses):
        leaves, tree = jax.tree.flatten(state.opt_state)
        last = max(n for n, leaf in enumerate(leaves) if leaf.dtype == np.float32)
        leaves[last] = leaves[last] * np.nan
        return state.replace(opt_state=jax.tree.unflatten(tree, leaves)), losses

    at_step_7(break_a_moment)
    with pytest.raises(
        FloatingPointError, match=r"moments, are not finite after step 8; the last good checkpoint is that of step 4\."
    ) as raised:
        loop.train(config, tmp_path, prepare_config(config.data))
    assert f"; --config.init_from={tmp_path} starts from what was learnt" in str(raised.value)
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps("latest") == [4] and checkpoints.steps("best") == [6]
    checkpoints.close()


def test_a_file_in_the_place_of_the_folder_is_left_alone(tmp_path, trained):
    config, _, _ = trained
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(ValueError, match="notes: this is a file, and a run needs a folder; choose another --workdir"):
        loop.train(config, tmp_path / "notes", prepare_config(config.data))
    assert (tmp_path / "notes").read_text() == "mine"


def test_what_is_trained_on_shows_the_picture_around_the_crops_and_what_is_scored_does_not(trained):
    config = small.config(data__data_dir=trained[0].data.data_dir, data__context=0.25)
    train, test = load_sets(config, prepare_config)
    assert train.images.shape[1] == 32 + 2 * 8 and test.images.shape[1] == 32


def test_a_single_landmark_is_refused_before_anything_is_trained(tmp_path):
    source = write_faces(tmp_path / "source", only_the_nose)
    config = small.config(data__dataset="coco", data__source=str(source), data__data_dir=str(tmp_path / "sets"))
    with pytest.raises(ValueError, match="coco: its faces have one landmark, and no distance that normalises errors"):
        load_sets(config, prepare_config)


def test_more_faces_in_a_batch_than_there_are(tmp_path, trained):
    config, _, _ = trained
    large = small.config(mesh__data=1, data__data_dir=config.data.data_dir, batch_size=64)
    with pytest.raises(ValueError, match="has 48 faces for an epoch; use a smaller batch"):
        loop.train(large, tmp_path, prepare_config(large.data))
    assert not any(tmp_path.iterdir())


def test_told_to_stop_it_saves_where_it_is_and_before_the_first_step_does_nothing(tmp_path, trained, monkeypatch):
    config, _, _ = trained
    config = small.config(mesh__data=1, data__data_dir=config.data.data_dir, loop__log_steps=1)
    directory = prepare_config(config.data)
    assert loop.train(config, tmp_path, directory, lambda step: step == 0) is None
    assert loop.train(config, tmp_path, directory, lambda step: step == 3) is None
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps("latest") == [3] and checkpoints.steps("best") == []
    checkpoints.close()
    # At the end of an epoch the run that goes on makes the score that was due: the machine may have been about to go.
    monkeypatch.setattr(log, "Stopwatch", lambda name: Stopwatch(name, iter(range(1000)).__next__))
    assert loop.train(config, tmp_path, directory, lambda step: step == 6) is None
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    speeds = {row["step"]: row["faces_per_s"] for row in rows if "loss" in row}
    # The first line after going on is of its own step alone, not of four; the clock counts how often it is read.
    assert speeds[4] == pytest.approx(speeds[5], rel=0.2)
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps("latest")[-1] == 6 and checkpoints.steps("best") == []
    checkpoints.close()
    assert loop.train(config, tmp_path, directory, lambda step: step == 7) is None
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps("latest")[-1] == 7 and checkpoints.steps("best") == [6]
    checkpoints.close()


def test_until_something_is_due_by_hand():
    config = small.config(loop__log_steps=4, loop__save_steps=9)
    intervals = Intervals(config.loop, steps_per_epoch=6, total=20)
    assert "".join(str(intervals.until_due(step)) for step in range(20)) == "43212121132143212121"


@pytest.fixture
def run(tmp_path):
    """Log, checkpoints and losses of a run of six steps an epoch that trains nothing; its clock ticks when it is read.

    What is given as its state says itself whether it is finite.
    """
    config = small.config()
    with closing(Log(tmp_path, 0, 12, 8, False)) as log, closing(Checkpoints(tmp_path)) as checkpoints:
        log.watch = Stopwatch("training", iter(range(100)).__next__)
        check = FiniteCheck(tmp_path, checkpoints, lambda state: state)
        yield SimpleNamespace(checkpoints=checkpoints, check=check, losses=LossLog(config, 6, 0, log, check))


def test_a_line_of_the_log_is_of_the_steps_since_the_last(run, tmp_path):
    """Of 6 steps, the rate falls to a tenth behind the first epoch: the line after step 6 has the rate that it had."""
    run.losses.add(0, np.array([1.0, 2.0]))
    run.losses.add(2, np.array(6.0))
    run.losses.write(3)
    run.losses.add(3, np.array([5.0, 5.0, 5.0]))
    run.losses.write(6)
    one, other = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert (one["step"], other["step"]) == (3, 6) and (one["loss"], other["loss"]) == (3.0, 5.0)
    assert other["learning_rate"] == pytest.approx(1e-3) and (one["epoch"], other["epoch"]) == (0.5, 1.0)
    assert one["faces_per_s"] == other["faces_per_s"] == 3 * 8


def test_what_is_not_finite_names_the_last_of_the_checkpoints(run):
    for step in (4, 8):
        run.checkpoints.save("latest", State(jnp.int32(step), {"kernel": jnp.ones(3)}, {}, (), None), {})
    run.losses.add(9, np.array([1.0, np.inf]))
    with pytest.raises(
        FloatingPointError, match=r"1 of the steps 10\.\.11, first at step 11; the last good .* of step 8\."
    ):
        run.losses.fetch()
    with pytest.raises(
        FloatingPointError, match="the weights, or the optimiser's moments, are not finite after step 11"
    ):
        run.check.state(False, 11)
    run.losses.fetch()
    run.check.state(True, 11)
