# SPDX-License-Identifier: Apache-2.0
"""The attention of trained queries, and the transforms that QAMem has learned.

python -m benchmarks.looks NAME=RUN ... [--dataset w300 --source DIR --split test] [--out looks]

For every run: how far the middle of a query's attention is from its point, and the spread of that attention, over the
faces of a split; for QAMem's transforms how far from the identity they are, and how much of that lies in few ranks.
Writes benchmarks/results/OUT.json.
"""

from pathlib import Path
from typing import Any

import numpy as np

from barrel_jax.provenance import ROOT, describe, write
from barrel_jax.training.trained import TrainedRun
from benchmarks.scored_faces import parser_of, scored_faces

RANKS = (1, 4, 8, 16)
AT_ONCE = 64  # faces


def looks(points: np.ndarray, maps: np.ndarray) -> dict[str, float]:
    """Attention [n, K, h, w] of queries beside their points [n, K, 2], in shares of the crop's side."""
    height, width = maps.shape[2:]
    y, x = np.mgrid[:height, :width]
    grid = np.stack([(x + 0.5) / width, (y + 0.5) / height], axis=-1)
    middle = np.einsum("nkhw,hwc->nkc", maps, grid)
    spread = np.sqrt(np.einsum("nkhw,nkhw->nk", maps, np.square(grid[None, None] - middle[:, :, None, None]).sum(-1)))
    even = np.sqrt(np.square(grid - grid.mean((0, 1))).sum(-1).mean())
    means = middle - middle.mean(axis=0)  # what differs from face to face
    return {
        "cells": height * width,
        "from_its_point": float(np.linalg.norm(middle - points, axis=-1).mean()),
        "from_the_crops_middle": float(np.linalg.norm(points - 0.5, axis=-1).mean()),
        "spread": float(spread.mean()),
        "spread_if_even": float(even),
        "moves_with_the_face": float(np.linalg.norm(means, axis=-1).mean()),
        "points_move_with_the_face": float(np.linalg.norm(points - points.mean(axis=0), axis=-1).mean()),
    }


def transforms(qamem: dict[str, np.ndarray]) -> dict[str, Any]:
    """How far transforms T^i [K, D, D] are from the identity, and what share of that is in the first ranks."""
    kernel = np.asarray(qamem["kernel1"], np.float64)
    change = kernel - np.eye(kernel.shape[-1])
    energy = np.square(np.linalg.svd(change, compute_uv=False))
    shared = change.mean(axis=0)
    return {
        "change": float(np.sqrt(energy.sum(1)).mean() / np.sqrt(kernel.shape[-1])),
        "shared_by_all": float(np.square(shared).sum() / np.square(change).sum((1, 2)).mean()),
        "ranks": {str(rank): float((energy[:, :rank].sum(1) / energy.sum(1)).mean()) for rank in RANKS},
    }


def main() -> None:
    """Measures and writes."""
    parser = parser_of(__doc__, "looks")
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN")
    args = parser.parse_args()
    result, rows = describe("looks", "benchmarks.looks"), []
    for name, _, folder in (text.partition("=") for text in args.runs):
        run = TrainedRun.open(Path(folder))
        crops, _ = scored_faces(run.config.data, run.scheme, args)
        parts = [np.asarray(crops.images[start : start + AT_ONCE]) for start in range(0, len(crops), AT_ONCE)]
        found = [run.attention(part) for part in parts]
        points, maps = (np.concatenate(part) for part in zip(*found, strict=True))
        row = {"run": name, "faces": len(crops), "image_size": crops.images.shape[1]} | looks(points, maps)
        qamem = run.variables["params"]["decoder0"].get("qamem", {})
        rows.append(row | ({"transforms": transforms(qamem)} if "kernel1" in qamem else {}))
        print(rows[-1])
    write(ROOT / "benchmarks" / "results" / f"{args.out}.json", result | {"dataset": crops.dataset, "rows": rows})


if __name__ == "__main__":
    main()
