# SPDX-License-Identifier: Apache-2.0
"""Several processes of one run on this machine, started and ended by the tests."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def environment(devices: int) -> dict[str, str]:
    return os.environ | {"JAX_NUM_CPU_DEVICES": str(devices), "JAX_PLATFORMS": "cpu"}


def training(workdir: Path, *extra: str) -> list[str]:
    return [sys.executable, "train.py", "--config", "configs/tiny.py", "--workdir", str(workdir), *extra]


@contextmanager
def started(commands: list[list[str]], devices: int, logs: Path) -> Iterator[list[subprocess.Popen]]:
    """Runs the commands at once, their words in `logs/0.txt`, ...; none is left behind."""
    logs.mkdir(parents=True, exist_ok=True)
    files = [(logs / f"{index}.txt").open("w") for index in range(len(commands))]
    running = [
        subprocess.Popen(command, cwd=ROOT, env=environment(devices), stdout=file, stderr=subprocess.STDOUT)
        for command, file in zip(commands, files, strict=True)
    ]
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()
        for file in files:
            file.close()


@contextmanager
def two_training(workdir: Path, *extra: str, devices: int = 4) -> Iterator[list[subprocess.Popen]]:
    """train.py as two processes."""
    port = free_port()
    commands = [
        training(workdir, f"--config.distributed=127.0.0.1:{port},2,{index}", "--config.heartbeat_seconds=10", *extra)
        for index in range(2)
    ]
    with started(commands, devices, workdir.parent / "logs") as running:
        yield running


def wait_for_lines(workdir: Path, lines: int, running: list[subprocess.Popen], seconds: int = 300) -> None:
    """Until metrics.jsonl has a number of lines."""
    log, deadline = workdir / "metrics.jsonl", time.monotonic() + seconds
    while not log.exists() or len(log.read_text().splitlines()) < lines:
        assert all(process.poll() is None for process in running), "a process ended before it was to be stopped"
        assert time.monotonic() < deadline, "training does not log"
        time.sleep(0.01)
