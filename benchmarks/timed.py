# SPDX-License-Identifier: Apache-2.0
"""Runs train.py once, from nothing to the score, and records seconds, peak memory and the score.

python -m benchmarks.timed demo -- --config configs/synthetic.py --workdir runs/demo

writes benchmarks/results/demo.json. With --evaluate, evaluate.py scores the finished run on another set as well:

python -m benchmarks.timed synthetic68 --evaluate "--dataset coco --source DIR --split val" -- ...
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from barrel_jax.evaluation.scores import read_scores
from barrel_jax.provenance import ROOT, describe, write
from barrel_jax.report.training import read_log


def run(script: str, arguments: list[str]) -> dict[str, float]:
    """Runs a script of the project and waits: wall seconds, and peak resident memory in GB."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, str(ROOT / script), *arguments], cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{script} ended with status {os.waitstatus_to_exitcode(status)}")
    # ru_maxrss is in KiB on Linux.
    return {"seconds": time.perf_counter() - start, "peak_memory_gb": usage.ru_maxrss * 1024 / 1e9}


def head(path: Path) -> dict[str, float | int | str]:
    """The head of a metrics.json."""
    scores = read_scores(path)
    return {
        "dataset": f"{scores.dataset} {scores.split}",
        "num_images": scores.num_images,
        "nme": scores.nme,
        "fr_0.10": scores.fr["0.10"],
        "auc_0.10": scores.auc["0.10"],
    }


def main() -> None:
    """Trains, evaluates, records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the result: benchmarks/results/NAME.json")
    parser.add_argument("--evaluate", default="", help="flags for evaluate.py besides --workdir")
    parser.add_argument("arguments", nargs="+", help="flags for train.py, behind --")
    args = parser.parse_args()
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--workdir", type=Path, required=True)
    workdir = (ROOT / where.parse_known_args(args.arguments)[0].workdir).resolve()
    if workdir.exists():
        sys.exit(f"{workdir} exists: a run that goes on cannot be timed; remove it or name another")
    described = describe(args.name)  # before the run: the commit is that of the code that runs
    row = run("train.py", args.arguments)
    own = next((workdir / "eval").glob("*/metrics.json"))
    rows = [row | head(own)]
    if args.evaluate:
        before = set((workdir / "eval").glob("*/metrics.json"))
        row = run("evaluate.py", ["--workdir", str(workdir), *shlex.split(args.evaluate)])
        (other,) = set((workdir / "eval").glob("*/metrics.json")) - before
        rows.append(row | head(other))
    lines = read_log(workdir / "metrics.jsonl")
    curve = [{"step": line["step"], **{k.split("/")[1]: v for k, v in line.items() if "/" in k}} for line in lines]
    config = json.loads((workdir / "config.json").read_text())
    result = described | {
        "rows": rows,
        "curve": [row for row in curve if any(name.startswith("nme") for name in row)],
        "config": config,
    }
    write(ROOT / "benchmarks" / "results" / f"{args.name}.json", result)


if __name__ == "__main__":
    main()
