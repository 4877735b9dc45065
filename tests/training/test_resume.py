# SPDX-License-Identifier: Apache-2.0
"""Runs that are killed and started again: they end as if they had not been (bit for bit), on any number of devices."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time

import chex
import jax
import numpy as np
import pytest

from barrel_jax.config import MeshConfig, load_run_config
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.models.build import build_model
from barrel_jax.training.checkpoint import Checkpoints
from barrel_jax.training.optimiser import optimiser
from barrel_jax.training.state import abstract
from tests.kit.in_process import call
from tests.kit.processes import ROOT, environment, started, training, two_training, wait_for_lines
from tests.kit.small import PLAIN_FLAGS

SEED = int(os.environ.get("BARREL_JAX_TEST_SEED") or random.randrange(1 << 32))


def called(workdir, *extra, devices=1):
    """train.py in this process, on some of its devices; returns its exit status."""
    return call("train", training(workdir, f"--config.mesh.data={devices}", *extra)[2:])


def last_state(workdir, num_landmarks=29):
    config = load_run_config(workdir)
    model = build_model(config.model, num_landmarks)
    shape = (model, optimiser(config.optim, 6), config, make_mesh(MeshConfig(data=1)))
    checkpoints = Checkpoints(workdir)
    step = checkpoints.steps("latest")[-1]
    state = jax.device_get(checkpoints.restore("latest", step, abstract(*shape)))
    checkpoints.close()
    return state


def logged(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole") / "run"
    assert called(workdir) == 0
    return workdir


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Likewise of the plain regression, for where it does not matter which model is trained."""
    workdir = tmp_path_factory.mktemp("plain") / "run"
    assert called(workdir, *PLAIN_FLAGS) == 0
    return workdir


def stop_after(line, how, workdir, *extra):
    """Starts training and sends a signal once metrics.jsonl has a number of lines; returns the exit status.

    On one of as many devices as this process has: XLA sums in another order where there are fewer.
    """
    command = training(workdir, "--config.mesh.data=1", *extra)
    with started([command], jax.device_count(), workdir.parent / "logs") as running:
        wait_for_lines(workdir, line, running)
        running[0].send_signal(how)
        return running[0].wait(timeout=300)


@pytest.mark.processes
def test_killed_at_a_random_step_ends_bit_equal(whole, tmp_path):
    line = random.Random(SEED).randint(1, 5)
    print(f"killed after line {line} of the log, by BARREL_JAX_TEST_SEED={SEED}")  # which pytest shows of a failure
    assert stop_after(line, signal.SIGKILL, tmp_path / "run") == -signal.SIGKILL, "the run ended before it was killed"
    assert called(tmp_path / "run") == 0
    expected, state = last_state(whole), last_state(tmp_path / "run")
    assert int(state.step) == int(expected.step) == 12
    chex.assert_trees_all_equal(state, expected)
    predictions = [np.load(w / "eval/synthetic-test/predictions.npz")["points"] for w in (whole, tmp_path / "run")]
    np.testing.assert_array_equal(*predictions)
    # Every step is logged once, as if nothing had happened.
    losses = [[(row["step"], row["loss"]) for row in logged(w) if "loss" in row] for w in (whole, tmp_path / "run")]
    assert losses[0] == losses[1]


@pytest.mark.processes
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_told_to_stop_it_saves_and_leaves_with_status_0(plain, tmp_path, how, capsys):
    assert stop_after(2, how, tmp_path / "run", *PLAIN_FLAGS) == 0
    said = (tmp_path / "logs" / "0.txt").read_text()
    assert "told to stop: saved at step" in said and "the same command goes on" in said
    saved = max(int(path.name) for path in (tmp_path / "run/checkpoints/latest").iterdir() if path.name.isdigit())
    assert called(tmp_path / "run", *PLAIN_FLAGS) == 0
    assert f"going on from step {saved} of 12" in capsys.readouterr().out
    chex.assert_trees_all_equal(last_state(tmp_path / "run"), last_state(plain))


@pytest.mark.processes
@pytest.mark.parametrize(("times", "status"), [(1, 0), (2, -signal.SIGINT)])
def test_ctrl_c_while_it_compiles_saves_and_twice_leaves_at_once(tmp_path, times, status):
    """Before the first step: raised there, KeyboardInterrupt would be a segmentation fault."""
    # A step that is compiled nowhere else, and not kept, so that there is something to compile.
    cold = environment(1) | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1000", "PYTHONUNBUFFERED": "1"}
    command = training(tmp_path / "run", *PLAIN_FLAGS, "--config.optim.learning_rate=0.00123")
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=ROOT, env=cold, **piped) as process:
        said = next(line for line in process.stdout if "M parameters" in line)
        process.send_signal(signal.SIGINT)
        for line in process.stdout:
            said += line
            if "Ctrl-C: saving" in line and times == 2:
                process.send_signal(signal.SIGINT)
    assert process.returncode == status, said
    assert "Traceback" not in said
    assert ("told to stop: saved at step 1 of 12; the same command goes on from there" in said) == (times == 1)


@pytest.mark.processes
def test_ctrl_c_before_there_is_anything_to_save_says_so(tmp_path):
    with subprocess.Popen(
        training(tmp_path / "run", f"--config.data.data_dir={tmp_path}", "--config.data.synthetic_train=4000"),
        cwd=ROOT, env=environment(1), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("synthetic/*/lock")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130 and said.endswith("train.py: stopped; the same command starts again\n"), said


@pytest.mark.processes
def test_two_processes_start_from_a_run_on_two_sets_and_stop_together_and_one_goes_on_with_fewer_devices(
    plain, tmp_path
):
    """SIGTERM to one of two processes of two devices; then one process of two."""
    workdir, alone = tmp_path / "run", tmp_path / "alone"
    given = (*PLAIN_FLAGS, f"--config.init_from={plain}", "--config.data.also=(('synthetic','',0.25),)")
    with two_training(workdir, *given, devices=2) as running:
        wait_for_lines(workdir, 2, running)
        running[1].send_signal(signal.SIGTERM)
        codes = [process.wait(timeout=300) for process in running]
    first, second = ((tmp_path / "logs" / f"{index}.txt").read_text() for index in range(2))
    assert codes == [0, 0], first + second[-3000:]
    assert "(best checkpoint, step " in first and "taken:" not in second
    assert "96 faces to train (an epoch visits 48 of 48 of synthetic, 16 of 48 of synthetic)" in first
    assert json.loads((workdir / "run.json").read_text())["init_from"]["drawn"] == {}
    assert "told to stop: saved at step" in first and "told to stop" not in second
    assert called(workdir, *given, devices=2) == 0 and called(alone, *given) == 0
    steps, ended = ({row["step"]: row["loss"] for row in logged(w) if "loss" in row} for w in (alone, workdir))
    assert steps.keys() == ended.keys()
    stopped = int(re.search(r"told to stop: saved at step (\d+) of 16", first)[1])
    del steps[stopped + stopped % 2], ended[stopped + stopped % 2]  # of the steps since the stop alone, where it is odd
    np.testing.assert_allclose(list(ended.values()), list(steps.values()), rtol=0.02)  # Adam magnifies rounding


@pytest.mark.processes
def test_a_process_that_dies_ends_the_others_with_an_error_that_names_it(tmp_path):
    workdir = tmp_path / "run"
    with two_training(workdir, *PLAIN_FLAGS) as running:
        wait_for_lines(workdir, 1, running)
        running[1].kill()
        assert running[0].wait(timeout=120) not in (0, None)
    # JAX says one or the other, by whether the service or the survivor sees it first.
    named = r"Task 1 heartbeat timeout|stopped sending heartbeats\):\s+1\n"
    assert re.search(named, (tmp_path / "logs" / "0.txt").read_text())


def truncate(checkpoint):
    """Cuts the largest file of a checkpoint in half, as a crash of the machine may."""
    largest = max((path for path in checkpoint.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])


def test_a_truncated_checkpoint_is_passed_over_with_a_warning_for_the_one_before(whole, tmp_path, capsys):
    workdir = tmp_path / "run"
    shutil.copytree(whole, workdir)
    truncate(workdir / "checkpoints" / "latest" / "12")
    said = r"latest/12: this checkpoint is damaged .* the run goes on from step 8"
    with pytest.warns(UserWarning, match=said):
        assert called(workdir) == 0
    assert "going on from step 8 of 12" in capsys.readouterr().out
    assert (workdir / "checkpoints" / "damaged" / "latest-12").is_dir()
    chex.assert_trees_all_equal(last_state(workdir), last_state(whole))


def test_no_checkpoint_that_can_be_read_is_an_error_that_says_what_to_do(whole, tmp_path, capsys):
    workdir = tmp_path / "run"
    shutil.copytree(whole, workdir)
    for step in ("8", "12"):
        truncate(workdir / "checkpoints" / "latest" / step)
    assert called(workdir) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("train.py: ") and said.count("this checkpoint is damaged; take another") == 2
    assert "delete" not in said


def test_a_finished_run_is_not_trained_again(whole, capsys):
    before = (whole / "metrics.jsonl").read_text()
    assert called(whole) == 0
    assert "going on from step 12 of 12" in capsys.readouterr().out
    assert (whole / "metrics.jsonl").read_text() == before


def test_the_folder_of_another_run_is_refused(whole, capsys):
    for extra, message in [
        ("--config.model.stride=16", "model.stride: 32 there, 16 now"),
        ("--config.data.synthetic_seed=7", "belongs to a run on other data"),
    ]:
        assert called(whole, extra) == 1
        said = capsys.readouterr().err
        assert message in said and "choose another --workdir" in said


def test_a_checkpoint_of_another_model_is_refused(whole):
    config = load_run_config(whole)
    config.model.qamem_layers = 0
    shape = (build_model(config.model, 29), optimiser(config.optim, 6), config, make_mesh(MeshConfig(data=1)))
    checkpoints = Checkpoints(whole)
    with pytest.raises(ValueError, match="another model"):
        checkpoints.restore("latest", 12, abstract(*shape))
    checkpoints.close()
