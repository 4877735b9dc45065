# SPDX-License-Identifier: Apache-2.0
"""The machine for one timing at a time: the other lanes, which compile meanwhile, are held until it is over.

Nearly all of the minutes of a timing go into compilers, which use a few cores each and the device hardly at all. So
several steps are prepared at once, and each is timed while the processes of the others are stopped (SIGSTOP).
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

SETTLE = 0.5  # seconds between two looks whether what the others had given to the device has come to its end
LONGEST = 8.0  # seconds of such looks: a training's dispatch takes a few
UTILISATION = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")


def settle() -> None:
    """Waits until the GPUs have nothing more to do; where none can be asked, `SETTLE` alone. Says when it gave up."""
    end = time.monotonic() + LONGEST
    time.sleep(SETTLE)
    if not shutil.which(UTILISATION[0]):
        return
    while time.monotonic() < end:
        try:
            asked = subprocess.run(UTILISATION, capture_output=True, text=True, check=False, timeout=LONGEST)
        except subprocess.TimeoutExpired:
            break
        if asked.returncode or all(line.strip() in ("0", "[N/A]") for line in asked.stdout.splitlines()):
            return
        time.sleep(SETTLE)
    print(f"timed on a device that was not seen idle in {LONGEST:.0f} s", file=sys.stderr)


def started(pid: int) -> str:
    """When a process began, in ticks since the machine did; '' when there is none of that number."""
    try:
        about = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return about.rpartition(")")[2].split()[19]  # the name, which may hold anything, ends with a bracket


class Quiet:
    """What a lane's process holds the others with; each is the leader of a process group of its own."""

    def __init__(self, folder: Path) -> None:
        """`folder` is that of all lanes of one start of the programme."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def entering(self) -> Iterator[None]:
        """Waits until no lane is alone; what is started and enters inside begins while nothing is timed."""
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def enter(self, pid: int) -> None:
        """The process group `pid` is a lane from now on."""
        (self._folder / f"{pid}.lane").write_text(started(pid))

    def leave(self, pid: int) -> None:
        """The process group `pid` has ended; when it held the others, they go on."""
        (self._folder / f"{pid}.lane").unlink(missing_ok=True)
        holder = self._folder / "holder"
        if holder.exists() and holder.read_text() == str(pid):
            self._signal(signal.SIGCONT, pid)
            holder.unlink()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Waits for its turn; inside, no other lane runs."""
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # ends with its process
            own, holder = os.getpid(), self._folder / "holder"
            holder.write_text(str(own))
            self._signal(signal.SIGSTOP, own)
            try:
                settle()
                yield
            finally:
                self._signal(signal.SIGCONT, own)
                holder.unlink()

    def _signal(self, number: signal.Signals, but: int) -> None:
        for lane in self._folder.glob("*.lane"):
            if lane.stem == str(but):
                continue
            if lane.read_text() != started(int(lane.stem)):  # of a start that was killed; the number is another's now
                lane.unlink(missing_ok=True)
                continue
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(lane.stem), number)
