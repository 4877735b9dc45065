# SPDX-License-Identifier: Apache-2.0
"""The small run that every case disturbs, and whether a disturbed one has ended as one that was left alone.

configs/tiny.py with a learning rate so small that a loss shows which faces a step saw and how they were augmented, not
how the weights were rounded.
"""

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tensorstore as ts

from barrel_jax.provenance import ROOT

STEPS, SAVE_STEPS, HEARTBEAT = 12, 4, 10
FLAGS = (
    "--config.data.synthetic_test=4",
    "--config.optim.epochs=2",
    "--config.optim.decay_epoch=2",
    "--config.optim.learning_rate=1e-7",
    "--config.loop.log_steps=1",
    f"--config.loop.save_steps={SAVE_STEPS}",
    "--config.loop.eval_epochs=1",
    "--config.join_seconds=40",
    f"--config.heartbeat_seconds={HEARTBEAT}",
)
PATIENCE = 400  # seconds until a run is taken for hung, also where others use the machine
ROUNDING = 1e-5  # relative, of a loss on other devices; two steps' losses differ by a hundredth and more
SCORES = Path("eval", "synthetic-test", "metrics.json")


@dataclass(frozen=True)
class Layout:
    """Processes of a run, and the devices of all of them together."""

    processes: int = 1
    devices: int = 1


def arguments(workdir: Path) -> list[str]:
    """What train.py is given."""
    return ["--config", "configs/tiny.py", "--workdir", str(workdir), *FLAGS]


def environment(home: Path, devices: int) -> dict[str, str]:
    """Variables of a process with some virtual devices; compiled programs and built sets are shared in `home`."""
    return {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
        "JAX_COMPILATION_CACHE_DIR": str(home / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "BARREL_JAX_DATA": str(home / "sets"),
    }


def start(home: Path, workdir: Path, layout: Layout, log: Path) -> list[subprocess.Popen]:
    """train.py as the processes of a layout, which say what they say in one log."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listening.getsockname()[1]}"
    count, own = layout.processes, environment(home, layout.devices // layout.processes)
    command = [sys.executable, "train.py", *arguments(workdir)]
    with log.open("a") as stream:
        return [
            subprocess.Popen(
                [*command, *([f"--config.distributed={address},{count},{index}"] if count > 1 else [])],
                cwd=ROOT,
                env=os.environ | own,
                stdout=stream,
                stderr=stream,
                start_new_session=True,  # Ctrl-C is the campaign's
            )
            for index in range(count)
        ]


def wait(processes: list[subprocess.Popen]) -> list[int | None]:
    """The exit statuses; None for a process that had to be killed, since it did not end."""
    end, statuses = time.monotonic() + PATIENCE, []
    for process in processes:
        try:
            statuses.append(process.wait(max(0.1, end - time.monotonic())))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            statuses.append(None)
    return statuses


def losses(workdir: Path) -> list[tuple[int, float]]:
    """Step and loss of each whole line of the log."""
    path = workdir / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]


def steps_logged(workdir: Path) -> int:
    """The last step that the log tells of, 0 for none."""
    return max((step for step, _ in losses(workdir)), default=0)


def resumed_from(output: str) -> int:
    """The step that the last start in a log went on from; 0 for a new run."""
    found = re.findall(r"going on from step (\d+)", output)
    return int(found[-1]) if found else 0


def weights(workdir: Path) -> str:
    """A digest of the last state, its values as they are stored."""
    address = f"{workdir}/checkpoints/latest/{STEPS}/state/"
    store = ts.KvStore.open({"driver": "ocdbt", "base": {"driver": "file", "path": address}}).result()
    keys = sorted(store.list().result())
    values = [store.read(key) for key in keys]
    return hashlib.sha256(
        b"".join(key + value.result().value for key, value in zip(keys, values, strict=True))
    ).hexdigest()


def undisturbed(folder: Path, layout: Layout, run: Callable[[Path, Path], None]) -> Path:
    """What is to be compared with: the folder of a run of a layout that was left alone, made once for a campaign.

    Args:
        folder: where such runs are.
        layout: of the run.
        run: trains in a folder to the end, given a file to write its log to.

    Raises:
        RuntimeError: the run did not finish.
    """
    workdir = folder / f"{layout.processes}-{layout.devices}"
    if not (workdir / SCORES).exists():
        shutil.rmtree(workdir, ignore_errors=True)
        workdir.parent.mkdir(parents=True, exist_ok=True)
        log = workdir.with_suffix(".log")
        run(workdir, log)
        if not (workdir / SCORES).exists():
            raise RuntimeError(f"{workdir}: a run that nothing disturbs does not end; see {log}")
    return workdir


def difference(workdir: Path, alone: Path, *, exact: bool) -> str:
    """In what a finished run is not as the one that was left alone; '' for nothing.

    Args:
        workdir: the run's folder.
        alone: that of `undisturbed`.
        exact: to the last bit; else the order of faces, and losses but for rounding.
    """
    seen, expected = losses(workdir), losses(alone)
    if [step for step, _ in seen] != [step for step, _ in expected]:
        return f"steps logged: {[step for step, _ in seen]}"
    for (step, loss), (_, other) in zip(seen, expected, strict=True):
        if loss != other if exact else abs(loss / other - 1) > ROUNDING:
            return f"the loss of step {step} is {loss}, alone {other}"
    if not exact:
        return ""
    scores, others = (json.loads((folder / SCORES).read_text()) for folder in (workdir, alone))
    if scores["nme"] != others["nme"]:
        return f"the NME is {scores['nme']}, alone {others['nme']}"
    return "" if weights(workdir) == weights(alone) else "the last weights are others"
