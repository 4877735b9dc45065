# SPDX-License-Identifier: Apache-2.0
"""The ablation on 300W over all trainings of it: other starts, seeds and days, each beside the one that it is held to.

python -m benchmarks.trainings

Reads `RESULTS` and their predictions, which lie in benchmarks/results; writes benchmarks/results/w300-trainings.json.
Nothing is trained and no set is opened.
"""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from barrel_jax.command_line import Parser
from barrel_jax.evaluation.significance import bootstrap_intervals
from barrel_jax.files import read_json
from barrel_jax.provenance import ROOT, describe, write
from benchmarks.gpu.report import paired

FOLDER = ROOT / "benchmarks" / "results"
RESULTS = ("w300-h200", "w300-gpu", "w300-third")  # in the order of their days; each has a start of its own
MODELS = (
    "Baseline-18",
    "Baseline-18-d3",
    "Baseline-18-d6",
    "+DQInit-18",
    "+QAMem-18",
    "BarrelNet-18",
    "BarrelNet-18, rank 8",
)
# What the paper claims, model by model: each module and both help, both more than either, as much as more decoders.
HELD_TO = (
    ("+DQInit-18", "Baseline-18"),
    ("+QAMem-18", "Baseline-18"),
    ("BarrelNet-18", "Baseline-18"),
    ("BarrelNet-18", "+DQInit-18"),
    ("BarrelNet-18", "+QAMem-18"),
    ("BarrelNet-18", "Baseline-18-d3"),
    ("BarrelNet-18", "Baseline-18-d6"),
    ("BarrelNet-18, rank 8", "BarrelNet-18"),
)
ENDS = ("ablation", "size")  # kinds of runs of the same length from the same start


def trainings(results: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, int], dict[str, dict[str, Any]]]:
    """For each start and seed, the row of each model's run."""
    found: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    for name, result in results.items():
        for row in result["rows"]:
            if row["kind"] in ENDS and not row.get("schedule") and row["model"] in MODELS:
                found.setdefault((name, row["seed"]), {})[row["model"]] = row
    return found


def errors(folder: Path, row: Mapping[str, Any]) -> np.ndarray:
    """The faces' errors of a run in percent, float64 [n]."""
    with np.load(folder / f"common-{row['run']}.npz") as predictions:
        return 100 * predictions["nme"].astype(np.float64)


def pool(runs: Sequence[Mapping[str, Mapping[str, Any]]], folder: Path) -> list[dict[str, Any]]:
    """A row for each model that was trained: its errors in every training, None where it has none of it.

    The mean's interval is over the faces, of each the mean error of the trainings; the spread is over the trainings.
    """
    rows = []
    for model in MODELS:
        have = [of for of in runs if model in of]
        if have:
            by_training = np.stack([errors(folder, of[model]) for of in have])
            each = by_training.mean(1).tolist()
            rows.append(
                {
                    "model": model,
                    "nme": _in_turn(each, [model in of for of in runs]),
                    "mean": statistics.mean(each),
                    "spread": statistics.stdev(each) if len(each) > 1 else None,
                    "interval": bootstrap_intervals(by_training.mean(0)[:, None])[0].tolist(),
                    "mean_crop": statistics.mean(of[model]["nme_crop"] for of in have),
                }
            )
    return rows


def beside(runs: Sequence[Mapping[str, Mapping[str, Any]]], folder: Path) -> list[dict[str, Any]]:
    """A row for each pair of `HELD_TO` that some training has both of: the first's error less the other's.

    The difference of a face is the mean over the trainings that have both; its interval and p are over faces.
    """
    rows = []
    for model, other in HELD_TO:
        both = [of for of in runs if model in of and other in of]
        if both:
            by_training = np.stack([errors(folder, of[model]) - errors(folder, of[other]) for of in both])
            change = by_training.mean(0)
            rows.append(
                {
                    "model": model,
                    "beside": other,
                    "differences": _in_turn(by_training.mean(1).tolist(), [of in both for of in runs]),
                    "share": float(change.mean() / np.mean([errors(folder, of[other]) for of in both])),
                }
                | paired(change)
            )
    return rows


def _in_turn(values: Sequence[float], there: Sequence[bool]) -> list[float | None]:
    """The values at the places where there is one, None at the others."""
    left = iter(values)
    return [next(left) if one else None for one in there]


def main() -> None:
    """Pools and records."""
    results = {name: read_json(FOLDER / f"{name}.json", "make it first") for name in RESULTS}
    found = trainings(results)
    starts = [f"{name}, seed {seed}" for name, seed in found]
    runs, folder = list(found.values()), FOLDER / "predictions"
    about = {"trainings": starts, "rows": pool(runs, folder), "pairs": beside(runs, folder)}
    write(FOLDER / "w300-trainings.json", describe("trainings") | about)


if __name__ == "__main__":
    Parser("python -m benchmarks.trainings", __doc__).parse_args()
    main()
