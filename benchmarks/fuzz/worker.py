# SPDX-License-Identifier: Apache-2.0
"""One parser under fire in a process of its own: inputs drawn from seeds, outcomes judged, wrong ones kept."""

import json
import random
import re
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from barrel_jax.command_line import MENDABLE, in_one_line
from benchmarks.fuzz.parsers import PARSERS, Parser, Refused

PATIENCE = 10.0  # seconds for one input
EXTRA = 300.0  # seconds beyond its share that a slow parser has for the least number of inputs
MEMORY = 6 << 30
KEPT = 3  # cases of one kind
TOLERANCE = 0.01  # pixels
READ, REFUSED = "read", "refused"


class Hang(BaseException):
    """An input took longer than `PATIENCE`."""


@dataclass
class Input:
    """A changed file, and the points that a reader must find in it; None when it may refuse or find others."""

    content: bytes
    expected: np.ndarray | None = None


@dataclass
class Tally:
    """What has become of a parser's inputs."""

    inputs: int = 0
    outcomes: Counter = field(default_factory=Counter)
    wrong: Counter = field(default_factory=Counter)  # by kind


def draw(parser: Parser, valid: bytes, seed: int) -> Input:
    """The input of a seed: mostly damaged, sometimes unchanged in what it says, or with one number that is another."""
    rng = random.Random(f"{parser.name} {seed}")
    kind = rng.random()
    if parser.truth is not None and parser.same and kind < 0.1:
        return Input(parser.same(rng, valid), parser.truth)
    if parser.truth is not None and parser.token and kind < 0.25:
        place = tuple(rng.randrange(side) for side in parser.truth.shape)
        new = round(rng.uniform(5, 150), 2)
        token = re.escape(parser.token(float(parser.truth[place]), place[-1]).encode())
        changed, count = re.subn(rb"(?<![\d.])" + token + rb"(?![\d])", parser.token(new, place[-1]).encode(), valid)
        if count == 1:
            expected = parser.truth.copy()
            expected[place] = new
            return Input(changed, expected)
    content = valid
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        change = rng.choice(parser.changes)
        try:
            content = change(rng, content)
        except (ValueError, RecursionError, IndexError):  # what an earlier change has left is no JSON, or is a ring
            continue
    return Input(content)


def judge(parser: Parser, folder: Path, case: Input) -> tuple[str, str]:
    """'read' or 'refused' and '', or the kind of a wrong outcome and its traceback or words."""
    try:
        signal.signal(signal.SIGALRM, _hang)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        points = parser.read(folder)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Hang:
        return "hang", traceback.format_exc()
    except MENDABLE as error:
        told = in_one_line(error)
        told = [told] if "\n" not in told else [line for line in told.split("\n") if re.match("  [^(]", line)]
        return _refusal(told, folder, case, traceback.format_exc())
    except Refused as error:
        return _refusal(error.told, folder, case, "")
    except BaseException as error:  # what a campaign is for
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {Path(last.filename).name}:{last.name}", traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if case.expected is not None:
        if points is None or points.shape != case.expected.shape:
            return "misread", f"shape {None if points is None else points.shape}"
        worst = np.abs(points - case.expected).max()
        if not worst <= TOLERANCE:
            return "misread", f"{worst} px at most from what the file says"
    return READ, ""


def _refusal(told: list[str], folder: Path, case: Input, trace: str) -> tuple[str, str]:
    if case.expected is not None:
        return "refused a valid file", "\n".join([*told, trace])
    for line in told:
        if str(folder) not in line:
            return "an error that names no file", f"{line}\n{trace}"
        if "\n" in line:
            return "an error of more than a line", f"{line}\n{trace}"
    return REFUSED, ""


def run(parser: Parser, folder: Path, cases: Path, first: int, seconds: float, least: int) -> Tally:
    """Draws inputs until the seconds have gone and there were enough of them; writes the tally beside the cases."""
    tally, start = Tally(), time.monotonic()
    source = folder / "source"
    source.mkdir(parents=True)
    parser.write(source)
    valid = {path: path.read_bytes() for path in sorted(source.glob(parser.target)) if path.is_file()}
    cases.mkdir(parents=True, exist_ok=True)
    _say(judge(parser, source, Input(b"", parser.truth)), parser)
    seed = first
    while time.monotonic() < start + seconds or (tally.inputs < least and time.monotonic() < start + seconds + EXTRA):
        (folder / "current").write_text(str(seed))
        target = random.Random(seed).choice(list(valid))
        case = draw(parser, valid[target], seed)
        target.unlink()  # HDF5 remembers files by their inode
        target.write_bytes(case.content)
        outcome, words = judge(parser, source, case)
        target.write_bytes(valid[target])
        tally.inputs += 1
        if outcome in (READ, REFUSED):
            tally.outcomes[outcome] += 1
        else:
            tally.wrong[outcome] += 1
            if tally.wrong[outcome] <= KEPT:
                name = re.sub(r"\W+", "-", outcome)
                (cases / f"{name}-{seed}{target.suffix}").write_bytes(case.content)
                (cases / f"{name}-{seed}.trace").write_text(words, encoding="utf-8", errors="backslashreplace")
        seed += 1
        if tally.inputs % 100 == 0:
            _write(cases, tally, seed)
    _write(cases, tally, seed)
    return tally


def _say(outcome: tuple[str, str], parser: Parser) -> None:
    if outcome[0] != READ:
        raise SystemExit(f"{parser.name}: its valid file is not read: {outcome[0]}: {outcome[1]}")


def _write(cases: Path, tally: Tally, seed: int) -> None:
    content = {"inputs": tally.inputs, "next": seed, "outcomes": tally.outcomes, "wrong": tally.wrong}
    (cases / "tally.json").write_text(json.dumps(content))


def _hang(*_: object) -> None:
    raise Hang


def main() -> None:
    """NAME FOLDER CASES FIRST SECONDS LEAST, as `benchmarks.fuzz` calls it."""
    name, folder, cases, first, seconds, least = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    warnings.simplefilter("error")  # what a reader lets through to the user is no answer
    run(PARSERS[name], Path(folder), Path(cases), int(first), float(seconds), int(least))


if __name__ == "__main__":
    main()
