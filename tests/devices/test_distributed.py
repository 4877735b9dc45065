# SPDX-License-Identifier: Apache-2.0
"""Processes that cannot be one run, each of which says why before anything is written."""

import os
import socket

import cv2
import pytest

from barrel_jax.devices import distributed
from tests.data.test_coco import face, image, noise, write_json
from tests.kit import small
from tests.kit.processes import free_port, started, training


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("on", "none of auto, off and HOST:PORT,N,I"),
        ("10.0.0.1,2,0", "none of auto, off and HOST:PORT,N,I"),
        ("10.0.0.1:80,2,2", r"process 2 of 2; with 2 processes they are 0\.\.1"),
    ],
)
def test_a_setting_that_names_no_run_says_how_to_write_one(given, message):
    with pytest.raises(ValueError, match=message):
        distributed.start(small.config(distributed=given))


def test_a_coordinator_that_cannot_be_reached_is_named():
    port = free_port()
    with pytest.raises(TimeoutError, match=f"nobody listens at 127.0.0.1:{port} after 1 s .*Process 0 runs there"):
        distributed.start(small.config(distributed=f"127.0.0.1:{port},2,1", join_seconds=1))


def test_a_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port} cannot be had on this host"):
            distributed.start(small.config(distributed=f"127.0.0.1:{port},2,0"))


def test_alone_is_the_default(monkeypatch):
    for names in distributed.LAUNCHERS.values():
        for name in names:
            monkeypatch.delenv(name, raising=False)
    assert distributed._launcher() == ""
    distributed.start(small.config())
    assert distributed.is_first() and distributed.gather("word") == ["word"]
    assert distributed.in_turns(lambda: 3) == distributed.together(lambda: 3) == 3


def test_a_launcher_is_known_by_its_variables(monkeypatch):
    for name in distributed.LAUNCHERS["Slurm"]:
        monkeypatch.setenv(name, "2")
    assert distributed._launcher() == "Slurm"
    monkeypatch.setenv("SLURM_NTASKS", "1")
    assert distributed._launcher() == ""


def test_a_job_of_one_pod_is_told_how_to_train_alone(monkeypatch):
    """Kubernetes says of an indexed job which pod this is, and not how many there are."""
    for name in ("KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"):
        monkeypatch.setenv(name, "0")
    said = r"distributed='auto' takes this process for one of several of Kubernetes .* --config.distributed=off trains"
    with pytest.raises(ValueError, match=said):
        distributed.start(small.config())
    distributed.start(small.config(distributed="off"))


def both(tmp_path, first, second):
    """What two processes say that are started with different flags; both must fail and neither may write."""
    address = f"127.0.0.1:{free_port()}"
    flags = ("--config.heartbeat_seconds=10", "--config.data.image_size=32")
    commands = [
        training(tmp_path / "run", f"--config.distributed={address},2,{index}", *flags, *extra)
        for index, extra in enumerate((first, second))
    ]
    with started(commands, 2, tmp_path / "logs") as running:
        codes = [process.wait(timeout=120) for process in running]
    words = [(tmp_path / "logs" / f"{index}.txt").read_text() for index in range(2)]
    assert 0 not in codes, words
    assert not (tmp_path / "run").exists()
    return words


@pytest.mark.processes
@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ((), ("--config.model.stride=16",), "model.stride: 32 in process 0, 16 in process 1"),
        (("--config.batch_size=6",),) * 2 + ("batch_size=6 does not divide by the 4 devices",),
        (("--config.mesh.data=2",),) * 2 + ("take 2 devices, and there are 4 cpu",),
    ],
)
def test_processes_that_are_not_of_one_run_all_say_so(tmp_path, first, second, message):
    for said in both(tmp_path, first, second):
        assert message in said


@pytest.mark.processes
def test_processes_that_slurm_starts_find_each_other(tmp_path):
    job = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2"}
    commands = []
    for index in range(2):
        names = job | {"SLURM_PROCID": str(index), "SLURM_LOCALID": str(index)}
        words = [f"{name}={value}" for name, value in names.items()]
        commands.append(["env", *words, *training(tmp_path / "run", "--config.batch_size=6")])
    with started(commands, 2, tmp_path / "logs") as running:
        assert 0 not in [process.wait(timeout=120) for process in running]
    for index in range(2):
        assert "does not divide by the 4 devices" in (tmp_path / "logs" / f"{index}.txt").read_text()


def own_faces(folder, seed):
    """Anyone's own faces, four to train on and one to validate on, as flags; the seed decides where."""
    (folder / "images").mkdir(parents=True)
    for index, (split, count) in enumerate((("train", 4), ("val", 1))):
        cv2.imwrite(str(folder / "images" / f"{split}.png"), noise(60, 60, seed + index))
        write_json(
            folder, [image(0, f"{split}.png", 60, 60)], [face(n, 0, 4 + n, 4 + seed) for n in range(count)], split
        )
    return flags_of(folder)


def flags_of(folder):
    flags = ("dataset=coco", f"source={folder}", "test_split=val")
    return (*(f"--config.data.{flag}" for flag in flags), "--config.batch_size=4")


@pytest.mark.processes
def test_processes_that_differ_in_their_data_all_say_so(tmp_path):
    for said in both(tmp_path, own_faces(tmp_path / "a", 0), own_faces(tmp_path / "b", 7)):
        assert "the processes are not of one run (test: " in said and "; train: " in said


@pytest.mark.processes
def test_a_process_without_the_data_is_named_by_all(tmp_path):
    for said in both(tmp_path, own_faces(tmp_path / "a", 0), flags_of(tmp_path / "nowhere")):
        assert "process 1 of 2 on" in said and f"{tmp_path / 'nowhere'}" in said
