# SPDX-License-Identifier: Apache-2.0
"""One run at a time in a folder, which stays the one that it began in."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing

import pytest

from barrel_jax.training import hold
from barrel_jax.training.hold import Hold
from tests.kit.processes import ROOT

pytestmark = pytest.mark.quick
HOLDS = """
import sys, time
from barrel_jax.training.hold import Hold
kept = Hold(sys.argv[1])
print("held", flush=True)
time.sleep(600)
"""


@pytest.mark.processes
def test_the_second_run_in_a_folder_says_who_holds_it_and_takes_over_from_the_dead(tmp_path):
    workdir = tmp_path / "[run] #1"
    with subprocess.Popen([sys.executable, "-c", HOLDS, workdir], cwd=ROOT, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match=rf"another run works in this folder \(process {first.pid} on .* since 20"):
            Hold(workdir)
        first.send_signal(signal.SIGKILL)
    assert first.returncode == -signal.SIGKILL
    with closing(Hold(workdir)) as kept:
        kept.check()
        (workdir / "lock").write_text("half a li")  # what an old one holds is no matter
        with pytest.raises(ValueError, match=r"another run works in this folder \(it has not said which\)"):
            Hold(workdir)
    Hold(workdir).close()


@pytest.mark.parametrize(
    "deed",
    [
        shutil.rmtree,
        lambda workdir: workdir.rename(workdir.with_name("elsewhere")),
        lambda workdir: (
            workdir.rename(workdir.with_name("elsewhere")),
            shutil.copytree(workdir.with_name("elsewhere"), workdir),
        ),
        lambda workdir: (workdir / "lock").unlink(),
    ],
    ids=["deleted", "moved", "replaced", "lock deleted"],
)
def test_a_folder_that_is_gone_is_missed(tmp_path, deed):
    with closing(Hold(tmp_path / "run")) as kept:
        kept.check()
        deed(tmp_path / "run")
        with pytest.raises(OSError, match="run: this folder was deleted, moved or replaced while the run worked in it"):
            kept.check()


def test_a_file_in_its_place_and_a_disk_without_locks_are_said(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file: this is a file, and a run needs a folder; choose another --workdir"):
        Hold(tmp_path / "file")

    def none(stream, operation):
        raise OSError(hold.errno.ENOLCK, os.strerror(hold.errno.ENOLCK))

    monkeypatch.setattr(hold.fcntl, "flock", none)
    with pytest.warns(UserWarning, match="no locks here .* start no second run in it"):
        Hold(tmp_path / "run").close()


def test_the_lock_says_who_holds_it_and_nothing_of_who_did(tmp_path):
    workdir = tmp_path / "runs" / "a"  # neither is there yet
    Hold(workdir).close()
    (workdir / "lock").write_text("x" * 1000)
    with closing(Hold(workdir)):
        assert json.loads((workdir / "lock").read_text())["process"] == os.getpid()
