# SPDX-License-Identifier: Apache-2.0
"""Breaks lines of the package on purpose, one at a time, and sees whether tests notice.

python -m benchmarks.mutations models training [--modules qamem losses]

`mutations/FOLDER.json` lists what is broken: {module: {"tests": what pytest is given, "mutations": [[before, after],
...]}}, `before` being a text that stands in the module once; a third entry gives a mutation tests of its own. The tests
run in a copy of the project: red is a failure or a hang. Every outcome is written at once into
results/mutations-FOLDER.json. Started again it tries what is new or has another text now, and what was green; tests are
only added, so that what was red stays red.
"""

import argparse
import hashlib
import importlib
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from barrel_jax.provenance import ROOT, describe, write
from benchmarks import tables

LISTS, RESULTS = ROOT / "benchmarks" / "mutations", ROOT / "benchmarks" / "results"
# Tests start in forks of a process that has imported what takes long, and nothing has computed there yet.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["flax.linen", "optax", "orbax.checkpoint", "scipy.stats", "torch"])
PATIENCE = 120  # seconds beyond five times what the tests take of sound code

Row = dict[str, Any]


def copy_project(target: Path) -> None:
    """The files that git tracks, as they are in the working tree."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def run_tests(folder: Path, tests: str, limit: float) -> tuple[str, float]:
    """What the tests say, and the seconds they took: '' when all pass, else the first failure.

    Raises:
        ValueError: no test ran.
    """
    start = time.monotonic()
    with tempfile.NamedTemporaryFile("r", prefix="mutations-") as log:
        process = FORKS.Process(target=_in_fork, args=(folder, tests, log.name))
        process.start()
        process.join(limit)
        seconds = time.monotonic() - start
        if process.exitcode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.join()
            return f"not done after {limit:.0f} s", seconds
        output = log.read()
    if process.exitcode == 0 and re.search(r"\d passed", output):
        return "", seconds
    if process.exitcode in (0, 4, 5):
        raise ValueError(f"no test ran: pytest {tests}\n{output[-500:]}")
    first = re.search(r"^(?:FAILED|ERROR) (.*?)(?: - |$)", output, re.M)
    return first[1] if first else f"pytest ended with {process.exitcode}", seconds


def _in_fork(folder: Path, tests: str, log: str) -> None:
    os.setpgid(0, 0)  # to be killed with what the tests have started
    os.chdir(folder)
    stream = os.open(log, os.O_WRONLY)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    os.environ["PYTHONPATH"] = sys.path[0] = str(folder)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("barrel_jax", "tests", "benchmarks")]:
        del sys.modules[name]  # those of this tree
    # In pytest's own folder other sessions' files are deleted when there are many.
    quietly = [
        f"--basetemp={folder}/tmp",
        "-n0",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
    ]
    sys.exit(pytest.main(["-x", "-q", *quietly, *_words(tests)]))


def put(file: Path, text: str) -> None:
    """Writes a module's text and forgets what was compiled of it: Python's own check misses quick changes."""
    file.write_text(text)
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
        compiled.unlink()


def _words(tests: str) -> list[str]:
    # Files, then optionally -k and an expression that has spaces.
    files, _, expression = tests.partition(" -k ")
    return files.split() + (["-k", expression] if expression else [])


def try_module(
    folder: Path,
    path: str,
    listed: dict[str, Any],
    rows: dict[tuple[str, str, str], Row],
    save: Callable[[], None],
    most: int | None,
) -> None:
    """Tries the mutations of a module that are not in `rows` yet, or are green there; adds what comes of them."""
    sound = (ROOT / path).read_text()
    mark = hashlib.sha256(sound.encode()).hexdigest()[:12]
    limits: dict[str, float] = {}
    for before, after, *own in listed["mutations"][:most]:
        tests = own[0] if own else listed["tests"]
        known = rows.get((path, before, after))
        if known and known["text"] == mark and known["tests"] == tests and known["by"]:
            continue
        if sound.count(before) != 1:
            raise ValueError(f"{path}: {before!r} stands there {sound.count(before)} times and not once")
        if tests not in limits:
            failure, seconds = run_tests(folder, tests, 600)
            if failure:
                print(f"{path}: not judged, for the sound code fails: {failure}", flush=True)
                return
            limits[tests] = 5 * seconds + PATIENCE
        put(folder / path, sound.replace(before, after))
        try:
            by, seconds = run_tests(folder, tests, limits[tests])
        finally:
            put(folder / path, sound)
        row = {"module": path, "before": before, "after": after, "tests": tests, "text": mark, "by": by}
        row |= {"seconds": round(seconds, 1), "at_first": known["at_first"] if known else "red" if by else "green"}
        rows[path, before, after] = row
        save()
        print(f"{'red' if by else 'GREEN':5} {path}: {before!r} -> {after!r} {by}", flush=True)


def try_folder(home: Path, name: str, modules: list[str] | None, most: int | None) -> list[Row]:
    """Tries what a folder's list names and writes its results; returns their rows, module by module."""
    lists = json.loads((LISTS / f"{name}.json").read_text())
    out, result = RESULTS / f"mutations-{name}.json", describe(f"mutations-{name}")
    old = {_key(row): row for row in json.loads(out.read_text())["rows"]} if out.exists() else {}
    listed = [
        (f"barrel_jax/{name}/{module}.py", *mutation[:2])
        for module, about in lists.items()
        for mutation in about["mutations"]
    ]
    rows = {key: old[key] for key in listed if key in old}

    def in_order() -> list[Row]:
        return [rows[key] for key in listed if key in rows]

    for module in lists:
        if not modules or module in modules:
            path = f"barrel_jax/{name}/{module}.py"
            try_module(home, path, lists[module], rows, lambda: write(out, result | {"rows": in_order()}), most)
    return in_order()


def _key(row: Row) -> tuple[str, str, str]:
    return row["module"], row["before"], row["after"]


def main() -> None:
    """Tries and records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", help="of barrel_jax that have a list")
    parser.add_argument("--modules", nargs="+", help="some of their modules (default: all)")
    parser.add_argument("--most", type=int, help="mutations of a module, the first ones (default: all)")
    args = parser.parse_args()
    # It sets the environment, which forks inherit. Imported by them beforehand it would leave beartype types of this
    # tree in the place of theirs.
    importlib.import_module("tests.conftest")
    with tempfile.TemporaryDirectory(prefix="mutations-") as home:
        copy_project(Path(home))
        for name in args.folders:
            print(tables.mutations({"rows": try_folder(Path(home), name, args.modules, args.most)}))


if __name__ == "__main__":
    main()
