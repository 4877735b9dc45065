# SPDX-License-Identifier: Apache-2.0
"""The distance from a face's coarse points to its fine ones as a sign of doubt, beside sigma.

python -m benchmarks.coarse_doubt NAME=MODEL [NAME=MODEL ...] [--dataset coco --source DIR --split val]

For each model with DQInit: the rank correlation (Spearman) of that distance with the error, of points and of faces, on
its own scored faces or on a split; and that of sigma, where the model has it, on the same crops. Writes
benchmarks/results/coarse-doubt.json.
"""

from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr

from barrel_jax.input.crops import FaceCrops
from barrel_jax.models.build import build_model
from barrel_jax.models.inference import folded_model, predict_with_coarse, predict_with_scale
from barrel_jax.models.packed import Packed
from barrel_jax.provenance import ROOT, describe, write
from barrel_jax.training.open_model import open_model
from benchmarks.scored_faces import parser_of, scored_faces

BATCH = 64


def agreement(doubt: Float[np.ndarray, "n K"], errors: Float[np.ndarray, "n K"]) -> dict[str, float]:
    """How far doubts [n, K] and errors [n, K], NaN where a point is not labelled, rank points and faces alike."""
    seen = np.isfinite(errors)
    doubt = np.where(seen, doubt, np.nan)
    return {
        "of_points": float(spearmanr(doubt[seen], errors[seen]).statistic),
        "of_faces": float(spearmanr(np.nanmean(doubt, axis=1), np.nanmean(errors, axis=1)).statistic),
    }


def doubts(opened: Any, crops: FaceCrops) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Errors [n, K] of the points of a set's faces, NaN where not labelled, and each doubt [n, K]; in crop units."""
    fold = folded_model if isinstance(opened, Packed) else build_model
    model = fold(opened.config.model, opened.num_landmarks)
    batches = [crops.images[at:][:BATCH] for at in range(0, len(crops), BATCH)]
    predict = jax.jit(predict_with_coarse, static_argnums=0)
    found = [jax.device_get(predict(model, opened.variables, images)) for images in batches]
    points, coarse = (np.concatenate(parts) for parts in zip(*found, strict=True))
    errors = np.linalg.norm(points - crops.points_unit, axis=-1)
    by = {"coarse to fine": np.linalg.norm(points - coarse, axis=-1)}
    if opened.config.model.uncertainty:
        scaled = jax.jit(predict_with_scale, static_argnums=0)
        by["sigma"] = np.concatenate([np.asarray(scaled(model, opened.variables, images)[1]) for images in batches])
    return np.where(crops.labelled, errors, np.nan), by


def main() -> None:
    """Measures and writes."""
    parser = parser_of(__doc__, "coarse-doubt")
    parser.add_argument("models", nargs="+", metavar="NAME=MODEL")
    args = parser.parse_args()
    result, rows = describe("coarse-doubt", "benchmarks.coarse_doubt"), []
    for name, _, model in (named.rpartition("=") for named in args.models):
        opened = open_model(model)
        crops, _ = scored_faces(opened.config.data, opened.scheme, args)
        errors, by = doubts(opened, crops)
        where = {"model": name, "dataset": crops.dataset, "split": crops.split, "faces": len(crops)}
        rows += [where | {"doubt": doubt} | agreement(values, errors) for doubt, values in by.items()]
        print(*rows[-len(by) :], sep="\n")
    write(ROOT / "benchmarks" / "results" / f"{args.out}.json", result | {"rows": rows})


if __name__ == "__main__":
    main()
