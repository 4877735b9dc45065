# SPDX-License-Identifier: Apache-2.0
"""A stopwatch of a run's seconds, by activity."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopwatch:
    """Seconds by activity; each second counts for one of them, the innermost."""

    def __init__(self, activity: str, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._activity, self._since = clock, activity, clock()
        self._seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def during(self, activity: str) -> Iterator[None]:
        """Counts for another activity meanwhile."""
        outer = self._activity
        self._change(activity)
        try:
            yield
        finally:
            self._change(outer)

    def seconds(self, activity: str) -> float:
        """The seconds of an activity until now."""
        self._change(self._activity)
        return self._seconds[activity]

    def _change(self, activity: str) -> None:
        now = self._clock()
        self._seconds[self._activity] += now - self._since
        self._activity, self._since = activity, now
