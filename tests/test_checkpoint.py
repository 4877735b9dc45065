# SPDX-License-Identifier: Apache-2.0
"""Bad luck with files: what is written stays whole, and the message says what happened."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from barrel_jax import files

ROOT = Path(__file__).resolve().parent.parent
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
