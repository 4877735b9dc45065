# SPDX-License-Identifier: Apache-2.0
"""A step of the programme, and the file of its rows, which is on the disk as soon as there is a row."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from barrel_jax import files


class Rows:
    """The file of a step: what `record.describe` says, the rows, and whether the step has ended."""

    def __init__(
        self, path: Path, head: dict[str, Any], alone: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        """Takes up the rows that an earlier start of the step has left in `path`, if they are of the same code; rows
        that failed are measured again. `alone` is what a timing takes place in.
        """
        self.alone = alone
        self._path = path
        self._content = head | {"complete": False, "rows": []}
        if path.exists():
            before = read(path)
            if before["commit"] == head["commit"]:
                self._content |= {name: value for name, value in before.items() if name not in head}
                self._content["rows"] = [row for row in self._content["rows"] if "error" not in row]

    @property
    def done(self) -> list[dict[str, Any]]:
        """The rows so far."""
        return list(self._content["rows"])

    def add(self, row: dict[str, Any]) -> None:
        """One more row, written at once."""
        self._content["rows"].append(row)
        self._write()

    def clear(self) -> None:
        """Forgets the rows of an earlier start, for a step whose rows must be of one run."""
        self._content["rows"] = []

    def note(self, **facts: Any) -> None:
        """What the file says beside its rows, written at once."""
        self._content |= facts
        self._write()

    def _write(self) -> None:
        files.write_json(self._path, files.plain(self._content))


def read(path: Path) -> dict[str, Any]:
    """The file of a step. Raises ValueError when it is no JSON."""
    return files.read_json(path, "delete it, and its step is done again")


def is_complete(path: Path) -> bool:
    """Whether the step of this file has ended."""
    return path.exists() and read(path)["complete"]


@dataclass(frozen=True)
class Step:
    """Something to be measured."""

    name: str  # also of its file, DIR/steps/NAME.json
    result: str  # file of benchmarks/results that its rows belong to
    seconds: float  # estimate, on the GPU alone
    measure: Callable[[Rows], None]
    room: str = ""  # steps of one room, which would not fit on the device together, never run at the same time
    xla_flags: str = ""  # read once in a process: a step that has some runs in one of its own
    needs: tuple[str, ...] = ()  # steps that must have ended before
