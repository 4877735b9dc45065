# SPDX-License-Identifier: Apache-2.0
"""Bad luck with files: what is written stays whole, and the message says what happened."""

import json
import math
import os
import random
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
import xxhash

from barrel_jax import files
from barrel_jax.config import Config
from barrel_jax.faces.landmarks import COFW_29
from barrel_jax.facts import read_facts
from barrel_jax.training import checkpoint, checksums
from barrel_jax.training.checkpoint import Checkpoints, has_checkpoint
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
    last = stopped.stderr.splitlines()[-1]  # whatever the libraries' threads have said
    assert last.startswith("train.py: ") and "a checkpoint could not be written" in last
    assert "the run goes on from step 8" in last and "ERROR:absl" not in stopped.stderr
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


def state_of(step, kernel=None):
    return State(jnp.int32(step), {"kernel": jnp.arange(3000.0) if kernel is None else kernel}, {}, (), None)


def saved(workdir, *steps):
    """A folder with the checkpoints of steps."""
    checkpoints = Checkpoints(workdir)
    for step in steps:
        checkpoints.save("latest", state_of(step), {"of": step})
    checkpoints.close()
    return workdir


NAMES = ("lr=1e-3 #2", "50% data", "a?b", "[v2]", "a\\b", "x%20y", "a|b", "2024-05-01T10:20:30", "gs:", "é\n*", b"\xe9")


@pytest.mark.quick
@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_checkpoints_are_found_again_below_every_name_that_a_file_system_takes(tmp_path, name):
    workdir = tmp_path / os.fsdecode(name)
    saved(workdir, 4, 5, 6)
    assert has_checkpoint(workdir) and {path.name for path in (workdir / "checkpoints/latest").iterdir()} == {"5", "6"}
    checkpoints = Checkpoints(workdir)
    state = checkpoints.newest(state_of(0))
    assert int(state.step) == 6 and checkpoints.facts("latest", 6) == {"of": 6}
    np.testing.assert_array_equal(state.params["kernel"], np.arange(3000.0))
    assert checkpoints.steps("latest") == [5, 6]  # nothing was called damaged
    checkpoints.close()
    assert not list(Path(tempfile.gettempdir()).glob("barrel_jax-*/link/latest/6"))


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1 << random.SystemRandom().randrange(8)
    path.write_bytes(content)


DAMAGE = {
    "a bit": flip,
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.quick
@pytest.mark.parametrize("how", DAMAGE)
def test_whatever_file_of_the_newest_checkpoint_is_damaged_the_one_before_is_taken(tmp_path, how):
    whole = saved(tmp_path / "whole", 5, 6)
    below = whole / "checkpoints" / "latest" / "6"
    weights = [path.relative_to(whole) for path in below.glob("state/**/*") if path.is_file()]
    # That file without which there is nothing to compare with leaves what is compared; orbax's marks are empty.
    weights = [path for path in weights if path.name not in ("commit_success.txt", checksums.NAME)]
    assert len(weights) > 8
    for number, name in enumerate(weights):
        workdir = shutil.copytree(whole, tmp_path / str(number))
        DAMAGE[how](workdir / name)
        checkpoints = Checkpoints(workdir)
        with pytest.raises(ValueError, match=r"latest/6: this checkpoint is damaged; take another .*not as written"):
            checkpoints.restore("latest", 6, state_of(0))
        with pytest.warns(UserWarning, match="that of step 5 is read in its place"):
            assert int(checkpoints.newest(state_of(0), set_aside=False).step) == 5
        with pytest.warns(
            UserWarning, match="is damaged and lies in .*damaged/latest-6 now; the run goes on from step 5"
        ):
            state = checkpoints.newest(state_of(0))
        np.testing.assert_array_equal(state.params["kernel"], np.arange(3000.0))
        assert checkpoints.steps("latest") == [5] and int(state.step) == 5
        checkpoints.close()


def test_a_pipe_in_a_checkpoint_is_not_waited_for(tmp_path):
    saved(tmp_path, 6)
    below = tmp_path / "checkpoints" / "latest" / "6"
    for path in (below / "_CHECKPOINT_METADATA", below / "state" / "manifest.ocdbt"):
        path.rename(tmp_path / "kept")
        os.mkfifo(path)
        with pytest.raises(OSError, match=f"a pipe or a device where a file is wanted; remove it: '{path}'"):
            Checkpoints(tmp_path)
        (tmp_path / "kept").rename(path)
    Checkpoints(tmp_path).close()


def test_a_store_of_nothing_is_no_checkpoint(tmp_path):
    """As where a path was misread; the checkpoint is of before there were checksums."""
    saved(tmp_path, 6)
    for path in (tmp_path / "checkpoints/latest/6/state").glob("*"):
        if path.name in (checksums.NAME, "manifest.ocdbt"):
            path.unlink()
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(ValueError, match=r"is damaged; take another .*\((there are no arrays|.*manifest)"):
        checkpoints.newest(state_of(0))
    checkpoints.close()


def test_what_is_saved_is_looked_for_before_it_counts(tmp_path, monkeypatch):
    empty = SimpleNamespace(list=lambda: SimpleNamespace(result=lambda: []))
    monkeypatch.setattr(checkpoint, "_open", lambda address: empty)
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(OSError, match=r"could not be written; .*the run starts anew .*cannot be found again"):
        checkpoints.save("latest", state_of(4), {})
        checkpoints.wait()
    checkpoints.close()
    assert not has_checkpoint(tmp_path)


def test_checksums_are_of_all_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(checksums, "PIECE", 300)
    content = np.random.default_rng(0).bytes(2500)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_bytes(content)
    (tmp_path / "empty").touch()
    checksums.write(tmp_path)
    # XXH3's published value of nothing.
    expected = {"d/a": xxhash.xxh3_64_hexdigest(content), "empty": "2d06800538d394c2"}
    assert json.loads((tmp_path / checksums.NAME).read_text()) == expected
    assert checksums.damage(tmp_path) == "" and checksums.damage(tmp_path / "d") is None
    (tmp_path / "later").touch()
    assert checksums.damage(tmp_path) == ""
    (tmp_path / "d" / "a").write_bytes(content[:2000])
    assert checksums.damage(tmp_path) == "d/a: not as written"
    (tmp_path / "empty").unlink()
    assert checksums.damage(tmp_path) == "d/a, empty: not as written"
    (tmp_path / checksums.NAME).write_text("[]")
    assert "no object of checksums" in checksums.damage(tmp_path)


def test_checksums_of_earlier_versions_are_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(checksums, "OLD_BLOCK", 1000)
    content = np.random.default_rng(0).bytes(2500)
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "empty").touch()
    blocks = [zlib.crc32(content[start : start + 1000]) for start in (0, 1000, 2000)]
    (tmp_path / checksums.NAME).write_text(json.dumps({"a": blocks, "empty": [0]}))
    assert checksums.damage(tmp_path) == ""
    (tmp_path / "a").write_bytes(content[:2499] + b"?")
    assert checksums.damage(tmp_path) == "a: not as written"


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, as root alone can")
def test_a_folder_that_may_not_be_written_any_more_is_an_error():
    workdir = Path(tempfile.mkdtemp())
    try:
        saved(workdir, 4)
        for path in [workdir, *workdir.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        checkpoints = Checkpoints(workdir)
        os.seteuid(65534)
        try:
            with pytest.raises(
                OSError, match=r"could not be written; .* the run goes on from step 4 .*Permission denied"
            ):
                checkpoints.save("latest", state_of(8), {})
                checkpoints.wait()
        finally:
            os.seteuid(0)
        checkpoints.close()
    finally:
        shutil.rmtree(workdir)


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
    (tmp_path / "run.json").write_text('{"fingerprint": "f", "dataset": "d", "scheme": "s", "num_landmarks": 3}')
    (tmp_path / name).write_text('{"seed": 0, "batch')
    crops = SimpleNamespace(fingerprint="f", dataset="d", scheme=COFW_29, parts=())
    with pytest.raises(ValueError, match=message):
        claim(tmp_path, Config(), crops)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, "this is no JSON"),
        ("[]", "scheme and num_landmarks are missing"),
        ('{"scheme": 3, "num_landmarks": 3}', "scheme is not what a run writes there; put the run's own back"),
        (f'{{"scheme": "s", "num_landmarks": 1{"0" * 400}}}', "num_landmarks is not what a run writes"),
        (f'{{"scheme": "s", "num_landmarks": 1{"0" * 5000}}}', "this is no JSON"),
        ('{"scheme": "s", "num_landmarks": true}', "num_landmarks is not what"),
        ('{"scheme": "s", "num_landmarks": 3, "also": [3]}', "also is not what"),
        ('{"scheme": "s", "num_landmarks": 3, "fingerprint": null}', "fingerprint is not what"),
    ],
)
def test_facts_of_a_run_that_are_none_are_named_in_one_line(tmp_path, content, message):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ValueError, match=f"run.json: .*{message}"):
        read_facts(tmp_path)


@pytest.mark.quick
@pytest.mark.parametrize("name", ["gs:", "s3:", "[v2]", "a\\b"])
def test_a_log_is_written_below_every_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir()
    log = Log(Path(name), 0, 12, 8)
    log.write(2, {"loss": 0.1})
    log.close()
    assert list(Path(name, "tensorboard").iterdir())
    assert json.loads(Path(name, "metrics.jsonl").read_text()) == {"step": 2, "loss": 0.1}


@pytest.mark.quick
@pytest.mark.parametrize(("bytes_a_file", "name"), [(3, "metrics.jsonl"), (200, "tensorboard")])
def test_a_full_disk_is_an_error_of_the_log_and_no_endless_wait(tmp_path, bytes_a_file, name):
    def write_and_close():
        log = Log(tmp_path, 0, 1000, 8)
        try:
            log.write(1, dict.fromkeys("abcdefgh", 0.1))  # 90 bytes as JSON, more than 300 as events
        finally:
            log.close()

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_a_file, hard))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            write_and_close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert raised.value.filename == str(tmp_path / name)


def events_of(folder):
    """Step, tag and value of what TensorBoard reads in a folder; the purge of a step."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:  # a record: its length, a checksum of it, its bytes, a checksum of them
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
            found += [(event.step, "start", 0)] if event.session_log.status == 1 else []
    return found


@pytest.mark.quick
def test_tensorboard_has_every_number_and_where_a_run_went_on(tmp_path):
    log = Log(tmp_path, 4, 12, 8)
    log.write(6, {"loss": 0.5, "test/nme_pupils": 4.0})
    log.close()
    assert events_of(tmp_path / "tensorboard") == [(5, "start", 0), (6, "loss", 0.5), (6, "test/nme_pupils", 4.0)]


@pytest.mark.processes
def test_pytorch_is_not_imported_for_the_log_and_can_be_afterwards(tmp_path):
    pytest.importorskip("torch")
    code = f"""
import sys
from barrel_jax.training.log import Log
log = Log({str(tmp_path)!r}, 0, 12, 8)
log.write(6, {{"loss": 0.5}})
log.close()
assert "tensorboardX" in sys.modules and "torch" not in sys.modules
import torch
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert events_of(tmp_path / "tensorboard") == [(6, "loss", 0.5)]


@pytest.mark.quick
def test_a_broken_line_of_the_log_is_named(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 2, "loss": 0.1}\ngarbage\n{"step": 4}\nhalf a li')
    with pytest.raises(ValueError, match=r"metrics.jsonl, line 2: no step in 'garbage.*delete the line"):
        Log(tmp_path, 4, 12, 8)
