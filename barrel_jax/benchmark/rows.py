# SPDX-License-Identifier: Apache-2.0
"""Rows of a measurement: groups of implementations take turns, one that fails costs its own row alone."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeVar

from tqdm import tqdm

from barrel_jax.benchmark.clock import alternate
from barrel_jax.benchmark.frameworks import give_back, give_back_cached
from barrel_jax.benchmark.refusals import reason, refusals

Row = dict[str, Any]
Key = tuple[str, str, str, str, int]
KEY = ("model", "impl", "device", "precision", "batch")  # what tells two rows of one result apart


class Side(Protocol):
    """One implementation, ready to run."""

    @property
    def run(self) -> Callable[[], object]:
        """Does its work once and returns when it is done."""


S = TypeVar("S", bound=Side)


def key_of(row: Mapping[str, Any]) -> Key:
    """The values of `KEY` in a row."""
    return tuple(row[name] for name in KEY)


def failed(rows: Iterable[Row]) -> list[Row]:
    """The rows that have an `error` in the place of numbers."""
    return [row for row in rows if "error" in row]


def measured(rows: Iterable[Row]) -> list[Row]:
    """The rows that have numbers."""
    return [row for row in rows if "error" not in row]


class Rows:
    """The rows of one measurement; each is handed on as soon as it is there.

    Args:
      write: called with every new row; None for nobody.
      done: rows of an earlier call, which are kept as they are, failed ones too.
    """

    def __init__(self, write: Callable[[Row], None] | None, done: Iterable[Row]) -> None:
        self._write, self._rows = write, {key_of(row): row for row in done}

    def missing(self, keys: Iterable[Key]) -> list[Key]:
        """Those of the keys that have no row yet."""
        return [key for key in keys if key not in self._rows]

    def add(self, key: Key, numbers: Row) -> None:
        """A new row: its key, and what was measured or {"error": why}."""
        self._rows[key] = dict(zip(KEY, key, strict=True)) | numbers
        if self._write:
            self._write(self._rows[key])

    def of(self, keys: Iterable[Key]) -> list[Row]:
        """The rows of these keys, in their order."""
        return [self._rows[key] for key in keys]


def measure_in_turns(
    keys: Sequence[Key],
    make: Callable[[Key], S],
    check: Callable[[Mapping[Key, S]], Mapping[Key, str]],
    numbers: Callable[[Key, S, list[float]], Row],
    rounds: int,
    rows: Rows,
    alone: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> None:
    """Makes the sides of a group, checks them against each other, times them in turns, and gives their memory back.

    Args:
      keys: of the rows.
      make: the side of a key.
      check: why sides may not be timed, by key.
      numbers: the row of a side from the seconds of its repeats.
      rounds: timed repeats.
      rows: where every row goes, also of a side that could not be made or run, with the reason.
      alone: what the timing takes place in.
    """
    sides: dict[Key, S] = {}
    for key in tqdm(keys, desc="compile"):
        try:
            sides[key] = make(key)
        except refusals() as error:
            rows.add(key, {"error": _beside(reason(error), sides)})
        give_back_cached()
    for key, why in check(sides).items():
        del sides[key]
        rows.add(key, {"error": why})
    dropped: dict[Key, str] = {}
    with alone():
        seconds = alternate({key: side.run for key, side in sides.items()}, rounds, dropped=dropped)
    for key, side in sides.items():
        if key in dropped:
            rows.add(key, {"error": _beside(dropped[key], sides.keys() - {key})})
        else:
            rows.add(key, numbers(key, side, seconds[key]))
    sides.clear()
    give_back()


def _beside(why: str, others: Iterable[Key]) -> str:
    # Out of memory is a matter of what else was there: alone an implementation may have room enough.
    names = ", ".join(sorted({f"{model} {impl}" for model, impl, *_ in others}))
    return f"{why} (beside {names})" if names and why.startswith("out of memory") else why
