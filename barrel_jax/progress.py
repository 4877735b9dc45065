# SPDX-License-Identifier: Apache-2.0
"""The progress of a task and the time that it still takes: a bar on a terminal, plain lines in a file."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
EVERY = 30.0  # seconds between two lines


class Bar(tqdm):
    """A bar of the mean speed so far."""

    def skip(self, seconds: float) -> None:
        """Leaves out seconds just gone by, which were not the task's: they count neither for its speed nor its time."""
        self.start_t += seconds
        self.last_print_t += seconds


class Lines:
    """What a bar says, as a line every half minute and one at the end; it is spoken to like a bar."""

    def __init__(
        self,
        total: int,
        initial: int,
        desc: str,
        unit: str,
        unit_scale: int,
        clock: Callable[[], float] = time.monotonic,
        silent: bool = False,
    ) -> None:
        self._total, self._initial, self._desc, self._unit, self._scale = total, initial, desc, unit, unit_scale
        self._clock, self._silent = clock, silent
        self._start = self._said_at = clock()
        self._done = self._said = initial
        self._postfix = ""

    def update(self, count: int = 1) -> None:
        """Tells that `count` more are done."""
        self._done += count
        if self._clock() - self._said_at >= EVERY:
            self._say()

    def set_postfix_str(self, words: str) -> None:
        """Words that the next lines end with."""
        self._postfix = words

    def skip(self, seconds: float) -> None:
        """Leaves out seconds just gone by, as a bar does."""
        self._start += seconds
        self._said_at += seconds

    def write(self, text: str) -> None:
        """A line of its own, on standard output."""
        if not self._silent:
            print(text, flush=True)

    def close(self) -> None:
        """Says what has been done since the last line."""
        if self._done > self._said:
            self._say()

    def _say(self) -> None:
        now = self._clock()
        gone, new = now - self._start, self._done - self._initial
        words = [
            f"{self._desc}: {self._done * self._scale} of {self._total * self._scale} {self._unit}s "
            f"({100 * self._done // self._total} %)",
            f"{new * self._scale / max(gone, 1e-9):.3g} {self._unit}s/s",
            f"{tqdm.format_interval(gone)} gone",
            f"{tqdm.format_interval(gone / new * (self._total - self._done))} left",
        ]
        if not self._silent:
            print(", ".join(words + [self._postfix] * bool(self._postfix)), file=sys.stderr, flush=True)
        self._said, self._said_at = self._done, now


def progress(
    total: int, desc: str, unit: str, initial: int = 0, unit_scale: int = 1, silent: bool = False
) -> Bar | Lines:
    """What tells how far a task is, on standard error.

    Args:
        total, initial: how many there are to do, and are done already.
        desc: of the task.
        unit: what is counted, in the singular.
        unit_scale: how many of these each of `total` is.
        silent: for the processes of a run that do not speak.
    """
    if silent or not sys.stderr.isatty():
        return Lines(total, initial, desc, unit, unit_scale, silent=silent)
    return Bar(total=total, initial=initial, desc=desc, unit=unit, unit_scale=unit_scale, smoothing=0)


def follow(items: Iterable[T], total: int, desc: str, unit: str) -> Iterator[T]:
    """The items, telling how far one is with them."""
    with closing(progress(total, desc, unit)) as bar:
        for item in items:
            yield item
            bar.update(1)
