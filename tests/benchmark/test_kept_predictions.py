# SPDX-License-Identifier: Apache-2.0
"""The predictions that ship, scored again against the real annotations: the figures of the tables."""

import json

import numpy as np
import pytest

from barrel_jax.config import DataConfig
from barrel_jax.evaluation.score import face_errors
from benchmarks.openings import SPLIT, markdown, passes
from benchmarks.scored import RESULTS
from data.annotated import truth_of
from data.face_sets import find_set
from tests.kit.shared import SHARED, needs_shared

READ = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
PREDICTIONS = RESULTS / "predictions"
FILES = sorted(path.name for path in PREDICTIONS.glob("*.npz"))
OF_FACES68 = ("coco-", "own-")


def rows_with_predictions():
    """(set, NME in percent, its files) of every row whose runs' predictions ship."""
    for result in READ.values():
        if result.get("benchmark") == "scored":
            for row in result["rows"]:
                files = row["predictions"]
                yield result["dataset"], row["nme"], [files] if isinstance(files, str) else files
        elif "openings" in result:
            for row in result["rows"]:
                yield "w300", row["nme"], [f"common-{row['run']}.npz"]
                if "coco_nme" in row:
                    yield "coco", row["coco_nme"], [f"coco-{row['run']}.npz"]


@pytest.mark.parametrize(("dataset", "folder", "split"), [("w300", "w300", "test"), ("coco", "faces68", "val")])
@needs_shared
def test_points_scored_again_give_the_tables_figures(dataset, folder, split):
    config = DataConfig(dataset=dataset, source=str(SHARED / folder), allow_partial=True)
    found = find_set(dataset)
    truth = truth_of(found.read(config.source, found.options(config)), config, split)
    scored = {}
    for of, nme, files in rows_with_predictions():
        if of != dataset:
            continue
        for file in files:
            if file not in scored:
                with np.load(PREDICTIONS / file) as kept:
                    assert kept["points"].dtype == np.float32
                    scored[file] = 100 * face_errors(kept["points"].astype(np.float64), truth)
                    np.testing.assert_allclose(scored[file], 100 * kept["nme"], rtol=1e-4)
        assert np.mean([scored[file].mean() for file in files]) == pytest.approx(nme, rel=1e-5), files
    there = {name for name in FILES if name.startswith(OF_FACES68) == (dataset == "coco")}
    assert there == scored.keys(), "a file that no table shows, or a table without its file"


def test_no_run_is_kept_twice():
    seen = {}
    for name in FILES:
        with np.load(PREDICTIONS / name) as kept:
            assert seen.setdefault(kept["points"].tobytes(), name) == name


def test_openings_by_hand():
    kept = {"dataset": "w300", "split": "test"}
    results = {
        "b": {"benchmark": "scored", **kept, "rows": [{"predictions": ["x.npz", "y.npz"]}, {"predictions": "z.npz"}]},
        "a": {"benchmark": "scored", **kept, "rows": [{"predictions": "x.npz"}]},
        "c": {"benchmark": "scored", "dataset": "coco", "split": "val", "rows": [{"predictions": "w.npz"}]},
        "d": {"benchmark": "stress", **kept, "rows": [{"kind": "none"}, {"kind": "blur"}, {"kind": "large pose"}]},
        "gpu": {
            "benchmark": "gpu",
            "rows": [],
            "openings": {f"{SPLIT}: one": 1, f"{SPLIT}: two": 2, "coco val: one": 1},
        },
    }
    counted = [sum(count for _, count in of) for of in passes(results).values()]
    assert counted == [1 + 2 + 3, 0, 2, 0, 0]
    assert "| all | 8 |  |" in markdown(results)


def test_the_finished_runs_of_common_are_those_whose_predictions_ship():
    counted = sum(count for _, count in next(iter(passes(READ).values())))
    assert counted == sum(not name.startswith(OF_FACES68) for name in FILES)
