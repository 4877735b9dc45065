# SPDX-License-Identifier: Apache-2.0
"""Structural robustness of several runs on one test split, side by side.

python -m benchmarks.stressed NAME=RUN ... [--out stress-common]

Each run is scored first with `python evaluate.py --workdir RUN --split test --stress`, which leaves stress.json; this
collects them and writes benchmarks/results/OUT.json.
"""

import argparse
import sys
from pathlib import Path

from barrel_jax import files
from barrel_jax.provenance import ROOT, describe, write

SHARED = ("dataset", "split", "fingerprint", "normaliser", "crop", "seed")  # what must agree for runs to be compared


def collect(runs: dict[str, Path]) -> dict[str, object]:
    """The records of all runs, each with its `run`, and what they share.

    Raises:
        FileNotFoundError: a run without stress.json.
        ValueError: runs that were scored on different faces or otherwise.
    """
    rows, facts = [], {}
    for name, workdir in runs.items():
        found = sorted(workdir.glob("eval/*/stress.json"))
        if len(found) != 1:
            raise FileNotFoundError(
                f"{workdir}: {len(found)} files eval/*/stress.json where one is wanted; run python evaluate.py "
                f"--workdir {workdir} --split test --stress"
            )
        content = files.read_json(found[0], "delete it and score the run again")
        own = {field: content[field] for field in SHARED}
        if facts and own != facts:
            raise ValueError(f"{found[0]}: scored on {own}, the first run on {facts}; compare runs on the same faces")
        facts = own
        rows += [{"run": name} | record for record in content["records"]]
    return facts | {"rows": rows}


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN", help="runs with their names")
    parser.add_argument("--out", default="stress-common", help="name of the result (default: %(default)s)")
    args = parser.parse_args(arguments)
    if any("=" not in run for run in args.runs):
        parser.error("runs are given as NAME=RUN")
    try:
        result = collect({name: Path(path) for name, _, path in (run.partition("=") for run in args.runs)})
    except (ValueError, OSError) as error:
        print(f"stressed: {error}", file=sys.stderr)
        return 1
    path = ROOT / "benchmarks" / "results" / f"{args.out}.json"
    write(path, describe("stress", "benchmarks.stressed", arguments) | result)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
