# SPDX-License-Identifier: Apache-2.0
"""The minutes that there are, and what still fits into them."""

import time

# What the first steps took says less of the long ones than that these would take less than half of what was estimated.
LEAST_PACE = 0.5


class Clock:
    """Counts down; learns from the steps that have ended how far the estimates are off."""

    def __init__(self, seconds: float, now: float | None = None) -> None:
        """`seconds` from `now` on, a reading of time.monotonic()."""
        self._start = time.monotonic() if now is None else now
        self._end = self._start + seconds
        self._estimated = self._taken = 0.0

    @property
    def gone(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    @property
    def left(self) -> float:
        """Seconds until the end; below zero after it."""
        return self._end - time.monotonic()

    @property
    def pace(self) -> float:
        """Seconds that the ended steps have taken for each second of their estimates; 1 before any has ended."""
        return max(self._taken / self._estimated, LEAST_PACE) if self._estimated else 1.0

    def learn(self, estimated: float, taken: float) -> None:
        """A step that was estimated at `estimated` seconds has ended after `taken`."""
        self._estimated += estimated
        self._taken += taken

    def fits(self, estimated: float) -> bool:
        """Whether a step of this estimate would end in time at the pace so far."""
        return estimated * self.pace <= self.left
