# SPDX-License-Identifier: Apache-2.0
"""The programme: steps in order of worth while the minutes last; what is there already is not done again.

Steps run in processes of their own, several at a time: they compile together, and one alone has the device. A step
that fails costs itself alone. Whatever ends the programme, the rows so far are on the disk.
"""

import signal
import threading
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from barrel_jax import files
from benchmarks.gpu.clock import Clock
from benchmarks.gpu.settings import Settings
from benchmarks.gpu.step import Step, is_complete
from benchmarks.gpu.worker import Failed, TimeUp, Worker

# A step that takes this many times its estimate hangs; one of few seconds may need a process to start.
PATIENCE = 4.0
START_UP = 120.0


class Log:
    """Lines for people, printed and in DIR/log.txt."""

    def __init__(self, path: Path, clock: Clock) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()

    def __call__(self, text: str) -> None:
        """One line, with the seconds since the start."""
        with self._lock:
            line = f"[{self._clock.gone:6.1f} s] {text}"
            print(line, flush=True)
            with self._path.open("a") as log:
                log.write(line + "\n")


class Programme:
    """One start of the programme on one part."""

    def __init__(
        self, settings: Settings, steps: Sequence[Step], clock: Clock, lanes: int = 1, archive: Path | None = None
    ) -> None:
        """`lanes` processes at a time; `archive`, where given, always holds all of the results as one file."""
        self._settings = settings
        self._steps = steps
        self._clock = clock
        self._lanes = lanes
        self._archive = archive
        self._out = Path(settings.out)
        self._log = Log(self._out / "log.txt", clock)
        self._changed = threading.Condition(threading.RLock())
        self._workers: dict[int, Worker] = {}
        self.stopped = ""  # why nothing more is started
        self.states: dict[str, dict[str, Any]] = {}

    def run(self) -> dict[str, dict[str, Any]]:
        """Does what fits; for each step, what became of it: state (done, failed, skipped, stopped), seconds, reason."""
        self._log(f"{self._settings.part}: {len(self._steps)} steps, {self._clock.left:.0f} s")
        for step in self._steps:
            if is_complete(self._settings.step_file(step.name)):
                self._note(step, "done", reason="of an earlier start")
        heard = {number: signal.signal(number, self._hear) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            threads = [threading.Thread(target=self._lane, args=(lane,)) for lane in range(self._lanes)]
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.2)  # a wait without an end would not hear the signal
        finally:
            for number, before in heard.items():
                signal.signal(number, before)
        for step in self._steps:
            if step.name not in self.states:
                self._note(step, "skipped", reason=self.stopped)
        counts = ", ".join(
            f"{sum(state['state'] == word for state in self.states.values())} {word}"
            for word in ("done", "failed", "skipped", "stopped")
        )
        self._log(f"{self._settings.part}: {counts}; {max(self._clock.left, 0):.0f} s left")
        self._keep()
        return self.states

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.stop(signal.Signals(number).name)

    def stop(self, why: str) -> None:
        """Ends what runs and starts nothing more."""
        self.stopped = why  # no lock here: this is a signal's handler
        for worker in list(self._workers.values()):
            worker.end()

    def _note(self, step: Step, state: str, seconds: float = 0.0, reason: str = "") -> None:
        with self._changed:
            if state == "done" and seconds:
                self._clock.learn(step.seconds, seconds)
            self.states[step.name] = {
                "part": self._settings.part,
                "state": state,
                "seconds": round(seconds, 1),
                "estimate": step.seconds,
                "reason": reason,
            }
            took = f" in {seconds:.1f} s (estimate {step.seconds:.0f} s)" if seconds else ""
            self._log(f"{state} {step.name}{took}{': ' * bool(reason)}{reason}")
            self._changed.notify_all()

    def _take(self) -> Step | None:
        """The next step for a lane, which is noted as running; None when there is none left."""
        with self._changed:
            while not self.stopped:
                waiting = False
                for step in self._steps:
                    if step.name in self.states:
                        continue
                    needed = [self.states.get(name, {}).get("state", "") for name in step.needs]
                    lost = [n for n, s in zip(step.needs, needed, strict=True) if s in ("failed", "skipped", "stopped")]
                    if lost:
                        self._note(step, "skipped", reason=f"it needs {lost[0]}, which was not done")
                    elif any(state != "done" for state in needed) or self._is_full(step.room):
                        waiting = True
                    elif not self._clock.fits(step.seconds):
                        wanted = step.seconds * self._clock.pace
                        self._note(
                            step, "skipped", reason=f"about {wanted:.0f} s, and {max(self._clock.left, 0):.0f} s left"
                        )
                    else:
                        self.states[step.name] = {"state": "running"}
                        return step
                if not waiting:
                    return None
                self._changed.wait(1.0)
        return None

    def _is_full(self, room: str) -> bool:
        running = [step.room for step in self._steps if self.states.get(step.name) == {"state": "running"}]
        return bool(room) and room in running

    def _worker(self, lane: int, step: Step) -> Worker:
        there = self._workers.get(lane)
        if there is None or there.xla_flags != step.xla_flags:
            if there is not None:
                there.end()
            output = self._out / f"output-{self._settings.part}-{lane}.txt"
            self._workers[lane] = Worker(self._settings, step.xla_flags, output)
            if self.stopped:  # meanwhile
                self._workers[lane].end()
        return self._workers[lane]

    def _lane(self, lane: int) -> None:
        while step := self._take():
            self._log(f"start {step.name}")
            start = time.monotonic()
            limit = PATIENCE * max(self._clock.pace, 1.0) * step.seconds + START_UP
            if self._settings.rehearse:  # the estimates are of a GPU
                limit = self._clock.left
            state, reason = "done", ""
            try:
                self._worker(lane, step).do(step.name, min(limit, self._clock.left))
            except Failed as error:
                state, reason = ("stopped", self.stopped) if self.stopped else ("failed", str(error))
            except TimeUp as error:
                state, reason = "stopped", str(error)
            seconds = time.monotonic() - start
            if state != "done":
                del self._workers[lane]
            self._note(step, state, seconds, reason)
            self._keep()
        if lane in self._workers:
            self._workers.pop(lane).end()

    def _keep(self) -> None:
        """Writes what became of the steps, and the archive."""
        with self._changed:
            path = self._out / "programme.json"
            before = files.read_json(path, "delete it")["steps"] if path.exists() else {}
            known = before | {name: state for name, state in self.states.items() if state["state"] != "running"}
            mine = [step.name for step in self._steps if step.name in known]  # in the order of worth
            others = [name for name in known if name not in mine]
            files.write_json(path, {"steps": {name: known[name] for name in others + mine}})
            if self._archive:
                files.write(self._archive, self._pack)

    def _pack(self, path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(self._out.rglob("*")):
                if file.is_file() and not file.name.startswith(".") and file != self._archive:
                    archive.write(file, file.relative_to(self._out))
