# SPDX-License-Identifier: Apache-2.0
"""The five staves of finished runs, recorded with their picture.

python -m benchmarks.barrels barrel --dataset coco --source DIR Baseline=runs/baseline BarrelNet=runs/barrelnet

Measures as `python -m barrel_jax.reproduce barrel` does. Writes benchmarks/results/NAME.json and NAME.png.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from barrel_jax import files
from barrel_jax.plotting import write_picture
from barrel_jax.provenance import ROOT, describe, write
from barrel_jax.reproduce.barrel.compare_models import compare_models, group
from barrel_jax.reproduce.barrel.measure import measure
from barrel_jax.reproduce.barrel.picture import draw_barrels

RESULTS = ROOT / "benchmarks" / "results"


def main() -> None:
    """Measures and records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the result")
    parser.add_argument("runs", nargs="+", metavar="MODEL=WORKDIR", help="one for each model")
    parser.add_argument("--dataset", default="", help="another set, for generalisation")
    parser.add_argument("--source", default="", help="folder of that set's raw download")
    args = parser.parse_args()
    about = describe("barrels")
    named = [(model, workdir) for model, _, workdir in (run.rpartition("=") for run in args.runs)]
    measured = [measure(Path(workdir), args.dataset, args.source) for _, workdir in named]
    comparison = compare_models(group(measured, [model for model, _ in named]))
    # As given, so that the record does not depend on where it was made.
    models = [replace(model, workdirs=[workdir]) for model, (_, workdir) in zip(comparison.models, named, strict=True)]
    comparison = replace(comparison, models=models)
    files.write(RESULTS / f"{args.name}.png", lambda path: write_picture(path, draw_barrels(comparison)))
    write(RESULTS / f"{args.name}.json", about | files.plain(comparison.to_json()))


if __name__ == "__main__":
    main()
