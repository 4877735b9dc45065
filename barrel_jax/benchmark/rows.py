# SPDX-License-Identifier: Apache-2.0
"""Rows of a measurement: groups of implementations take turns, one that fails costs its own row alone."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Protocol, TypeVar

from tqdm import tqdm

from barrel_jax.benchmark.clock import Alone, Timing, alternate
from barrel_jax.benchmark.frameworks import give_back, give_back_cached
from barrel_jax.benchmark.refusals import reason, refusals


class Key(NamedTuple):
    """What tells two rows of one result apart."""

    model: str  # as `paper.model_of` reads it
    impl: str
    device: str
    precision: str
    batch: int


@dataclass(frozen=True)
class Failed:
    """A row without numbers."""

    key: Key
    error: str  # why, a line


@dataclass(frozen=True)
class Measured:
    """A row with numbers."""

    key: Key
    timing: Timing
    repeats: int
    cold_s: float  # of making the side and of its first call
    largest_difference: float | None  # of the sides' outputs, in crop units; None where a side could not say its own
    flags: Mapping[str, str]  # what the framework was told of precision


@dataclass(frozen=True)
class Inferred(Measured):
    """From crops to points."""

    parameters: int
    gflops: float | None  # per second; None where nobody counts operations


@dataclass(frozen=True)
class Trained(Measured):
    """A training step."""

    steps_per_s: float
    recipe_minutes: float  # of the paper's recipe on WFLW
    steps_a_call: int


Row = Failed | Inferred | Trained


def to_json(row: Row) -> dict[str, Any]:
    """A row as results keep it: one flat object."""
    own = {field.name: getattr(row, field.name) for field in fields(row)}
    timing = own.pop("timing", None)
    return own.pop("key")._asdict() | (vars(timing) if timing else {}) | own


def from_json(record: Mapping[str, Any]) -> Row:
    """A row that results keep; what else stands beside it (a step's own notes) is left out."""
    key = Key(*(record[name] for name in Key._fields))
    if "error" in record:
        return Failed(key, record["error"])
    timing = Timing(**{field.name: record[field.name] for field in fields(Timing)})
    kind = Trained if "recipe_minutes" in record else Inferred
    own: Any = {field.name: record.get(field.name) for field in fields(kind)} | {"key": key, "timing": timing}
    return kind(**own)


class Side(Protocol):
    """One implementation, ready to run."""

    @property
    def run(self) -> Callable[[], object]:
        """Does its work once and returns when it is done."""


S = TypeVar("S", bound=Side)


def failed(rows: Iterable[Row]) -> list[Failed]:
    """The rows without numbers."""
    return [row for row in rows if isinstance(row, Failed)]


class Rows:
    """The rows of one measurement; each is handed on as soon as it is there.

    Args:
        write: called with every new row; None for nobody.
        done: rows of an earlier call, which are kept as they are, failed ones too.
    """

    def __init__(self, write: Callable[[Row], None] | None, done: Iterable[Row]) -> None:
        self._write, self._rows = write, {row.key: row for row in done}

    def missing(self, keys: Iterable[Key]) -> list[Key]:
        """Those of the keys that have no row yet."""
        return [key for key in keys if key not in self._rows]

    def add(self, row: Row) -> None:
        """A new row."""
        self._rows[row.key] = row
        if self._write:
            self._write(row)

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
    alone: Alone = nullcontext,
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
            rows.add(Failed(key, _beside(reason(error), sides)))
        give_back_cached()
    for key, why in check(sides).items():
        del sides[key]
        rows.add(Failed(key, why))
    dropped: dict[Key, str] = {}
    with alone():
        seconds = alternate({key: side.run for key, side in sides.items()}, rounds, dropped=dropped)
    for key, side in sides.items():
        if key in dropped:
            rows.add(Failed(key, _beside(dropped[key], sides.keys() - {key})))
        else:
            rows.add(numbers(key, side, seconds[key]))
    sides.clear()
    give_back()


def _beside(why: str, others: Iterable[Key]) -> str:
    # Out of memory is a matter of what else was there: alone an implementation may have room enough.
    names = ", ".join(sorted({f"{model} {impl}" for model, impl, *_ in others}))
    return f"{why} (beside {names})" if names and why.startswith("out of memory") else why
