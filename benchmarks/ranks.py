# SPDX-License-Identifier: Apache-2.0
"""Cost and savings of DQInit's and QAMem's weights at a low rank, of a trained run and without training.

python -m benchmarks.ranks RUN [--dataset w300 --source DIR --split test] [--out ranks-common]

For each rank, of each module and of both: NME on a split, parameters, bytes of Adam's state, milliseconds of a batch of
1 and of 64 in turns, bytes of the ONNX file. Writes benchmarks/results/OUT.json.
"""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from barrel_jax.benchmark.clock import alternate, summary
from barrel_jax.evaluation.metrics import mean
from barrel_jax.evaluation.score import face_errors
from barrel_jax.models.build import count_parameters
from barrel_jax.models.inference import make_inference
from barrel_jax.models.truncation import MODULES
from barrel_jax.onnx import runtime
from barrel_jax.provenance import ROOT, describe, write
from barrel_jax.training.trained import TrainedRun
from benchmarks.scored_faces import parser_of, scored_faces

RANKS = (4, 8, 16, 32)
BATCHES = (1, 64)


def variants(run: TrainedRun) -> dict[tuple[str, int], TrainedRun]:
    """The run as it is, and at each rank by which modules have it."""
    found = {("full", 0): run}
    for rank in RANKS:
        for modules in ((name,) for name in MODULES):
            found[modules[0], rank] = run.at_rank(rank, modules)
        found["both", rank] = run.at_rank(rank)
    return found


def main() -> None:
    """Measures and writes."""
    parser = parser_of(__doc__, "ranks-common")
    parser.add_argument("run", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    result, run = describe("ranks", "benchmarks.ranks"), TrainedRun.open(args.run)
    crops, _ = scored_faces(run.config.data, run.scheme, args)
    rows: list[dict[str, Any]] = []
    timed: dict[tuple[int, int], Any] = {}
    for (modules, rank), one in variants(run).items():
        predict, weights = make_inference(one.config.model, run.num_landmarks, one.variables)
        program = jax.jit(predict)
        for batch in BATCHES:
            images = jax.device_put(np.asarray(crops.images[:batch]))
            call = partial(lambda p, w, i: jax.block_until_ready(p(w, i)), program, weights, images)
            call()
            timed[len(rows), batch] = call
        parameters = count_parameters(one.variables["params"])
        content = runtime.serialise(one.config.model, run.num_landmarks, crops.images.shape[1], weights)
        row = {"modules": modules, "rank": rank, "parameters": parameters, "adam_bytes": 8 * parameters}
        rows.append(row | {"onnx_bytes": len(content), "nme": 100 * mean(face_errors(one.predict(crops), crops))})
        print(rows[-1])
    for batch in BATCHES:
        calls = {index: call for (index, size), call in timed.items() if size == batch}
        for index, seconds in alternate(calls, args.rounds).items():
            rows[index][f"ms_{batch}"] = summary(seconds, batch).median_ms
    about = {"dataset": crops.dataset, "split": crops.split, "faces": len(crops), "partial": crops.partial}
    write(ROOT / "benchmarks" / "results" / f"{args.out}.json", result | about | {"rows": rows})


if __name__ == "__main__":
    main()
