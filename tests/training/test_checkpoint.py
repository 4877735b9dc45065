# SPDX-License-Identifier: Apache-2.0
"""Bad luck with files: what is written stays whole, and the message says what happened."""

import dataclasses
import errno
import json
import math
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xxhash

from barrel_jax import files
from barrel_jax.config import Config, MeshConfig
from barrel_jax.devices.sharding import make_mesh, replicated, split
from barrel_jax.faces.landmarks import COFW_29
from barrel_jax.facts import read_facts
from barrel_jax.input.mixture import join
from barrel_jax.training import array_store, checksums
from barrel_jax.training.checkpoint import Checkpoints, has_checkpoint
from barrel_jax.training.log import Log
from barrel_jax.training.state import State
from barrel_jax.training.stopwatch import Stopwatch
from barrel_jax.training.trained import find_checkpoint
from barrel_jax.training.workdir import claim
from tests.kit import small
from tests.kit.in_process import call
from tests.kit.toy import make_crops

ROOT = Path(__file__).resolve().parents[2]
# A file may not grow beyond the limit: every write of a checkpoint's arrays fails as on a full disk.
LIMITED = """
import resource, runpy, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def limited(limit, *program):
    command = [sys.executable, "-c", LIMITED, str(limit), *program]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.processes
def test_a_disk_that_fills_up_stops_the_run_which_then_goes_on_from_its_last_checkpoint(tmp_path, capsys):
    given = ("--config", "configs/tiny.py", "--workdir", str(tmp_path), "--config.loop.save_steps=8")
    # The checkpoint is to be larger than what else is written.
    given += (*small.PLAIN_FLAGS, "--config.model.backbone=resnet10")
    assert call("train", [*given, "--config.mesh.data=1"]) == 0
    latest = tmp_path / "checkpoints" / "latest"
    shutil.rmtree(latest / "12")
    stopped = limited(5_000_000, "train.py", *given)
    assert stopped.returncode != 0
    last = stopped.stderr.splitlines()[-1]  # whatever the libraries' threads have said, or begun to say
    assert last.startswith("train.py: ") and "a checkpoint could not be written" in last
    assert "the run goes on from step 8" in last and "ERROR:absl" not in stopped.stderr
    assert [path.name for path in latest.iterdir() if path.name.isdigit()] == ["8"]
    capsys.readouterr()
    assert call("train", [*given, "--config.mesh.data=1"]) == 0
    assert "going on from step 8 of 12" in capsys.readouterr().out


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
def test_checkpoints_are_found_again_below_every_name_that_a_file_system_takes(tmp_path, monkeypatch, name):
    temporary = tmp_path / "temporary"  # its own: in the machine's, a process that was killed leaves its links
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    workdir = tmp_path / os.fsdecode(name)
    saved(workdir, 4, 5, 6)
    assert has_checkpoint(workdir) and {path.name for path in (workdir / "checkpoints/latest").iterdir()} == {"5", "6"}
    checkpoints = Checkpoints(workdir)
    state = checkpoints.newest(state_of(0))
    assert int(state.step) == 6 and checkpoints.facts("latest", 6) == {"of": 6}
    np.testing.assert_array_equal(state.params["kernel"], np.arange(3000.0))
    assert checkpoints.steps("latest") == [5, 6]  # nothing was called damaged
    checkpoints.close()
    assert not list(temporary.iterdir())


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
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
    # In how many files of data the arrays lie is up to orbax's threads; which kinds of files there are is not.
    state = below.relative_to(whole) / "state"
    kinds = {str((path.parent if path.parent.name == "d" else path).relative_to(state)) for path in weights}
    theirs = {"ocdbt.process_0/manifest.ocdbt", "ocdbt.process_0/d"}
    assert kinds == {"_METADATA", "_sharding", "manifest.ocdbt", "d"} | theirs
    for number, name in enumerate(weights):
        workdir = shutil.copytree(whole, tmp_path / str(number))
        DAMAGE[how](workdir / name)
        checkpoints = Checkpoints(workdir)
        with pytest.raises(ValueError, match=r"latest/6: this checkpoint is damaged; take another .*not as written"):
            checkpoints.restore("latest", 6, state_of(0))
        reader = Checkpoints(workdir, reading=True)
        with pytest.warns(UserWarning, match="that of step 5 is read in its place"):
            assert int(reader.newest(state_of(0)).step) == 5
        reader.close()
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
    monkeypatch.setattr(array_store, "open_store", lambda address: empty)
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(OSError, match=r"could not be written; .*the run starts anew .*cannot be found again"):
        checkpoints.save("latest", state_of(4), {})
        checkpoints.wait()
    checkpoints.close()
    assert not has_checkpoint(tmp_path)


# TensorStore's words on a full disk, and words of its own on what it was given.
FULL = (
    """RESOURCE_EXHAUSTED: Error writing "params.a/0" in OCDBT database at local file "/r/ocdbt.process_0/": Failed """
    """writing: "/r/d/053c": Failed to write 9887744 bytes to file 4: No space left on device [os_error_code='28']"""
)
MISTAKEN = 'INVALID_ARGUMENT: Error opening "zarr" driver: Expected "float32", but received: "complex"'


def fails_with(error):
    def fail(*given, **named):
        raise error

    return fail


@pytest.mark.parametrize("name", ["save", "wait_until_finished", "close"])
def test_an_error_of_a_file_is_told_as_one_that_could_not_be_written_and_no_other_is(tmp_path, monkeypatch, name):
    checkpoints = Checkpoints(saved(tmp_path, 4))
    manager = checkpoints._managers["latest"]
    call_it = {"save": lambda: checkpoints.save("latest", state_of(8), {}), "close": checkpoints.close}
    call_it = call_it.get(name, checkpoints.wait)
    with monkeypatch.context() as patch:
        for error in (ValueError(FULL), OSError(28, "No space left on device")):
            patch.setattr(manager, name, fails_with(error))
            words = "could not be written; see that there is free space .* goes on from step 4 .*No space left on"
            with pytest.raises(OSError, match=words):
                call_it()
        mistaken = ValueError(MISTAKEN)
        patch.setattr(manager, name, fails_with(mistaken))
        with pytest.raises(ValueError) as raised:
            call_it()
        assert raised.value is mistaken
    checkpoints.close()


def test_a_checkpoint_that_cannot_be_read_or_restored_is_told_apart_from_that_of_another_model(tmp_path, monkeypatch):
    checkpoints = Checkpoints(saved(tmp_path, 4))
    other, mistaken = ValueError("Requested shape: (3,) is not compatible"), ValueError(MISTAKEN)
    with monkeypatch.context() as patch:
        for error in (ValueError(FULL), OSError(5, "Input/output error")):
            patch.setattr(checkpoints._managers["latest"], "restore", fails_with(error))
            with pytest.raises(OSError, match=r"latest/4: this checkpoint cannot be read; .*(No space|output err)"):
                checkpoints.restore("latest", 4, state_of(0))
        patch.setattr(checkpoints._managers["latest"], "restore", fails_with(other))
        with pytest.raises(ValueError, match=r"latest/4: this checkpoint is of another model .*Requested shape"):
            checkpoints.restore("latest", 4, state_of(0, jnp.ones(3)))
        patch.setattr(checkpoints._managers["latest"], "restore", fails_with(mistaken))
        with pytest.raises(ValueError) as raised:
            checkpoints.restore("latest", 4, state_of(0))
        assert raised.value is mistaken
    without = State(jnp.int32(0), {}, {}, (), None)
    with pytest.raises(ValueError, match=r"(?s)latest/4: this checkpoint is of another model .*params\.kernel"):
        checkpoints.restore("latest", 4, without)
    checkpoints.close()


def test_a_file_of_an_earlier_versions_checkpoint_that_cannot_be_read_is_named(tmp_path):
    """It has no checksums, by which the file would be found first; the checkpoint before it is taken all the same."""
    checkpoints = Checkpoints(saved(tmp_path, 2, 4))
    state = tmp_path / "checkpoints/latest/4/state"
    (state / checksums.NAME).unlink()
    (state / "_METADATA").unlink()
    (state / "_METADATA").mkdir()
    with pytest.raises(OSError, match=r"latest/4: this checkpoint cannot be read; .*Is a directory.*_METADATA"):
        checkpoints.restore("latest", 4, state_of(0))
    with pytest.warns(UserWarning, match=r"goes on from step 2 \(.*cannot be read"):
        assert int(checkpoints.newest(state_of(0)).step) == 2
    checkpoints.close()


def test_a_checkpoint_is_written_without_a_program_of_its_own(tmp_path, caplog):
    """Of arrays that every device has, or each a part of: nothing is compiled to cut them."""
    mesh = make_mesh(MeshConfig(data=8))
    leaves = {"whole": np.ones((48, 3)), "parts": np.arange(64.0).reshape(16, 4)}
    layouts = {"whole": replicated(mesh), "parts": split(mesh)}
    state = State(jax.device_put(jnp.int32(3), replicated(mesh)), jax.device_put(leaves, layouts), {}, (), None)
    checkpoints = Checkpoints(tmp_path)
    with jax.log_compiles(), caplog.at_level("WARNING", "jax"):
        checkpoints.save("latest", state, {})
        checkpoints.wait()
    assert "Compiling" not in caplog.text
    restored = checkpoints.restore(
        "latest", 3, jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state)
    )
    chex.assert_trees_all_equal(jax.device_get(restored.params), jax.device_get(state.params))
    checkpoints.close()


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


def test_blocks_of_earlier_versions_are_of_32_mib(tmp_path):
    """As they lie in the checkpoints that there are: the first 2^25 bytes, and the one byte behind them."""
    with (tmp_path / "a").open("wb") as stream:
        stream.seek(2**25)
        stream.write(b"?")
    blocks = [zlib.crc32(bytes(2**25)), zlib.crc32(b"?")]
    (tmp_path / checksums.NAME).write_text(json.dumps({"a": blocks}))
    assert checksums.damage(tmp_path) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, as root alone can")
def test_a_folder_that_may_not_be_written_any_more_is_an_error():
    workdir = Path(tempfile.mkdtemp())
    try:
        saved(workdir, 3, 4)
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
    checkpoints.save("best", State(jnp.int32(12), {"kernel": jnp.ones(3)}, {}, (), None), {"nme": 5.5})
    checkpoints.save("best", State(jnp.int32(12), {"kernel": jnp.zeros(3)}, {}, (), None), {"nme": 0.5})
    checkpoints.wait()
    assert checkpoints.best_nme() == 5.5  # a step that is there is left alone
    facts = tmp_path / "checkpoints" / "best" / "12" / "facts" / "metadata"
    facts.write_text(facts.read_text().replace("5.5", "1.5"))
    with pytest.warns(UserWarning, match="its score is lost .*not as written"):
        assert checkpoints.best_nme() == math.inf
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
        ('{"scheme": "s", "num_landmarks": 3, "machine": "a"}', "machine is not what"),
        ('{"scheme": "s", "num_landmarks": 3, "versions": ["jax"]}', "versions is not what"),
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
    log = Log(Path(name), 0, 12, 8, False)
    log.write(2, {"loss": 0.1})
    log.close()
    assert list(Path(name, "tensorboard").iterdir())
    assert json.loads(Path(name, "metrics.jsonl").read_text()) == {"step": 2, "loss": 0.1}


@pytest.mark.quick
def test_a_number_that_is_not_finite_is_null_in_the_log(tmp_path):
    log = Log(tmp_path, 0, 12, 8, False)
    log.write(2, {"test/nme_pupils": math.nan, "loss": 0.5})
    log.close()
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 2, "test/nme_pupils": null, "loss": 0.5}\n'


@pytest.mark.quick
@pytest.mark.parametrize(("bytes_a_file", "name"), [(3, "metrics.jsonl"), (200, "tensorboard")])
def test_a_full_disk_is_an_error_of_the_log_and_no_endless_wait(tmp_path, bytes_a_file, name):
    def write_and_close():
        log = Log(tmp_path, 0, 1000, 8, False)
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
    log = Log(tmp_path, 4, 12, 8, True)
    log.write(6, {"loss": 0.5, "test/nme_pupils": 4.0})
    written = [(5, "start", 0), (6, "loss", 0.5), (6, "test/nme_pupils", 4.0)]
    # What is written first is there to be seen at once.
    assert events_of(tmp_path / "tensorboard") == written and len((tmp_path / "metrics.jsonl").read_text()) > 40
    log.close()
    assert events_of(tmp_path / "tensorboard") == written


@pytest.mark.processes
def test_pytorch_is_not_imported_for_the_log_and_can_be_afterwards(tmp_path):
    pytest.importorskip("torch")
    code = f"""
import sys
from barrel_jax.training.log import Log
log = Log({str(tmp_path)!r}, 0, 12, 8, False)
log.write(6, {{"loss": 0.5}})
log.close()
assert "tensorboardX" in sys.modules and "torch" not in sys.modules
import torch
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    # A run that begins hides what one that was killed before its first checkpoint has written.
    assert events_of(tmp_path / "tensorboard") == [(1, "start", 0), (6, "loss", 0.5)]


@pytest.mark.quick
def test_a_broken_line_of_the_log_is_named(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 2, "loss": 0.1}\ngarbage\n{"step": 4}\nhalf a li')
    with pytest.raises(ValueError, match=r"metrics.jsonl, line 2: no step in 'garbage.*delete the line"):
        Log(tmp_path, 4, 12, 8, True)


@pytest.mark.quick
def test_what_was_logged_after_the_last_checkpoint_is_left_out(tmp_path):
    lines = [json.dumps({"step": step}) + "\n" for step in (2, 4, 6)]
    (tmp_path / "metrics.jsonl").write_text("".join(lines) + '{"step": 3}')
    Log(tmp_path, 4, 12, 8, True).close()
    assert (tmp_path / "metrics.jsonl").read_text() == "".join(lines[:2])


@pytest.mark.quick
@pytest.mark.parametrize("rescored", [True, False])
def test_scores_of_the_checkpoint_are_kept_unless_they_are_made_again(tmp_path, rescored):
    lines = [json.dumps({"step": 4, name: 1.0}) + "\n" for name in ("loss", "test/nme_pupils")]
    (tmp_path / "metrics.jsonl").write_text("".join(lines))
    Log(tmp_path, 4, 12, 8, rescored).close()
    assert (tmp_path / "metrics.jsonl").read_text() == "".join(lines[:1] if rescored else lines)


@pytest.mark.quick
def test_a_log_sums_up_by_activity_and_leaves_out_what_was_no_training(tmp_path, monkeypatch, capsys):
    log, now, skipped = Log(tmp_path, 0, 12, 8, False), [0.0], []
    log.watch = Stopwatch("training", lambda: now[0])
    monkeypatch.setattr(log.bar, "skip", skipped.append)
    for training, evaluation in ((1, 3), (3, 5)):
        now[0] += training
        with log.apart("evaluation"):
            now[0] += evaluation
    assert skipped == [3, 5]
    log.sum_up(8)
    log.close()
    assert capsys.readouterr().out == "4.0 s of training (2 faces/s), 0.0 s of compiling, 8.0 s of evaluation\n"


def run_json(workdir):
    return json.loads((workdir / "run.json").read_text())


def test_a_run_goes_on_with_other_settings_of_where_and_how_often_and_with_no_others(tmp_path):
    config, crops = small.config(), make_crops(4)
    claim(tmp_path, config, crops, {"from": "runs/a"})
    for name, value in (
        ("loop__log_steps", 7), ("mesh__data", 2), ("distributed", "h:1,2,0"), ("join_seconds", 7),
        ("heartbeat_seconds", 7), ("data__source", "s"), ("data__data_dir", "d"), ("data__allow_partial", True),
        ("data__max_pixels", 7), ("data__resident", False),
    ):  # fmt: skip
        assert claim(tmp_path, small.config(**{name: value}), crops) == "", name
    assert run_json(tmp_path)["init_from"] == {"from": "runs/a"}  # what it started from is kept
    claim(tmp_path, config, crops)
    with pytest.raises(ValueError, match=r"other settings \(seed: 0 there, 1 now\)"):
        claim(tmp_path, small.config(seed=1), crops)
    for epochs in (3, 5):
        assert "lengthened from" in claim(tmp_path, small.config(optim__epochs=epochs), crops)
    assert run_json(tmp_path)["lengthened"] == [[2, 3], [3, 5]]


def test_a_run_on_several_sets_knows_the_boxes_of_the_first_and_no_other_sets_go_on_with_it(tmp_path):
    first, other = make_crops(6), make_crops(6)
    other = dataclasses.replace(other, fingerprint="other", boxes=other.boxes * np.float32(2))
    both = join(first, [(other, 0.5)])
    claim(tmp_path / "first", small.config(), first)
    claim(tmp_path / "both", small.config(), both)
    assert run_json(tmp_path / "both")["box_fit"] == run_json(tmp_path / "first")["box_fit"]
    with pytest.raises(ValueError, match=r"other sets beside toy \(toy, fingerprint other; now none\)"):
        claim(tmp_path / "both", small.config(), first)
    with pytest.raises(ValueError, match="a run on other data"):
        claim(tmp_path / "both", small.config(), other)


def test_a_checkpoint_is_found_by_its_kind_or_step(tmp_path):
    checkpoints = Checkpoints(saved(tmp_path, 4, 12))
    checkpoints.save("best", state_of(8), {"nme": 1.0})
    checkpoints.wait()
    for which, found in (("latest", ("latest", 12)), ("best", ("best", 8)), ("8", ("best", 8)), ("4", ("latest", 4))):
        assert find_checkpoint(tmp_path, checkpoints, which) == found
    there = "no checkpoint '5' in this run; --checkpoint can be: best at step 8; latest at step 4, 12"
    with pytest.raises(FileNotFoundError, match=there):
        find_checkpoint(tmp_path, checkpoints, "5")
    checkpoints.close()


def refuse(monkeypatch, number, folder):
    """Opening what lies below a folder ends with an error of the system."""
    opened = files.open_file

    def open_file(path):
        if folder in Path(path).parents:
            raise OSError(number, os.strerror(number), str(path))
        return opened(path)

    monkeypatch.setattr(files, "open_file", open_file)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.EACCES, errno.EPERM])
def test_what_cannot_be_read_just_now_is_neither_moved_nor_passed_over(tmp_path, monkeypatch, number):
    checkpoints = Checkpoints(saved(tmp_path, 4, 12))
    checkpoints.save("best", state_of(8), {"nme": 1.0})
    checkpoints.wait()
    with monkeypatch.context() as now:
        refuse(now, number, tmp_path / "checkpoints")
        with pytest.raises(OSError, match=f"latest/12: this checkpoint cannot be read; .*{os.strerror(number)}"):
            checkpoints.newest(state_of(0))
        with pytest.raises(OSError, match=os.strerror(number)):
            checkpoints.best_nme()
    assert int(checkpoints.newest(state_of(0)).step) == 12 and checkpoints.best_nme() == 1.0
    assert not (tmp_path / "checkpoints" / "damaged").exists()
    with monkeypatch.context() as now:
        refuse(now, errno.EIO, tmp_path / "checkpoints" / "latest" / "12")
        with pytest.warns(UserWarning, match=r"latest/12: this checkpoint is damaged .* goes on from step 4"):
            assert int(checkpoints.newest(state_of(0)).step) == 4
    checkpoints.close()


def test_a_best_checkpoint_without_a_score_is_set_aside(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("best", state_of(8), {"of": 8})
    checkpoints.wait()
    with pytest.warns(UserWarning, match=r"best/8: .* its score is lost \(no nme among of\)"):
        assert checkpoints.best_nme() == math.inf
    checkpoints.close()


def test_a_run_below_a_way_up_is_saved_and_read(tmp_path):
    (tmp_path / "here").mkdir()
    checkpoints = Checkpoints(saved(tmp_path / "here" / ".." / "there", 4))
    assert checkpoints.steps("latest") == [4] and int(checkpoints.newest(state_of(0)).step) == 4
    checkpoints.close()
    assert (tmp_path / "there" / "checkpoints" / "latest" / "4").is_dir()


def test_reading_makes_nothing_and_finds_what_is_written_meanwhile(tmp_path):
    writer, reader = Checkpoints(saved(tmp_path, 2, 4)), None
    shutil.rmtree(tmp_path / "checkpoints" / "best")
    reader = Checkpoints(tmp_path, reading=True)
    assert reader.steps("best") == [] and not (tmp_path / "checkpoints" / "best").exists()
    for step in (6, 8):  # two are kept: those that the reader knows are gone
        writer.save("latest", state_of(step), {})
        writer.wait()
    assert reader.steps("latest") == [2, 4] and int(reader.newest(state_of(0)).step) == 8
    assert not (tmp_path / "checkpoints" / "damaged").exists()
    reader.close()
    writer.close()
