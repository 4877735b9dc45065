# SPDX-License-Identifier: Apache-2.0
"""The device for one training at a time, of those that several processes prepare: the others wait with theirs compiled.

Trainings that shared it step by step would all end late, and at the end of the minutes none would have ended.
"""

import fcntl
from pathlib import Path


class Turn:
    """The `stop` of `barrel_jax.training.loop.train`: asked between two epochs, it waits, and never says stop."""

    def __init__(self, lock: Path, total: int) -> None:
        """`lock` is a file that all share, `total` the steps of this run."""
        lock.parent.mkdir(parents=True, exist_ok=True)
        self._file = lock.open("w")  # the lock ends with its process
        self._total = total
        self._held = False

    def __call__(self, step: int) -> bool:
        """After the first epoch, with which the program is compiled, waits for the device; gives it back at the end."""
        if step == self._total:
            self._file.close()
        elif step and not self._held:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            self._held = True
        return False
