# SPDX-License-Identifier: Apache-2.0
"""Finished runs on one split, with the paired difference of each from the first; their predictions are kept.

python -m benchmarks.scored common-scratch w300-test "from a start=runs/w300" "from drawn weights=runs/drawn"

The second word is the evaluation, below `eval/` of each run, that evaluate.py has left there: its test set is not
opened again. Writes benchmarks/results/NAME.json and predictions/NAME-WORKDIR.npz.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from barrel_jax import config as configuration
from barrel_jax import files
from barrel_jax.evaluation.archives import read_archive
from barrel_jax.evaluation.comparison import compare, read_evaluation
from barrel_jax.facts import read_facts
from barrel_jax.provenance import ROOT, describe, write

RESULTS = ROOT / "benchmarks" / "results"


def main() -> None:
    """Reads and records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the result")
    parser.add_argument("evaluation", metavar="SET-SPLIT")
    parser.add_argument("runs", nargs="+", metavar="LABEL=WORKDIR")
    given = parser.parse_args()
    named = [(label, Path(workdir)) for label, _, workdir in (run.rpartition("=") for run in given.runs)]
    folders = [workdir / "eval" / given.evaluation for _, workdir in named]
    found = compare([read_evaluation(folder, label) for folder, (label, _) in zip(folders, named, strict=True)])
    rows = []
    for one, folder, (_, workdir) in zip(found.evaluations, folders, named, strict=True):
        config, facts = configuration.load(workdir), read_facts(workdir)
        speeds = [line["faces_per_s"] for line in _logged(workdir) if "faces_per_s" in line]
        kept = read_archive(folder / "predictions.npz", ("points", "files", "faces", "nme"))
        kept["points"] = kept["points"].astype(np.float32)
        to = RESULTS / "predictions" / f"{given.name}-{workdir.name}.npz"
        files.write(to, lambda path, kept=kept: np.savez_compressed(path, **kept))
        rows.append(
            {
                "name": one.name,
                "predictions": to.name,
                "image_size": config.data.image_size,
                "epochs": config.optim.epochs,
                "batch": config.batch_size,
                "trained": facts["command"],
                "faces_per_s": float(np.median(speeds)),
                "nme": one.nme,
                "fr_0.08": one.fr["0.08"],
                "auc_0.08": one.auc["0.08"],
                "difference": None if one.difference is None else files.plain(one.difference),
            }
        )
    about = {"dataset": found.dataset, "split": found.split, "faces": found.num_faces, "partial": found.partial}
    write(RESULTS / f"{given.name}.json", describe("scored", "benchmarks.scored") | about | {"rows": rows})


def _logged(workdir: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


if __name__ == "__main__":
    main()
