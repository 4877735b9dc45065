# SPDX-License-Identifier: Apache-2.0
"""A run that is killed and started again ends as if it had not been (bit for bit), whatever the number of devices."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from barrel_jax import config as configuration
from barrel_jax.checkpoint import Checkpoints
from barrel_jax.config import MeshConfig
from barrel_jax.optim import optimiser
from barrel_jax.sharding import make_mesh
from barrel_jax.state import abstract, build_model

ROOT = Path(__file__).resolve().parent.parent


def command(workdir, *extra):
    return [sys.executable, "train.py", "--config", "configs/tiny.py", "--workdir", str(workdir), *extra]


def environment(devices):
    return os.environ | {"JAX_NUM_CPU_DEVICES": str(devices)}


def train(workdir, devices, *extra):
    done = subprocess.run(command(workdir, *extra), cwd=ROOT, env=environment(devices), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def last_state(workdir):
    config = configuration.load(workdir)
    shape = (build_model(config.model, 29), optimiser(config.optim, 6), config, make_mesh(MeshConfig(data=1)))
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
    train(workdir, 1)
    return workdir


def kill_after(workdir, devices, line):
    """Starts training and sends SIGKILL once metrics.jsonl has a number of lines."""
    process = subprocess.Popen(
        command(workdir), cwd=ROOT, env=environment(devices), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    log = workdir / "metrics.jsonl"
    deadline = time.monotonic() + 300
    while process.poll() is None and (not log.exists() or len(log.read_text().splitlines()) < line):
        assert time.monotonic() < deadline, "training does not log"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it was killed"


def test_killed_at_a_random_step_ends_bit_equal(whole, tmp_path):
    line = random.SystemRandom().randint(1, 5)
    kill_after(tmp_path / "run", 1, line)
    train(tmp_path / "run", 1)
    expected, state = last_state(whole), last_state(tmp_path / "run")
    assert int(state.step) == int(expected.step) == 12, f"killed after line {line}"
    jax.tree.map(np.testing.assert_array_equal, state, expected)
    predictions = [np.load(w / "eval/synthetic-test/predictions.npz")["points"] for w in (whole, tmp_path / "run")]
    np.testing.assert_array_equal(*predictions)
    # Every step is logged once, as if nothing had happened.
    losses = [[(row["step"], row["loss"]) for row in logged(w) if "loss" in row] for w in (whole, tmp_path / "run")]
    assert losses[0] == losses[1]


def test_going_on_with_eight_devices_keeps_the_order_of_examples(whole, tmp_path):
    kill_after(tmp_path / "run", 1, 4)
    done = train(tmp_path / "run", 8)
    assert "going on from step" in done.stdout or "steps" in done.stdout
    # The same faces and draws give the same losses, up to rounding that Adam magnifies.
    losses = [[row["loss"] for row in logged(w) if "loss" in row] for w in (whole, tmp_path / "run")]
    np.testing.assert_allclose(*losses, rtol=0.02)


def test_a_finished_run_is_not_trained_again(whole):
    before = (whole / "metrics.jsonl").read_text()
    assert "going on from step 12 of 12" in train(whole, 1).stdout
    assert (whole / "metrics.jsonl").read_text() == before


def test_the_folder_of_another_run_is_refused(whole):
    for extra, message in [
        ("--config.model.stride=16", "model.stride: 32 there, 16 now"),
        ("--config.data.synthetic_seed=7", "belongs to a run on other data"),
    ]:
        done = subprocess.run(
            command(whole, extra), cwd=ROOT, env=environment(1), capture_output=True, text=True, check=False
        )
        assert done.returncode and message in done.stderr and "choose another --workdir" in done.stderr


def test_a_checkpoint_of_another_model_is_refused(whole):
    config = configuration.load(whole)
    config.model.qamem_layers = 0
    shape = (build_model(config.model, 29), optimiser(config.optim, 6), config, make_mesh(MeshConfig(data=1)))
    checkpoints = Checkpoints(whole)
    with pytest.raises(ValueError, match="another model"):
        checkpoints.restore("latest", 12, abstract(*shape))
    checkpoints.close()
