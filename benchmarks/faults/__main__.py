# SPDX-License-Identifier: Apache-2.0
"""Disturbs a small run as failing machines do: python -m benchmarks.faults --minutes 60 [--out FILE]

A case is a kind and a number, which decides all that is random in it; `--case "a NaN in the state:7"` repeats one. It
has ended well as if nothing happened (the same faces in the same order, and the same bits where the devices are the
same), at the checkpoint before, or with one line that says what is lost, after which the same command goes on to the
same end. Every other end is wrong, and kept with its log in HOME/COMMIT/wrong. Stopped and started again, the campaign
goes on behind the cases that it has of this commit. Cases that start processes of their own go on beside the others.
"""

import argparse
import json
import os
import random
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from barrel_jax import files
from barrel_jax.provenance import ROOT, describe, write
from benchmarks.faults import inside, mounts, processes
from benchmarks.faults.runs import PATIENCE, environment

ENDS = ("as if nothing happened", "the checkpoint before", "one line", "wrong")
MOST = 40  # cases of one process, whose memory grows with the programs of each


class Inside:
    """The process in which `inside`'s cases are tried, started anew when one has ended it."""

    def __init__(self, home: Path) -> None:
        self._home, self._process, self._tried = home, None, 0
        self._log: IO[str] | None = None

    def try_case(self, kind: str, number: int) -> dict[str, Any]:
        """How the case ended."""
        if self._process is None or self._tried >= MOST:
            self.close()
            self._log = (self._home / "inside.log").open("w+")
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.faults.inside", str(self._home)],
                cwd=ROOT,
                env=os.environ | environment(self._home, 1),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                start_new_session=True,  # Ctrl-C is the campaign's
            )
        self._tried += 1
        self._process.stdin.write(json.dumps([kind, number]) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], 2 * PATIENCE)
        if ready and (answer := self._process.stdout.readline()):
            return json.loads(answer)
        why = "the process ended" if ready else "it hangs"
        self._log.seek(0)
        log = self._log.read()[-20_000:]
        self.close()
        return {"end": "wrong", "why": why, "log": log, "steps_lost": 0}

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process, self._tried = None, 0


def attempt(kind: str, number: int, home: Path, within: Inside) -> dict[str, Any]:
    """A case: its kind, its number, what was drawn, its end; what was said stays in `home` where that is wrong."""
    begun = time.monotonic()
    if kind in inside.KINDS:
        result = within.try_case(kind, number)
        log = result.pop("log", "")
    else:
        with mounts.own_folder() as folder:
            result = processes.try_case(kind, random.Random(f"{kind} {number}"), home, folder)
            log = "\n---\n".join(path.read_text(errors="replace") for path in sorted(folder.glob("log*"), reverse=True))
    result = {"kind": kind, "number": number} | result | {"seconds": round(time.monotonic() - begun, 1)}
    if result["end"] == "wrong":
        path = home / "wrong" / f"{re.sub(r'[^A-Za-z0-9]+', '-', kind)}-{number}.log"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(result, indent=2) + "\n" + log)
    return result


def choose(kinds: Iterable[str], cases: list[dict[str, Any]]) -> tuple[str, int]:
    """The kind that has had the fewest cases, and its next number."""
    counts = dict.fromkeys(kinds, 0)
    for case in cases:
        if case["kind"] in counts:
            counts[case["kind"]] += 1
    kind = min(counts, key=counts.__getitem__)
    return kind, counts[kind] + 1


def summary(kinds: Iterable[str], cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each kind: cases, their ends, steps lost."""
    rows = []
    for kind in kinds:
        own = [case for case in cases if case["kind"] == kind]
        ends = {end: sum(case["end"] == end for case in own) for end in ENDS}
        lost = [case.get("steps_lost", 0) for case in own]
        row = {"kind": kind, "cases": len(own), "ends": ends, "steps_lost": sum(lost)}
        row |= {"most_steps_lost": max(lost, default=0), "seconds": round(sum(case["seconds"] for case in own))}
        if kind in processes.KINDS:
            row["after_the_first_step"] = sum(case.get("started", False) for case in own)
        rows.append(row)
    return rows


def read_cases(path: Path) -> list[dict[str, Any]]:
    """The cases that were tried."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main() -> int:
    """The campaign, or one case; returns 1 where an end is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, help="of this start (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="result of all cases of this commit in --home")
    parser.add_argument("--home", type=Path, default=ROOT / "runs" / "faults", help="default: %(default)s")
    parser.add_argument("--only", default="", help="regular expression on the kinds")
    parser.add_argument("--case", default="", metavar="KIND:NUMBER", help="tries this one again and says all of it")
    args = parser.parse_args()
    described = describe("faults", "benchmarks.faults")
    home = args.home.absolute() / described["commit"]
    home.mkdir(parents=True, exist_ok=True)
    within, path = Inside(home), home / "cases.jsonl"
    kinds = [kind for kind in (*processes.KINDS, *inside.KINDS) if re.search(args.only, kind)]
    if not mounts.may_forbid():
        print("a read-only folder: not tried, since this user may write everywhere and may not mount")
        kinds = [kind for kind in kinds if kind != "a read-only folder"]
    try:
        if args.case:
            kind, _, number = args.case.rpartition(":")
            result = attempt(kind, int(number), home, within)
            print(json.dumps(result, indent=2))
            return int(result["end"] == "wrong")
        cases, lock, over = read_cases(path), threading.Lock(), threading.Event()

        def go_on(own: list[str]) -> None:
            while own and not over.is_set():
                case = attempt(*choose(own, cases), home, within)
                with lock:
                    cases.append(case)
                    files.write(path, lambda to: to.write_text("".join(f"{json.dumps(case)}\n" for case in cases)))
                    print(json.dumps(case), flush=True)

        sorts = [[kind for kind in kinds if kind in sort] for sort in (processes.KINDS, inside.KINDS)]
        with ThreadPoolExecutor(len(sorts)) as pool:
            going = [pool.submit(go_on, own) for own in sorts]
            try:
                futures.wait(going, 60 * args.minutes, futures.FIRST_EXCEPTION)
            finally:
                over.set()  # the two cases in progress come to their end
        for one in going:
            one.result()
    finally:
        within.close()
    rows = summary(kinds, cases)
    if args.out:
        write(args.out, described | {"rows": rows, "wrong": [case for case in cases if case["end"] == "wrong"]})
    return int(any(row["ends"]["wrong"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
