# SPDX-License-Identifier: Apache-2.0
"""Bad luck with files: what is written stays whole, and the message says what happened."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from barrel_jax import files
from barrel_jax.config import Config
from barrel_jax.faces.landmarks import COFW_29
from barrel_jax.training.checkpoint import Checkpoints
from barrel_jax.training.log import Log
from barrel_jax.training.state import State
from barrel_jax.training.workdir import claim

ROOT = Path(__file__).resolve().parents[2]
# A file may not grow beyond the limit: every write of a checkpoint's arrays fails as on a full disk.
LIMITED = """
import resource, runpy, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(limit, workdir, *extra):
    train = ["train.py", "--config", "configs/tiny.py", "--workdir", str(workdir), *extra]
    command = [sys.executable, "-c", LIMITED, str(limit), *train]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.processes
def test_a_disk_that_fills_up_stops_the_run_which_then_goes_on_from_its_last_checkpoint(tmp_path):
    roomy, full = 1 << 34, 5_000_000
    first = run(roomy, tmp_path, "--config.loop.save_steps=8")
    assert first.returncode == 0, first.stderr[-2000:]
    latest = tmp_path / "checkpoints" / "latest"
    shutil.rmtree(latest / "12")
    stopped = run(full, tmp_path, "--config.loop.save_steps=8")
    assert stopped.returncode != 0
    assert "a checkpoint could not be written" in stopped.stderr and "the run goes on from step 8" in stopped.stderr
    assert [path.name for path in latest.iterdir() if path.name.isdigit()] == ["8"]
    again = run(roomy, tmp_path, "--config.loop.save_steps=8")
    assert again.returncode == 0 and "going on from step 8 of 12" in again.stdout


@pytest.mark.quick
def test_a_file_is_whole_or_absent(tmp_path):
    path = tmp_path / "points.npy"

    def fails(temporary):
        np.save(temporary, np.zeros(3))
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        files.write(path, fails)
    assert not list(tmp_path.iterdir())
    files.write_json(tmp_path / "a.json", {"nme": 1.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "a.json", {"nme": float("nan")})
    assert (tmp_path / "a.json").read_text() == '{\n  "nme": 1.5\n}\n'


@pytest.mark.quick
def test_a_best_checkpoint_whose_score_is_lost_is_set_aside(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step, nme in ((4, 6.5), (8, 6.0)):
        state = State(jnp.int32(step), {"kernel": jnp.ones(3)}, {}, (), None)
        checkpoints.save("best", state, {"nme": nme})
    checkpoints.wait()
    assert checkpoints.steps("best") == [8] and checkpoints.best_nme() == 6.0
    (tmp_path / "checkpoints" / "best" / "8" / "facts" / "metadata").write_text('{"nm')
    with pytest.warns(UserWarning, match="best/8: this checkpoint is damaged .* its score is lost"):
        assert checkpoints.best_nme() == math.inf
    assert checkpoints.steps("best") == []
    checkpoints.close()


@pytest.mark.quick
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.json", "config.json: this is no JSON .*; put the run's own back"),
        ("run.json", "run.json: this is no JSON .*; put the run's own back"),
    ],
)
def test_a_broken_file_of_a_run_is_named(tmp_path, name, message):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "run.json").write_text('{"fingerprint": "f", "dataset": "d"}')
    (tmp_path / name).write_text('{"seed": 0, "batch')
    crops = SimpleNamespace(fingerprint="f", dataset="d", scheme=COFW_29, parts=())
    with pytest.raises(ValueError, match=message):
        claim(tmp_path, Config(), crops)


@pytest.mark.quick
def test_a_broken_line_of_the_log_is_named(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 2, "loss": 0.1}\ngarbage\n{"step": 4}\nhalf a li')
    with pytest.raises(ValueError, match=r"metrics.jsonl, line 2: no step in 'garbage.*delete the line"):
        Log(tmp_path, 4, 12, 8)
