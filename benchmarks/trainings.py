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

from barrel_jax.files import read_json
from barrel_jax.provenance import ROOT, describe, write
from benchmarks.gpu.report import paired

FOLDER = ROOT / "benchmarks" / "results"
RESULTS = ("w300-h200", "w300-gpu", "w300-third")  # in the order of their days; each has a start of its own
# Models, and what each is held to.
MODELS = {
    "Baseline-18": "",
    "+DQInit-18": "Baseline-18",
    "+QAMem-18": "Baseline-18",
    "BarrelNet-18": "Baseline-18",
    "BarrelNet-18, rank 8": "BarrelNet-18",
}
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

    The difference of a face is the mean over the trainings that have both; its interval and p are over faces.
    """
    rows = []
    for model, other in MODELS.items():
        have = [of for of in runs if model in of]
        if not have:
            continue
        scores = [float(errors(folder, of[model]).mean()) if model in of else None for of in runs]
        found = [score for score in scores if score is not None]
        in_crop = statistics.mean(of[model]["nme_crop"] for of in have)
        row: dict[str, Any] = {"model": model, "nme": scores, "mean": statistics.mean(found), "mean_crop": in_crop}
        pairs = [of for of in have if other in of]
        if pairs:
            by_training = np.stack([errors(folder, of[model]) - errors(folder, of[other]) for of in pairs])
            change, each = by_training.mean(0), iter(by_training.mean(1).tolist())
            row |= {
                "beside": other,
                "differences": [next(each) if of in pairs else None for of in runs],
                "share": float(change.mean() / np.mean([errors(folder, of[other]) for of in pairs])),
            } | paired(change)
        rows.append(row)
    return rows


def main() -> None:
    """Pools and records."""
    results = {name: read_json(FOLDER / f"{name}.json", "make it first") for name in RESULTS}
    found = trainings(results)
    starts = [f"{name}, seed {seed}" for name, seed in found]
    rows = pool(list(found.values()), FOLDER / "predictions")
    write(FOLDER / "w300-trainings.json", describe("trainings") | {"trainings": starts, "rows": rows})


if __name__ == "__main__":
    main()
