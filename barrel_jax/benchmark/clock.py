# SPDX-License-Identifier: Apache-2.0
"""Timing of implementations that take turns, and the statistics of their repeats."""

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from barrel_jax.benchmark.refusals import reason, refusals

Name = TypeVar("Name", bound=Hashable)
Alone = Callable[[], AbstractContextManager[None]]  # what a timing takes place in, so that nothing else runs


def alternate(
    sides: Mapping[Name, Callable[[], object]],
    rounds: int,
    warm_up: int = 2,
    settle: int = 1,
    dropped: dict[Name, str] | None = None,
) -> dict[Name, list[float]]:
    """Seconds of every repeat of every side, in turns A B C A B C, so that a machine that slows down slows all.

    Args:
        sides: each does its work once and returns when it is done.
        rounds: timed calls of each.
        warm_up: untimed calls of each before the first round.
        settle: untimed calls before each timed one, in which the threads and caches of the side before are left behind.
        dropped: takes the reason of a side that fails, which the others go on without; None lets the failure out.
    """
    dropping = () if dropped is None else refusals()
    seconds: dict[Name, list[float]] = {name: [] for name in sides}

    def call(name: Name, times: int) -> None:
        try:
            for _ in range(times):
                sides[name]()
        except dropping as error:
            if dropped is not None:
                dropped[name] = reason(error)
            del seconds[name]

    for name in sides:
        call(name, warm_up)
    for _ in range(rounds):
        for name in list(seconds):
            call(name, settle)
            if name in seconds:
                start = time.perf_counter()
                call(name, 1)
                end = time.perf_counter()
            if name in seconds:
                seconds[name].append(end - start)
    return seconds


@dataclass(frozen=True)
class Timing:
    """What is said of repeats."""

    median_ms: float
    p95_ms: float  # percentile
    p99_ms: float
    images_per_s: float  # at the median


def summary(seconds: Sequence[float], images: int) -> Timing:
    """Of repeats that each take `images` images."""
    median, p95, p99 = (float(value) for value in np.percentile(seconds, (50, 95, 99)))
    return Timing(1e3 * median, 1e3 * p95, 1e3 * p99, images / median)
