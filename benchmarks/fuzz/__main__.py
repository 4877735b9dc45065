# SPDX-License-Identifier: Apache-2.0
"""Damages valid files for every reader and converter: python -m benchmarks.fuzz --minutes 60 [--out FILE]

An outcome is right when the file is read as what it says or refused in one line that names it. Anything else (a hang, a
traceback, a crash, a misread of what is known) is kept in --cases with the seed that draws it again.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from barrel_jax.provenance import ROOT, describe, write
from benchmarks.fuzz.parsers import PARSERS
from benchmarks.fuzz.worker import PATIENCE

LEAST = 10_000
MEMORY_DISK = next((folder for folder in ("/dev/shm",) if Path(folder).is_dir()), None)


def attack(name: str, cases: Path, first: int, seconds: float, least: int) -> dict[str, Any]:
    """The row of a parser. Its process is started again, behind the input that stopped it, when it crashes or hangs."""
    own = cases / re.sub(r"\W+", "-", name)
    row: dict[str, Any] = {"parser": name, "inputs": 0, "read": 0, "refused": 0, "wrong": {}}
    start, seed = time.monotonic(), first
    while (left := seconds - (time.monotonic() - start)) > 0 or seed == first:
        own.mkdir(parents=True, exist_ok=True)
        (own / "tally.json").unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(prefix="fuzz-", dir=MEMORY_DISK) as folder:
            arguments = [name, folder + "/w", str(own), str(seed), str(max(left, 1)), str(least - row["inputs"])]
            command = [sys.executable, "-m", "benchmarks.fuzz.worker", *arguments]
            log, current = Path(folder, "log"), Path(folder, "w", "current")
            with log.open("w") as stream:  # decoders write much there, and a full pipe would stop them
                ended = _watch(subprocess.Popen(command, cwd=ROOT, stderr=stream), current)
            with log.open("rb") as stream:
                stream.seek(max(0, log.stat().st_size - 5000))
                errors = stream.read().decode(errors="replace")
            stopped = int(current.read_text()) if current.exists() else None
        _add(row, own)
        if ended == 0:
            break
        if stopped is None:  # not even its valid file is read
            row["wrong"]["a valid file is not read"] = 1
            (own / "valid.trace").write_text(errors)
            break
        kind = "hang that no signal ends" if ended is None else f"crash ({ended})"
        row["wrong"][kind] = row["wrong"].get(kind, 0) + 1
        (own / f"{kind.replace(' ', '-')}-{stopped}.trace").write_text(errors)
        seed = stopped + 1
    return row | {"seconds": round(time.monotonic() - start, 1)}


def _watch(process: subprocess.Popen, file: Path) -> int | None:
    """The exit status, None when the process had to be killed since its input did not change for too long."""
    last, since = "", time.monotonic()
    while (status := process.poll()) is None:
        time.sleep(0.2)
        current = file.read_text() if file.exists() else ""
        if current != last:
            last, since = current, time.monotonic()
        if time.monotonic() - since > 3 * PATIENCE + 30 * (not last):
            process.kill()
            process.wait()
            return None
    return status


def _add(row: dict[str, Any], own: Path) -> None:
    if (own / "tally.json").exists():
        tally = json.loads((own / "tally.json").read_text())
        row["inputs"] += tally["inputs"]
        for outcome, count in tally["outcomes"].items():
            row[outcome] += count
        for kind, count in tally["wrong"].items():
            row["wrong"][kind] = row["wrong"].get(kind, 0) + count


def main() -> None:
    """The campaign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True, help="of the whole campaign")
    parser.add_argument("--out", type=Path, help="result; rows of before are kept in it")
    parser.add_argument(
        "--cases", type=Path, default=ROOT / "runs" / "fuzz", help="wrong outcomes (default: %(default)s)"
    )
    parser.add_argument("--only", default="", help="regular expression on the parsers' names")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default: %(default)s)")
    parser.add_argument("--least", type=int, default=LEAST, help="inputs for each parser (default: %(default)s)")
    args = parser.parse_args()
    result = describe("fuzz", "benchmarks.fuzz")
    names = [name for name in PARSERS if re.search(args.only, name)]
    end = time.monotonic() + 60 * args.minutes
    for number, name in enumerate(names):
        share = max(1.0, (end - time.monotonic()) / (len(names) - number))
        row = attack(name, args.cases.absolute(), args.seed, share, args.least) | {"commit": result["commit"]}
        print(json.dumps(row), flush=True)
        if args.out:
            _keep(args.out, result, row)


def _keep(path: Path, result: dict[str, Any], row: dict[str, Any]) -> None:
    """Writes a parser's row in the place of its earlier one, which is kept behind the others."""
    before = json.loads(path.read_text()) if path.exists() else {"rows": [], "earlier": []}
    replaced = [other for other in before["rows"] if other["parser"] == row["parser"]]
    rows = [
        row,
        *(other for other in before["rows"] if other["parser"] != row["parser"] and other["parser"] in PARSERS),
    ]
    rows.sort(key=lambda one: list(PARSERS).index(one["parser"]))
    write(path, result | {"rows": rows, "earlier": before["earlier"] + replaced})


if __name__ == "__main__":
    main()
