# SPDX-License-Identifier: Apache-2.0
"""Runs that are stopped at ten random moments each, and go on with other devices, end as one that is left alone.

python -m benchmarks.kills

configs/tiny.py with a learning rate so small that a loss shows which faces a step saw and how they were augmented, not
how the weights were rounded. SIGTERM and SIGKILL, one process and two, 8 -> 4 -> 2 devices in turn; writes
benchmarks/results/kills.json.
"""

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from barrel_jax.provenance import ROOT, describe, write

FLAGS = (
    "--config.optim.epochs=20",
    "--config.optim.decay_epoch=20",
    "--config.optim.learning_rate=1e-7",
    "--config.loop.log_steps=1",
    "--config.loop.save_steps=5",
    "--config.loop.eval_epochs=20",
    "--config.heartbeat_seconds=10",
)
STEPS = 120
DEVICES = (8, 4, 2)


def start(workdir: Path, devices: int, processes: int) -> list[subprocess.Popen]:
    """train.py as one or several processes that share `devices`."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listening.getsockname()[1]}"
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices // processes), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "train.py", "--config", "configs/tiny.py", "--workdir", str(workdir), *FLAGS]
    with (workdir.parent / f"{workdir.name}.log").open("a") as log:
        return [
            subprocess.Popen(
                [*command, *([f"--config.distributed={address},{processes},{index}"] if processes > 1 else [])],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
            )
            for index in range(processes)
        ]


def losses(workdir: Path) -> list[tuple[int, float]]:
    """Step and loss of each line of the log."""
    path = workdir / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [(line["step"], line["loss"]) for line in lines if "loss" in line]


def stop_often(workdir: Path, how: signal.Signals, processes: int, rng: random.Random, times: int) -> list[dict]:
    """Stops a run at random moments; what happened each time."""
    stops = []
    for index in range(times):
        devices = DEVICES[index % len(DEVICES)]
        running, moment = start(workdir, devices, processes), rng.uniform(2, 20 * processes)  # two start more slowly
        time.sleep(moment)
        rng.choice(running).send_signal(how)
        told = time.perf_counter()
        codes = [process.wait(timeout=300) for process in running]
        logged = losses(workdir)
        stops.append(
            {
                "after_s": moment,
                "devices": devices,
                "exit": codes,
                "left_after_s": time.perf_counter() - told,
                "steps_logged": logged[-1][0] if logged else 0,
            }
        )
        print(how.name, processes, stops[-1], flush=True)
    return stops


def main() -> None:
    """Runs, stops, compares, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "kills")
    parser.add_argument("--times", type=int, default=10)
    given = parser.parse_args()
    shutil.rmtree(given.runs, ignore_errors=True)
    given.runs.mkdir(parents=True)
    alone = given.runs / "alone"
    for process in start(alone, 1, 1):
        process.wait()
    expected, rows, rng = dict(losses(alone)), [], random.Random(time.time_ns())
    for how in (signal.SIGTERM, signal.SIGKILL):
        for processes in (1, 2):
            workdir = given.runs / f"{how.name}-{processes}"
            stops = stop_often(workdir, how, processes, rng, given.times)
            for process in start(workdir, 1, 1):
                finished = process.wait()
            seen = losses(workdir)
            difference = max(abs(loss / expected[step] - 1) for step, loss in seen)
            rows.append(
                {
                    "signal": how.name,
                    "processes": processes,
                    "stops": stops,
                    "finished": finished,
                    "every_step_once": [step for step, _ in seen] == list(range(1, STEPS + 1)),
                    "largest_difference_of_a_loss": difference,
                    "typical_difference_of_two_steps": float(np.median(np.abs(np.diff(list(expected.values()))))),
                    "damaged": len(list((workdir / "checkpoints").glob("damaged/*"))),
                }
            )
            print({name: value for name, value in rows[-1].items() if name != "stops"}, flush=True)
    write(ROOT / "benchmarks" / "results" / "kills.json", describe("kills") | {"rows": rows})


if __name__ == "__main__":
    main()
