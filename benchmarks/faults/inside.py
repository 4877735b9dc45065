# SPDX-License-Identifier: Apache-2.0
"""Cases that need no process of their own: train.py's own command is called in this one.

python -m benchmarks.faults.inside HOME takes lines of kind and number on standard input, and answers each with a line
of JSON.
"""

import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
import types
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp

import train
from barrel_jax.devices.preemption import Notice
from barrel_jax.training import hold, loop
from benchmarks.faults import mounts, runs
from benchmarks.faults.runs import SAVE_STEPS, STEPS, Layout, difference, resumed_from, steps_logged, undisturbed

Deed = Callable[[], None]
STOPPED = 10  # the step at which the run was stopped whose newest checkpoint is damaged; the one before is of 8
DAMAGES = ("bit flip", "truncation", "deletion", "zeros")
MEGABYTES = 120  # that a run writes at most at a time


def call(workdir: Path, at: int = -1, deed: Deed = lambda: None) -> tuple[int, str]:
    """train.py's own command, and a deed before step `at` (counted from 0) is taken.

    Returns:
        its exit status and what it said.
    """
    heard, done = Notice.reached, []

    def reached(notice: Notice, step: int) -> bool:
        if step == at and not done:
            done.append(step)
            deed()
        return heard(notice, step)

    output = io.StringIO()
    with patch.object(Notice, "reached", reached), redirect_stdout(output), redirect_stderr(output):
        status = train.main(runs.arguments(workdir))
    return status, output.getvalue()


def finish(workdir: Path, log: Path) -> None:
    """A run that nothing disturbs."""
    log.write_text(call(workdir)[1])


def ended(workdir: Path, alone: Path, told: dict[str, Any], before: tuple[int, str], log: Path) -> dict[str, Any]:
    """How a disturbed run ended, which goes on where it was not done, now that the cause is gone.

    Args:
        workdir: its folder.
        alone: that of a run that was left alone.
        told: what was done to it.
        before: exit status and words of the disturbed start.
        log: where all that was said is kept.
    """
    (status, output), logged = before, steps_logged(workdir)
    log.write_text(output)
    line = output.strip().rpartition("\n")[2]
    told = told | {"status": status, "said": line if status else "", "steps_lost": 0}
    if status:
        again, words = call(workdir)
        log.write_text(f"{output}\n--- started again\n{words}")
        if again:
            return told | {"end": "wrong", "why": f"started again: {words.strip().rpartition(chr(10))[2]}"}
        told["steps_lost"] = max(0, logged - resumed_from(words))
    if why := difference(workdir, alone, exact=True):
        return told | {"end": "wrong", "why": why}
    if status and not (line.startswith("train.py: ") and (str(workdir) in line or "checkpoint" in line)):
        return told | {"end": "wrong", "why": "the last line is not ours, or does not say what is lost"}
    if told["steps_lost"] > 2 * SAVE_STEPS:
        return told | {"end": "wrong", "why": f"{told['steps_lost']} steps lost"}
    return told | {"end": "one line" if status else "as if nothing happened"}


def damaged(rng: random.Random, home: Path, folder: Path, alone: Path) -> dict[str, Any]:
    """A file of the newest checkpoint is damaged."""
    stopped, workdir = home / "inside" / f"stopped-{STOPPED}", folder / "run"
    if not stopped.exists():
        making = stopped.with_name("making")
        shutil.rmtree(making, ignore_errors=True)
        call(making, STOPPED, lambda: signal.raise_signal(signal.SIGTERM))
        making.rename(stopped)
    shutil.copytree(stopped, workdir)
    newest = workdir / "checkpoints" / "latest" / str(STOPPED)
    path = rng.choice(sorted(path for path in newest.rglob("*") if path.is_file()))
    how, size = rng.choice(DAMAGES), path.stat().st_size
    told = {"file": str(path.relative_to(newest)), "how": how}
    content = bytearray(path.read_bytes())
    if how == "deletion" or not size:
        path.unlink()
    elif how == "truncation":
        os.truncate(path, rng.randrange(size))
    else:
        begin = rng.randrange(size)
        if how == "zeros":
            end = min(size, begin + rng.choice((1, 512, 4096, size)))
            content[begin:end] = bytes(end - begin)
        else:
            content[begin] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
    status, output = call(workdir)
    (folder / "log").write_text(output)
    line = output.strip().rpartition("\n")[2]
    if status:
        right = line.startswith("train.py: ") and str(newest) in line
        return told | {"end": "one line" if right else "wrong", "why": "" if right else line, "said": line}
    lost = STOPPED - resumed_from(output)
    why = difference(workdir, alone, exact=True)
    if not why and lost and (lost > SAVE_STEPS or "is damaged" not in output):
        why = f"{lost} steps lost, and nothing said of damage"
    end = "wrong" if why else "the checkpoint before" if lost else "as if nothing happened"
    return told | {"end": end, "steps_lost": lost, "why": why}


def full_disk(rng: random.Random, home: Path, folder: Path, alone: Path) -> dict[str, Any]:
    """The disk of the run's folder fills: one of a random size where we may mount, else files may not grow beyond."""
    size = int(rng.uniform(0, MEGABYTES << 20) if rng.random() < 0.5 else 10 ** rng.uniform(3.7, 8))
    disk = folder / "disk"
    disk.mkdir()
    if mounts.may_mount():
        mounts.make_disk(disk, size)
        before = call(disk / "run")
        mounts.make_disk(disk, MEGABYTES << 21, again=True)
        return ended(disk / "run", alone, {"bytes": size}, before, folder / "log")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        before = call(disk / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    return ended(disk / "run", alone, {"bytes_a_file": size}, before, folder / "log")


def read_only(rng: random.Random, home: Path, folder: Path, alone: Path) -> dict[str, Any]:
    """The run's folder may not be written any more, from a random step or from the start."""
    step, workdir = rng.choice((-1, *range(STEPS))), folder / "run"
    workdir.mkdir()

    if step < 0:
        mounts.forbid(workdir)
    try:
        before = call(workdir, step, lambda: mounts.forbid(workdir))
    finally:
        mounts.allow(workdir)
    return ended(workdir, alone, {"step": step}, before, folder / "log")


def clock_back(rng: random.Random, home: Path, folder: Path, alone: Path) -> dict[str, Any]:
    """The clock goes back while a run is stopped, or goes on, at a random step: files are of a time to come."""
    back, step, workdir = 10 ** rng.uniform(0, 9.2), rng.randrange(STEPS), folder / "run"
    stops = rng.random() < 0.5
    now = time.time

    def strftime(form: str) -> str:
        return time.strftime(form, time.localtime(max(0.0, now() - back)))

    def deed() -> None:
        for path in workdir.rglob("*"):
            os.utime(path, (now() + back, now() + back))
        clocks.enter_context(patch.object(hold, "time", types.SimpleNamespace(strftime=strftime)))
        if stops:
            signal.raise_signal(signal.SIGTERM)

    with ExitStack() as clocks:
        before = call(workdir, step, deed)
        if stops and not before[0]:
            status, output = call(workdir)
            before = status, before[1] + output
    told = {"step": step, "seconds_back": back, "stopped_between": stops}
    return ended(workdir, alone, told, before, folder / "log")


def not_a_number(rng: random.Random, home: Path, folder: Path, alone: Path) -> dict[str, Any]:
    """One number of the state becomes NaN at a random step."""
    step, workdir, where, make = rng.randrange(STEPS), folder / "run", "", loop.make_trainer

    class Poisoned:
        def __init__(self, *arguments: Any) -> None:
            self._trainer, self._step = make(*arguments), arguments[2]

        def advance(self, state: Any, most: int) -> Any:
            nonlocal where
            state, losses, count = self._trainer.advance(state, most)
            if self._step <= step < self._step + count and not where:
                leaves, tree = jax.tree_util.tree_flatten_with_path(state)
                chosen = rng.choice(
                    [n for n, (_, leaf) in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)]
                )
                where, leaf = jax.tree_util.keystr(leaves[chosen][0]), leaves[chosen][1]
                poisoned = leaf.ravel().at[rng.randrange(leaf.size)].set(jnp.nan).reshape(leaf.shape)
                values = [
                    jax.device_put(poisoned, leaf.sharding) if n == chosen else x for n, (_, x) in enumerate(leaves)
                ]
                state = jax.tree.unflatten(tree, values)
            self._step += count
            return state, losses, count

    with patch.object(loop, "make_trainer", Poisoned):
        before = call(workdir)
    return ended(workdir, alone, {"step": step, "where": where}, before, folder / "log")


KINDS = {
    "a file of the newest checkpoint damaged": damaged,
    "a disk that fills": full_disk,
    "a read-only folder": read_only,
    "a clock set back": clock_back,
    "a NaN in the state": not_a_number,
}


def try_case(kind: str, rng: random.Random, home: Path, folder: Path) -> dict[str, Any]:
    """How a case of `KINDS` ended. An exception that is no error in a line ends this process with its traceback."""
    alone = undisturbed(home / "inside", Layout(), finish)
    return KINDS[kind](rng, home, folder, alone)


def main() -> None:
    """Answers until standard input ends."""
    home, answers = Path(sys.argv[1]), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    for line in sys.stdin:
        kind, number = json.loads(line)
        with mounts.own_folder() as folder:
            result = try_case(kind, random.Random(f"{kind} {number}"), home, folder)
            log = folder / "log"
            answers.write(json.dumps(result | {"log": log.read_text() if result["end"] == "wrong" else ""}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
