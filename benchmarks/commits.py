# SPDX-License-Identifier: Apache-2.0
"""Speed of a change on the CPU: the benchmark of two commits, in turns, on one or several Pythons.

python -m benchmarks.commits BEFORE AFTER --pythons .venv/bin/python .venv-newer/bin/python

Each commit is checked out into a folder of its own and timed in fresh processes, A B A B, with each Python's own JAX;
writes benchmarks/results/commits.json. A row's ratio is the median of the pairs' ratios.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from barrel_jax.provenance import ROOT, describe, write

OUT = ROOT / "benchmarks" / "results" / "commits.json"
# What `python -m barrel_jax.benchmark` is asked for; the implementation is JAX's alone.
CASES = {
    "infer": ["infer", "--models", "BarrelNet-18", "--batches", "1,8"],
    "train": ["train", "--models", "BarrelNet-18", "--image_size", "128", "--landmarks", "68"],
}


def time_commit(python: Path, folder: Path, case: str, rounds: int) -> dict[str, Any]:
    """The benchmark's result, in a process of its own that runs the commit checked out in `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "result.json"
        command = [str(python), "-m", "barrel_jax.benchmark", *CASES[case]]
        command += ["--device", "cpu", "--impls", "jax", "--rounds", str(rounds), "--out", str(out)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{folder.name} on {python}: {done.stderr.strip().splitlines()[-1]}")
        return json.loads(out.read_text())


def compare(python: Path, before: Path, after: Path, case: str, pairs: int, rounds: int) -> list[dict[str, Any]]:
    """One row for each batch: both medians in milliseconds, and the time of `after` over that of `before`."""
    turns = [[time_commit(python, folder, case, rounds) for folder in (before, after)] for _ in range(pairs)]
    versions = turns[0][0]["versions"]
    rows = []
    for index, row in enumerate(turns[0][0]["rows"]):
        times = [[result["rows"][index]["median_ms"] for result in turn] for turn in turns]
        rows.append(
            {"case": case, "python": versions["python"], "jaxlib": versions["jaxlib"]}
            | {"model": row["model"], "batch": row["batch"]}
            | {"before_ms": statistics.median(a for a, _ in times), "after_ms": statistics.median(b for _, b in times)}
            | {"ratio": statistics.median(b / a for a, b in times), "pairs": pairs}
        )
    return rows


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", help="a commit")
    parser.add_argument("after", help="another one")
    parser.add_argument("--pythons", type=Path, nargs="+", default=[Path(sys.executable)])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="(default: all)")
    parser.add_argument("--pairs", type=int, default=3, help="turns (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=10, help="timed repeats of a turn (default: %(default)s)")
    args = parser.parse_args()
    result = describe("commits", "", sys.argv[1:])
    for name in ("before", "after"):  # a branch moves on
        asked = ["git", "-C", str(ROOT), "rev-parse", "--short", getattr(args, name)]
        setattr(args, name, subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    with tempfile.TemporaryDirectory() as folder:
        folders = []
        for commit in (args.before, args.after):
            folders.append(Path(folder) / commit)
            subprocess.run(["git", "worktree", "add", "--detach", str(folders[-1]), commit], cwd=ROOT, check=True)
        try:
            rows = [
                row
                for python in args.pythons
                for case in args.cases
                for row in compare(python.absolute(), *folders, case, args.pairs, args.rounds)
            ]
        finally:
            for checkout in folders:
                subprocess.run(["git", "worktree", "remove", "--force", str(checkout)], cwd=ROOT, check=True)
    write(OUT, result | {"before": args.before, "after": args.after, "rows": rows})


if __name__ == "__main__":
    main()
