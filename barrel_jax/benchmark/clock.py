# SPDX-License-Identifier: Apache-2.0
"""Alternating repeats, and what is said of them."""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np


def alternate(
    sides: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 2, settle: int = 1
) -> dict[str, list[float]]:
    """Seconds of every repeat of every side, in turns A B C A B C, so that a machine that slows down slows all.

    Args:
      sides: each does its work once and returns when it is done.
      rounds: timed calls of each.
      warm_up: untimed calls of each before the first round.
      settle: untimed calls before each timed one, in which the threads and caches of the side before are left behind.
    """
    for run in sides.values():
        for _ in range(warm_up):
            run()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            for _ in range(settle):
                run()
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def summary(seconds: Sequence[float], images: int) -> dict[str, float]:
    """Median, 95th and 99th percentile in milliseconds, and images per second at the median."""
    median, p95, p99 = np.percentile(seconds, (50, 95, 99))
    return {
        "median_ms": 1e3 * float(median),
        "p95_ms": 1e3 * float(p95),
        "p99_ms": 1e3 * float(p99),
        "images_per_s": images / float(median),
    }
