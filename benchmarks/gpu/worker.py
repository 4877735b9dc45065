# SPDX-License-Identifier: Apache-2.0
"""The process in which steps are measured: python -m benchmarks.gpu.worker SETTINGS, a step's name a line on stdin.

It answers each with a line on its standard output; what the measured code prints goes to standard error. A step that
fails ends the process: an exception, a device in a state that cannot be used any more and XLA's own end of the process
(which an unknown flag brings about) are all the same to the programme, which starts another.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Empty, Queue

from benchmarks.gpu.quiet import Quiet
from benchmarks.gpu.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
CORES = 4  # for a process: compilers take several


class Failed(Exception):
    """The process has ended before it answered; says why."""


class TimeUp(Exception):
    """No answer within the seconds given; the process was ended."""


class Worker:
    """Such a process, as the programme sees it."""

    def __init__(self, settings: Settings, xla_flags: str, output: Path) -> None:
        self.xla_flags = xla_flags
        self._output = output
        self._skip = output.stat().st_size if output.exists() else 0
        environment = {"TORCHINDUCTOR_COMPILE_THREADS": str(CORES)} | os.environ | {"PYTHONUNBUFFERED": "1"}
        environment["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {xla_flags}".strip()
        self._quiet = quiet_of(settings)
        with output.open("ab") as log, self._quiet.entering():
            # A session of its own, so that its children, such as a loader's processes, end with it.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.gpu.worker", settings.to_json()],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
            self._quiet.enter(self._process.pid)
        self._answers: Queue[str] = Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def do(self, name: str, seconds: float) -> None:
        """Has a step done.

        Raises:
            Failed: the process has ended; says with what last words.
            TimeUp: it was not done within `seconds`; the process is ended.
        """
        try:
            self._process.stdin.write(f"{name}\n")
            self._process.stdin.flush()
            answer = self._answers.get(timeout=max(seconds, 0))
        except Empty:
            self.end()
            raise TimeUp(f"not done within {seconds:.0f} s") from None
        except BrokenPipeError:
            answer = ""
        if not answer:
            with contextlib.suppress(subprocess.TimeoutExpired):  # for the status that it ends with by itself
                self._process.wait(10)
            self.end()
            raise Failed(self._last_words())

    def _last_words(self) -> str:
        with self._output.open("rb") as log:
            log.seek(self._skip)
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
        status = self._process.returncode
        how = f"signal {-status}" if status < 0 else f"status {status}"
        return f"{lines[-1][:500] if lines else 'no message'} ({how})"

    def end(self) -> None:
        """Ends the process and its children."""
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(self._process.pid, 9)
        self._process.wait()
        self._quiet.leave(self._process.pid)
        self._listener.join()
        with contextlib.suppress(BrokenPipeError):  # a step that it did not come to read
            self._process.stdin.close()
        self._process.stdout.close()


def quiet_of(settings: Settings) -> Quiet:
    """What the lanes of this start hold each other with."""
    return Quiet(Path(settings.scratch) / "lanes")


def main() -> None:
    """Does the steps that are named on stdin."""
    # Whatever writes to file descriptor 1 from here on, C++ too, writes to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    settings = Settings.from_json(sys.argv[1])
    from barrel_jax.devices.xla import share_gpu, tune_cpu

    tune_cpu()
    share_gpu()
    from barrel_jax.provenance import describe
    from benchmarks.gpu.parts import steps_of
    from benchmarks.gpu.step import Rows

    steps = {step.name: step for step in steps_of(settings)}
    for line in sys.stdin:
        step = steps[line.strip()]
        head = describe(step.result, "benchmarks.gpu", settings.command)
        head |= {"xla_flags": step.xla_flags, "rehearsal": settings.rehearse}
        rows = Rows(settings.step_file(step.name), head, quiet_of(settings).alone)
        begin, processor = time.perf_counter(), time.process_time()
        step.measure(rows)
        rows.note(
            complete=True,
            seconds=time.perf_counter() - begin,
            processor_s=time.process_time() - processor,
        )
        print("done", file=answers, flush=True)


if __name__ == "__main__":
    main()
