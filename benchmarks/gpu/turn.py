# SPDX-License-Identifier: Apache-2.0
"""The device for a few trainings at a time, of those that several processes prepare: the others wait, compiled.

Trainings that all shared it would all end late, and at the end of the minutes none would have ended. Two share it, so
that it is at work while one of them scores itself or writes; more where their kernels run beside each other (CUDA's
MPS) and not in slices of time.
"""

import fcntl
import itertools
import time
from pathlib import Path
from typing import TextIO

SHARING = 2  # unless the command says otherwise
WAIT = 0.05  # seconds between two tries


class Turn:
    """The `stop` of `barrel_jax.training.loop.train`: asked between two epochs, it waits, and never says stop."""

    def __init__(self, folder: Path, after: int, total: int, sharing: int) -> None:
        """`folder` is of all that share, `total` the steps of this run; its turn is needed for those beyond `after`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._locks = [folder / f"turn{index}.lock" for index in range(sharing)]
        self._after, self._total = after, total
        self._held: TextIO | None = None  # the lock ends with its process

    def __call__(self, step: int) -> bool:
        """Beyond the steps with which all programs are compiled, waits for its turn; gives it back at the end."""
        if step == self._total and self._held:
            self._held.close()
        elif step > self._after and not self._held:
            self._held = self._wait()
        return False

    def _wait(self) -> TextIO:
        for path in itertools.cycle(self._locks):
            file = path.open("w")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                time.sleep(WAIT)
            else:
                return file
