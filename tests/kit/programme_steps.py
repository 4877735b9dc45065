# SPDX-License-Identifier: Apache-2.0
"""Steps for the tests of the GPU programme: a part of its own, whose steps do in seconds what real ones may do."""

import os
import time

from benchmarks.gpu.step import Step


def _count(rows):
    rows.add({"pid": os.getpid(), "at": time.time()})


def _raise(rows):
    rows.add({"error": "this implementation cannot be made"})
    raise RuntimeError("the device is lost")


def _abort(rows):
    _count(rows)
    os.abort()


def _linger(rows):
    _count(rows)
    time.sleep(600)


def steps(settings):
    named = {
        "all": [
            Step("first", "toy", 60, _count),
            Step("raises", "toy", 60, _raise),
            Step("after-raises", "toy", 60, _count, needs=("raises",)),
            Step("aborts", "toy", 60, _abort),
            Step("flagged", "toy", 60, _count, xla_flags="--xla_gpu_no_such_flag=true"),
            Step("too-long", "toy", 1e6, _count),
            Step("after-too-long", "toy", 1, _count, needs=("too-long",)),
            Step("second", "toy", 60, _count),
            Step("third", "toy", 60, _count, needs=("second",)),
        ],
        "lingering": [
            Step("first", "toy", 60, _count),
            Step("lingers", "toy", 60, _linger),
            Step("last", "toy", 60, _count),
        ],
    }
    return named[settings.optimiser]
