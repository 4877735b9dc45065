# SPDX-License-Identifier: Apache-2.0
"""The ablation over several trainings, against sums by hand and against what was published."""

import json

import numpy as np
import pytest

from barrel_jax.evaluation.significance import sign_flip_p
from benchmarks import tables
from benchmarks.trainings import FOLDER, RESULTS, beside, pool, trainings


def row(run, model, seed=0, **fields):
    return {"run": run, "model": model, "seed": seed, "kind": "ablation", "nme_crop": 4.0} | fields


def test_a_model_is_held_to_the_one_of_its_own_training(tmp_path):
    rng = np.random.default_rng(0)
    nmes = {name: rng.uniform(0.02, 0.06, 30) for name in ("base1", "base2", "both1", "both2", "small2")}
    for name, nme in nmes.items():
        np.savez(tmp_path / f"common-{name}.npz", nme=nme)
    results = {
        "one": {"rows": [row("base1", "Baseline-18"), row("both1", "BarrelNet-18", nme_crop=3.0)]},
        "two": {
            "rows": [
                row("both2", "BarrelNet-18"),
                row("base2", "Baseline-18"),
                row("small2", "BarrelNet-18, rank 8", kind="size"),
                row("short", "BarrelNet-18", kind="coarse", schedule="short"),
                row("else", "BarrelNet-18", kind="generalisation"),
            ]
        },
    }
    found = trainings(results)
    assert {name: {model: of["run"] for model, of in runs.items()} for name, runs in found.items()} == {
        ("one", 0): {"Baseline-18": "base1", "BarrelNet-18": "both1"},
        ("two", 0): {"BarrelNet-18": "both2", "Baseline-18": "base2", "BarrelNet-18, rank 8": "small2"},
    }
    results["one"]["rows"] += [row("dq", "+DQInit-18"), row("qa", "+QAMem-18")]
    for name in ("dq", "qa"):
        np.savez(tmp_path / f"common-{name}.npz", nme=nmes["base1"] / 2)
    runs = list(trainings(results).values())
    rows = {row["model"]: row for row in pool(runs, tmp_path)}
    means = [100 * nmes[name].mean() for name in ("base1", "base2")]
    baseline = rows["Baseline-18"]
    assert baseline["nme"] == pytest.approx(means) and baseline["mean"] == pytest.approx(sum(means) / 2)
    assert baseline["spread"] == pytest.approx(abs(means[0] - means[1]) / np.sqrt(2))
    assert baseline["interval"][0] < baseline["mean"] < baseline["interval"][1]
    assert rows["BarrelNet-18"]["mean_crop"] == 3.5
    small = rows["BarrelNet-18, rank 8"]
    assert small["nme"][0] is small["spread"] is None
    pairs = {(row["model"], row["beside"]): row for row in beside(runs, tmp_path)}
    change = 50 * (nmes["both1"] - nmes["base1"] + nmes["both2"] - nmes["base2"])
    ours = pairs["BarrelNet-18", "Baseline-18"]
    assert ours["difference"] == pytest.approx(change.mean()) == pytest.approx(np.mean(ours["differences"]))
    assert ours["p"] == pytest.approx(sign_flip_p(change)) and ours["interval"][0] < change.mean() < ours["interval"][1]
    assert pairs["+DQInit-18", "Baseline-18"]["share"] == pytest.approx(-0.5)
    # From BarrelNet of the same training, not from the baseline or the other one.
    small = pairs["BarrelNet-18, rank 8", "BarrelNet-18"]
    assert small["differences"] == [None, small["difference"]]
    assert small["difference"] == pytest.approx(100 * (nmes["small2"] - nmes["both2"]).mean())
    # What no training has both of is no row.
    assert ("BarrelNet-18", "Baseline-18-d6") not in pairs and ("BarrelNet-18", "+DQInit-18") in pairs


def test_the_published_trainings_are_those_of_the_predictions():
    results = {name: json.loads((FOLDER / f"{name}.json").read_text()) for name in RESULTS}
    found = trainings(results)
    kept = json.loads((FOLDER / "w300-trainings.json").read_text())
    assert kept["trainings"] == [f"{name}, seed {seed}" for name, seed in found]
    runs = list(found.values())
    again, pairs = pool(runs, FOLDER / "predictions"), beside(runs, FOLDER / "predictions")
    for ours, theirs in zip(again + pairs, kept["rows"] + kept["pairs"], strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            if isinstance(value, str):
                assert ours[name] == value
            else:
                np.testing.assert_allclose(np.array(ours[name], float), np.array(value, float), rtol=1e-6)
    # The rows of the results are these files' means too.
    scores = {row["run"]: row["nme"] for result in results.values() for row in result["rows"]}
    for ours in again:
        expected = [scores[of[ours["model"]]["run"]] if ours["model"] in of else None for of in found.values()]
        np.testing.assert_allclose(np.array(ours["nme"], float), np.array(expected, float), rtol=1e-9)
    table = tables.TABLES["w300-trainings"](kept)
    assert "| +QAMem | 3.47, 3.46, 3.49, 3.47 | 3.47 ± 0.01 | 3.39..3.56 | 3.50 |" in table
    assert "| BarrelNet | Baseline, 6 decoders | –, -0.07, –, – | -2.1 % | -0.072 (-0.093..-0.052) | 0.0001 |" in table
