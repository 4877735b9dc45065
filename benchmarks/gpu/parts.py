# SPDX-License-Identifier: Apache-2.0
"""The parts of the programme, and the steps of each."""

import importlib

from benchmarks.gpu.settings import Settings
from benchmarks.gpu.step import Step

PARTS = {"speed": "benchmarks.gpu.speed", "accuracy": "benchmarks.gpu.accuracy"}


def steps_of(settings: Settings) -> list[Step]:
    """The steps of a part: those of `PARTS`, or of any module that has `steps`."""
    return importlib.import_module(PARTS.get(settings.part, settings.part)).steps(settings)
