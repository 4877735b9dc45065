# SPDX-License-Identifier: Apache-2.0
"""Finished runs on one split, with the paired difference of each from the first; their predictions are kept.

python -m benchmarks.scored common-scratch w300-test "from a start=runs/w300" "from drawn weights=runs/drawn"
python -m benchmarks.scored common-seeds w300-test full=runs/full,runs/full-1 "rank 8=runs/rank8,runs/rank8-1"

The second word is the evaluation, below `eval/` of each run, that evaluate.py has left there: its test set is not
opened again. Of several seeds, with commas between, every score is the mean, and the difference of a face that of its
mean errors. Writes benchmarks/results/NAME.json and, where no other table has kept them, predictions/NAME-WORKDIR.npz.
"""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from barrel_jax import files
from barrel_jax.config import load_run_config
from barrel_jax.evaluation.archives import read_archive
from barrel_jax.evaluation.comparison import Evaluation, compare, read_evaluation
from barrel_jax.facts import read_facts
from barrel_jax.provenance import ROOT, describe, write
from barrel_jax.report.training import read_log

RESULTS = ROOT / "benchmarks" / "results"


def over_seeds(seeds: Sequence[Evaluation]) -> Evaluation:
    """One evaluation whose error of a face is the mean over those of several seeds.

    Raises:
        ValueError: they are not of the same faces with the same normaliser.
    """
    compare(seeds)
    nmes, in_crop = (np.mean([getattr(one, name) for one in seeds], axis=0) for name in ("nmes", "in_crop"))
    return replace(seeds[0], nmes=nmes, in_crop=in_crop)


def keep_predictions(columns: Mapping[str, np.ndarray], path: Path, workdir: str) -> str:
    """Writes predictions to a path unless another table has kept the same of the run; returns the file's name."""
    for kept in sorted(path.parent.glob(f"*-{workdir}.npz")):
        with np.load(kept) as there:
            if there["points"].shape == columns["points"].shape and (there["points"] == columns["points"]).all():
                return kept.name
    files.write(path, lambda to: np.savez_compressed(to, **columns))
    return path.name


def read_row(label: str, workdirs: Sequence[Path], evaluation: str, keep: Path) -> tuple[Evaluation, dict[str, Any]]:
    """A model of one or more seeds, and its row but for the difference; `keep` begins the names of its predictions."""
    seeds, kept = [], []
    for workdir in workdirs:
        folder = workdir / "eval" / evaluation
        seeds.append(read_evaluation(folder, label))
        columns = read_archive(folder / "predictions.npz", ("points", "files", "faces", "nme"))
        columns["points"] = columns["points"].astype(np.float32)
        kept.append(keep_predictions(columns, keep.with_name(f"{keep.name}-{workdir.name}.npz"), workdir.name))
    config = load_run_config(workdirs[0])
    logged = [line for workdir in workdirs for line in read_log(workdir / "metrics.jsonl")]
    row = {
        "name": label,
        "predictions": kept if len(kept) > 1 else kept[0],
        "image_size": config.data.image_size,
        "epochs": config.optim.epochs,
        "batch": config.batch_size,
        "trained": read_facts(workdirs[0])["command"],
        "imagenet": config.pretrained == "imagenet",
        "faces_per_s": statistics.median(line["faces_per_s"] for line in logged if "faces_per_s" in line),
        "nme": statistics.mean(one.scores.nme for one in seeds),
        "nme_crop": statistics.mean(one.scores.nme_crop for one in seeds),
        "fr_0.08": statistics.mean(one.scores.fr["0.08"] for one in seeds),
        "auc_0.08": statistics.mean(one.scores.auc["0.08"] for one in seeds),
    }
    if len(seeds) > 1:
        row["seeds"] = [one.scores.nme for one in seeds]
    return over_seeds(seeds), row


def main() -> None:
    """Reads and records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the result")
    parser.add_argument("evaluation", metavar="SET-SPLIT")
    parser.add_argument("runs", nargs="+", metavar="LABEL=WORKDIR[,WORKDIR]")
    args = parser.parse_args()
    keep = RESULTS / "predictions" / args.name
    named = [run.rpartition("=") for run in args.runs]
    read = [read_row(label, [*map(Path, runs.split(","))], args.evaluation, keep) for label, _, runs in named]
    found = compare([evaluation for evaluation, _ in read])
    for one, (_, row) in zip(found.evaluations, read, strict=True):
        row["difference"] = None if one.difference is None else files.plain(one.difference)
    about = {"dataset": found.dataset, "split": found.split, "faces": found.num_faces, "partial": found.partial}
    rows = [row for _, row in read]
    write(RESULTS / f"{args.name}.json", describe("scored", "benchmarks.scored") | about | {"rows": rows})


if __name__ == "__main__":
    main()
