# SPDX-License-Identifier: Apache-2.0
"""The log of a run: JSON lines, TensorBoard, and its progress with faces/s and the time left.

Compiling is timed apart: neither faces/s nor the time left count it.

Of several processes the first alone speaks.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import jax

from barrel_jax import files
from barrel_jax.devices.distributed import is_first
from barrel_jax.progress import progress
from barrel_jax.training.stopwatch import Stopwatch

FLUSH_SECONDS = 120.0  # until TensorBoard sees what was written, at most


class Log:
    """Writes `metrics.jsonl` and TensorBoard events into a run's folder and keeps the progress and the stopwatch."""

    def __init__(self, workdir: Path, start: int, total: int, batch_size: int, rescored: bool) -> None:
        """Begins at step `start` of `total`; `rescored` says whether the scores of that step are made again."""
        self._speaks = is_first()
        self._path = Path(workdir) / "metrics.jsonl" if self._speaks else Path(os.devnull)
        if self._speaks and self._path.exists():
            # What a killed run logged after its last checkpoint is done again, and logged again; so are scores of it.
            lines = enumerate(files.read_text(self._path).splitlines(keepends=True), start=1)
            kept = "".join(line for n, line in lines if line.endswith("\n") and self._keeps(n, line, start, rescored))
            files.write(self._path, lambda temporary: temporary.write_text(kept))
        self._lines = self._path.open("a")
        self._folder, self._start, self._flushed = Path(workdir) / "tensorboard", start, 0.0
        self.watch = Stopwatch("training")
        self.bar = progress(total, "train", "face", start, batch_size, silent=not self._speaks)

    def _keeps(self, number: int, line: str, start: int, rescored: bool) -> bool:
        try:
            values = json.loads(line)
            scores = any("/" in name for name in values)  # of a split
            return values["step"] < start or (values["step"] == start and not (scores and rescored))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self._path}, line {number}: no step in {line[:40]!r}; delete the line") from error

    @cached_property
    def _events(self) -> Any:
        with _without_torch():
            from tensorboardX.record_writer import RecordWriter

        # tensorboardX's SummaryWriter has a thread, which a full disk ends, and whoever writes then waits for ever.
        self._folder.mkdir(exist_ok=True)
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}"
        events = RecordWriter(str((self._folder / name).absolute()))  # in full: gs:/a is taken for a protocol
        events.write(_event(0, file_version="brain.Event:2"))
        # What a killed run wrote after its last checkpoint, or before its first, is not shown.
        events.write(_event(self._start + 1, session_log={"status": "START"}))
        return events

    def write(self, step: int, values: dict[str, float]) -> None:
        """One line of numbers after `step` steps; in metrics.jsonl null for one that is not finite."""
        if not self._speaks:
            return
        with files.named(self._path):
            self._lines.write(json.dumps(files.plain({"step": step} | values), allow_nan=False) + "\n")
            self._lines.flush()
        with files.named(self._folder):
            events = self._events
            for name, value in values.items():
                events.write(_event(step, summary={"value": [{"tag": name, "simple_value": value}]}))
            if time.monotonic() > self._flushed + FLUSH_SECONDS:
                events.flush()
                self._flushed = time.monotonic()

    def say(self, text: str) -> None:
        """A line for people, above the bar."""
        if self._speaks:
            self.bar.write(text)

    @contextmanager
    def apart(self, activity: str) -> Iterator[None]:
        """What is done meanwhile counts neither as training nor for the time left."""
        before = self.watch.seconds(activity)
        with self.watch.during(activity):
            yield
        self.bar.skip(self.watch.seconds(activity) - before)

    def compiled(self, name: str, program: jax.stages.Wrapped) -> Callable:
        """A jitted program that is compiled, and its `name` and the seconds told, when it is first called.

        It takes arguments of that call's types, shapes and layouts alone.
        """
        ready = None

        def call(*arguments: Any) -> Any:
            nonlocal ready
            if ready is None:
                jax.block_until_ready(arguments)  # what the devices still do is not compiling
                before = self.watch.seconds("compiling")
                with self.apart("compiling"):
                    ready = program.lower(*arguments).compile()
                self.say(f"compiled {name} in {self.watch.seconds('compiling') - before:.1f} s")
            return ready(*arguments)

        return call

    def sum_up(self, faces: int) -> None:
        """A line on what the seconds went to, after training on `faces`."""
        training, compiling, evaluation = map(self.watch.seconds, ("training", "compiling", "evaluation"))
        self.say(
            f"{training:.1f} s of training ({faces / training:.3g} faces/s), {compiling:.1f} s of compiling, "
            f"{evaluation:.1f} s of evaluation"
        )

    def close(self) -> None:
        """Flushes everything."""
        self.bar.close()
        with ExitStack() as stack:
            if "_events" in vars(self):  # a line was written
                stack.enter_context(files.named(self._folder))
                stack.callback(self._events.close)
            stack.enter_context(files.named(self._path))
            stack.callback(self._lines.close)


def _event(step: int, **content: Any) -> bytes:
    """What TensorBoard reads as a record."""
    from tensorboardX.proto.event_pb2 import Event

    return Event(wall_time=time.time(), step=step, **content).SerializeToString()


@contextmanager
def _without_torch() -> Iterator[None]:
    """tensorboardX imports PyTorch where there is one, for seconds and memory that numbers have no use for."""
    modules: dict[str, Any] = sys.modules
    if "torch" in modules:
        yield
        return
    modules["torch"] = None  # as Python says that a module is not there
    try:
        yield
    finally:
        del modules["torch"]
