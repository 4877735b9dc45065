# SPDX-License-Identifier: Apache-2.0
"""Cases in which processes are killed or paused while they start, train, evaluate and save."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.faults.runs import (
    HEARTBEAT,
    SAVE_STEPS,
    STEPS,
    Layout,
    difference,
    resumed_from,
    start,
    steps_logged,
    undisturbed,
    wait,
)

START = 9.0  # seconds of a processor that a process takes until its first step
ONE, TWO, HALF = Layout(), Layout(2, 2), Layout(1, 2)
# What is done, to processes of which layout, and the layout of the next start.
KINDS = {
    f"{how.name}, {words}": (how, before, after)
    for how in (signal.SIGKILL, signal.SIGTERM)
    for words, before, after in (
        ("one process", ONE, ONE),
        ("two processes", TWO, TWO),
        ("two devices, then one", HALF, ONE),
        ("two processes, then one", TWO, ONE),
    )
} | {
    "SIGSTOP and SIGCONT, one process": (signal.SIGSTOP, ONE, ONE),
    "SIGSTOP and SIGCONT, two processes": (signal.SIGSTOP, TWO, TWO),
}


def _alone(home: Path, layout: Layout) -> Path:
    return undisturbed(home / "processes", layout, lambda workdir, log: _finish(home, workdir, layout, log))


def _finish(home: Path, workdir: Path, layout: Layout, log: Path) -> None:
    wait(start(home, workdir, layout, log))


def _pass_until(running: list[subprocess.Popen], victim: int, workdir: Path, step: int, seconds: float) -> None:
    """Waits for a logged step and some seconds more; before step 1 for seconds of the victim on a processor.

    These tell how far it is on a machine that others use too.
    """

    def there() -> bool:
        return steps_logged(workdir) >= step if step else _seconds_used(running[victim].pid) >= seconds

    while all(process.poll() is None for process in running) and not there():
        time.sleep(0.01)
    if step:
        time.sleep(seconds)


def _seconds_used(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def try_case(kind: str, rng: random.Random, home: Path, folder: Path) -> dict[str, Any]:
    """Starts a run, disturbs it at a random moment, starts it again until it has finished: how that ended.

    Args:
        kind: one of `KINDS`.
        rng: what is random of the case.
        home: the campaign's folder.
        folder: the case's own, in which `log` tells what was said.
    """
    how, before, after = KINDS[kind]
    exact = before == after
    alone = _alone(home, after)
    workdir, log = folder / "run", folder / "log"
    step = rng.randrange(1, STEPS) if rng.random() < 0.6 else 0  # 0: while it starts
    seconds = rng.uniform(0, 0.15) if step else rng.uniform(0, START)
    victim, pause = rng.randrange(before.processes), 0.0
    running = start(home, workdir, before, log)
    _pass_until(running, victim, workdir, step, seconds)
    running[victim].send_signal(how)
    if how == signal.SIGSTOP:
        pause = rng.uniform(1.2, 1.6) * HEARTBEAT if rng.random() < 0.2 else rng.uniform(0.2, 3)
        time.sleep(pause)
        running[victim].send_signal(signal.SIGCONT)
    statuses, logged = wait(running), steps_logged(workdir)
    about = {"step": step, "seconds": seconds, "process": victim, "pause_s": pause, "statuses": statuses}
    told = about | {"started": logged > 0, "steps_logged": logged}
    lost = 0
    if any(statuses) or logged < STEPS:
        log.rename(folder / "log-before")
        again = wait(start(home, workdir, after, log))
        if any(status != 0 for status in again):  # None where it was hung
            return told | {"end": "wrong", "why": f"started again it ended with {again}", "steps_lost": 0}
        lost = max(0, logged - resumed_from(log.read_text(errors="replace")))
    output = "".join(path.read_text(errors="replace") for path in folder.glob("log*"))
    why = difference(workdir, alone, exact=exact)
    if not why and None in statuses:
        why = "a process did not end"
    if not why and "Traceback (most recent call last)" in output:
        why = "a traceback"
    if not why and lost > (0 if how == signal.SIGTERM else 2 * SAVE_STEPS):
        why = f"{lost} steps lost"
    if not why and how == signal.SIGSTOP and pause < HEARTBEAT and any(statuses):
        why = f"a pause ended the run: {statuses}"
    if why:
        return told | {"end": "wrong", "why": why, "steps_lost": lost}
    return told | {"end": "the checkpoint before" if lost else "as if nothing happened", "steps_lost": lost}
