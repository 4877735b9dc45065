# SPDX-License-Identifier: Apache-2.0
"""The parts of the programme, and the steps of each."""

import importlib
from collections.abc import Sequence

from benchmarks.gpu.settings import Settings
from benchmarks.gpu.step import Step

PARTS = {"speed": "benchmarks.gpu.speed", "accuracy": "benchmarks.gpu.accuracy"}


def steps_of(settings: Settings) -> list[Step]:
    """The steps of a part: those of `PARTS`, or of any module that has `steps`."""
    return importlib.import_module(PARTS.get(settings.part, settings.part)).steps(settings)


def select(steps: Sequence[Step], prefixes: Sequence[str]) -> list[Step]:
    """The steps whose names start with one of the prefixes, and what they need, in their order; all without any.

    Raises:
        ValueError: no name starts with a prefix.
    """
    for prefix in prefixes:
        if not any(step.name.startswith(prefix) for step in steps):
            raise ValueError(
                f"no step's name starts with {prefix!r}; they are {', '.join(step.name for step in steps)}"
            )
    by_name = {step.name: step for step in steps}
    wanted = [step.name for step in steps if not prefixes or step.name.startswith(tuple(prefixes))]
    for name in wanted:  # which grows meanwhile
        wanted += [needed for needed in by_name[name].needs if needed not in wanted]
    return [step for step in steps if step.name in wanted]
