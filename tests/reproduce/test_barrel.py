# SPDX-License-Identifier: Apache-2.0
"""The five staves: read from a run's files, compared, written and drawn."""

import dataclasses
import json
import os
import shutil
from subprocess import CompletedProcess

import numpy as np
import pytest

from barrel_jax import files
from barrel_jax.config import save_run_config
from barrel_jax.evaluation.score_table import CLAMPED
from barrel_jax.reproduce.barrel.compare_models import compare_models, group, main, with_heights
from barrel_jax.reproduce.barrel.comparison import Criterion, Figure, ModelComparison
from barrel_jax.reproduce.barrel.measure import Measured, label_related, measure, other_set
from barrel_jax.reproduce.barrel.page import barrel_page
from barrel_jax.reproduce.barrel.picture import draw_barrels
from barrel_jax.reproduce.barrel.tables import HEIGHTS, markdown
from barrel_jax.reproduce.barrel.training_time import Scored, common_epochs, training_curve, training_time
from barrel_jax.training import loop
from data.prepare import prepare_config
from tests.kit import small
from tests.kit.processes import ROOT
from tests.kit.scores import make_scores, make_stress
from tests.kit.toy import written

ALIKE = {"dataset": "toy", "split": "test", "fingerprint": "f00d", "scheme": "custom-3", "normaliser": "points_0_1",
         "normaliser_points": [0, 1], "clamped": False, "partial": ""}  # fmt: skip


def cost(config, num_landmarks, image_size):
    """By hand: a wider model is slower."""
    assert (num_landmarks, image_size, config.dtype) == (3, 32, "float32")
    return {"device": "cpu", "fps": 3200 / config.width, "parameters": 2e6, "flops": 3e9, "memory_mb": 40.0}


def measured(tmp_path, name, nme, *, other=None, epochs=10.0, **fields):
    stress = make_stress(("none", 0.0, nme, 3 * nme), ("blur", 0.1, 2 * nme, 3 * nme), ("blur", 0.2, 4 * nme, 3 * nme))
    fields_of = {**ALIKE, "normalised_by": "points", "checkpoint_step": 12}
    return Measured(
        workdir=tmp_path / name, config=small.config(**fields), num_landmarks=3,
        scores=make_scores(nme=nme, **fields_of), stress=stress,
        other=other and make_scores(nme=other, **fields_of | {"dataset": "far"}),
        why_no_other="" if other else "not asked for",
        curve=[Scored(epoch, 2 * epoch, nme if epoch >= epochs else 2 * nme) for epoch in (10.0, 20.0, 30.0, 50.0)],
    )  # fmt: skip


def three_runs(tmp_path):
    """Two seeds of one model, and one of another that is wider, so slower."""
    return [
        measured(tmp_path, "thin-seed0", 4.0, other=8.0, epochs=30.0),
        measured(tmp_path, "thin-seed1", 6.0, other=8.0, epochs=50.0, seed=1, loop__log_steps=7),
        measured(tmp_path, "wide", 4.0, epochs=20.0, model__width=64),
    ]


def test_heights_by_hand(tmp_path):
    models = group(three_runs(tmp_path))
    assert {name: [run.config.seed for run in runs] for name, runs in models.items()} == {"thin": [0, 1], "wide": [0]}
    thin, wide = compare_models(models, cost).models
    # Means over seeds: NME 5 against 4, stressed 3 times that, 100 against 50 FPS, 40 against 20 epochs.
    heights = [{name: one.height for name, one in model.criteria.items()} for model in (thin, wide)]
    assert heights[0] == pytest.approx(dict(zip(HEIGHTS, (0.8, 0.8, 1.0, 1.0, 0.5), strict=True)))
    assert heights[1] == dict(zip(HEIGHTS, (1.0, 1.0, 0.5, None, 1.0), strict=True))
    assert (thin.shortest, thin.holds, wide.shortest) == ("ease of training", 0.5, "efficiency")
    assert thin.criteria["accuracy"].figure("nme") == Figure(5.0, pytest.approx(2**0.5))
    assert thin.criteria["robustness"].figure("nme").mean == pytest.approx(15)
    assert thin.criteria["efficiency"].figure("fps") == Figure(100.0, None)
    assert wide.criteria["accuracy"].figure("nme").std is None


def test_what_is_written_is_read(tmp_path):
    comparison = compare_models(group(three_runs(tmp_path)), cost)
    assert ModelComparison.from_json(json.loads(json.dumps(files.plain(comparison.to_json())))) == comparison
    kept = json.loads((ROOT / "benchmarks" / "results" / "barrel.json").read_text())
    again = ModelComparison.from_json(kept).to_json()
    assert len(again["models"]) == 5 and again["other"]["dataset"] == "coco"
    about = ("benchmark", "machine", "versions", "commit", "command")
    assert json.dumps(again) == json.dumps({name: value for name, value in kept.items() if name not in about})


def test_tables_and_picture(tmp_path):
    barrels = compare_models(group(three_runs(tmp_path), ["a", "b"]), cost)
    text = markdown(barrels)
    for line in (
        "| generalisation | 1.00 | not measured |",
        "| holds water up to | 0.50 (ease of training) | 0.50 (efficiency) |",
        "| accuracy | NME(points 0 1) % | 5.00 ± 1.41 | 4.00 |",
        "| efficiency | parameters, millions | 2.00 | 2.00 |",
        "| generalisation | NME(points 0 1) on far test % | 8.00 ± 0.00 | not measured |",
        "| blur 0.2 | 20.00 ± 5.66 / 15.00 ± 4.24 | 16.00 / 12.00 |",
        "- Generalisation of b is not measured: not asked for.",
    ):
        assert line in text.splitlines()
    picture = draw_barrels(barrels)
    assert picture.shape == (630, 1200, 3)
    # The right barrel lacks wood where its generalisation would be, and only that.
    wood = (abs(picture.astype(int) - [173, 120, 64]).max(axis=2) < 12).sum(axis=0)
    assert wood[340:390].min() > 90 and wood[940:1000].max() < 20


def test_the_page_draws_what_the_picture_does(tmp_path):
    page = barrel_page(compare_models(group(three_runs(tmp_path), ["a", "<b>"]), cost), ())
    assert "Barrel of a: accuracy 0.80, robustness 0.80, efficiency 1.00" in page
    assert "generalisation not measured, ease of training 1.00. It holds 0.50, up to efficiency." in page
    assert page.count(">5.00 ± 1.41<") == 1 and "<b>" not in page and page.count("<figure>") == 2
    # Only the second lacks a stave, which is dashed.
    first, second = page.split("<figure>")[1:]
    assert ("stroke-dasharray" in first, second.count("stroke-dasharray")) == (False, 1)


def test_a_part_of_a_set_is_said(tmp_path):
    barrels = compare_models(group(three_runs(tmp_path)), cost)
    part, far = "PARTIAL SET: 2 of 9 test faces", "PARTIAL SET: 1 of 5 test faces"
    assert "PARTIAL" not in markdown(barrels) and "CLAMPED" not in markdown(barrels)
    barrels = dataclasses.replace(
        barrels,
        faces=dataclasses.replace(barrels.faces, partial=part, clamped=True),
        other=dataclasses.replace(barrels.other, partial=far),
    )
    for line in (f"toy test: {part}.", f"toy test: {CLAMPED}.", f"far test: {far}."):
        assert f"- {line}" in markdown(barrels).splitlines() and line in barrel_page(barrels, ())


def test_seeds_and_names(tmp_path):
    runs = three_runs(tmp_path)
    with pytest.raises(ValueError, match=r"2 models \(thin-seed0, thin-seed1; wide\) .*not only: give --names"):
        group(runs, ["only"])
    with pytest.raises(ValueError, match="need as many different names, not a, a"):
        group(runs, ["a", "a"])
    with pytest.raises(ValueError, match=r"thin-seed0 and .*again: the same settings and seed 0; leave one out"):
        group([*runs, dataclasses.replace(runs[0], workdir=tmp_path / "again")])


@pytest.mark.parametrize("folder", [b"x$_$", b"p$\\frac$", b"caf\xe9"])
def test_any_name_of_a_folder_is_written_and_drawn(folder, tmp_path):
    """As mathematics it is none, or it is no UTF-8."""
    runs = [measured(tmp_path, os.fsdecode(folder), 4.0), measured(tmp_path, "wide", 4.0, model__width=64)]
    barrels = compare_models(group(runs), cost)
    assert barrels.models[0].name == folder.decode("latin-1")
    draw_barrels(barrels)
    markdown(barrels).encode()


def test_seeds_whose_further_set_lay_in_another_folder_are_one_model(tmp_path):
    also = [{"data__also": (("coco", folder, share),)} for folder, share in (("/a", 0.5), ("/b", 0.5), ("/a", 0.25))]
    runs = [measured(tmp_path, f"run-seed{n}", 4.0, seed=n, **fields) for n, fields in enumerate(also)]
    assert [[run.config.seed for run in same] for same in group(runs, ["a", "b"]).values()] == [[0, 1], [2]]


def test_runs_on_other_faces_are_not_compared(tmp_path):
    first, _, other = three_runs(tmp_path)
    moved = dataclasses.replace(other, scores=dataclasses.replace(other.scores, fingerprint="beef"))
    with pytest.raises(ValueError, match="wide cannot be compared: fingerprint 'f00d' and 'beef'"):
        compare_models(group([first, moved]), cost)
    for field, there, now in (("fingerprint", "f00d", "beef"), ("seed", 0, 1), ("clamped", False, True)):
        stress = [dataclasses.replace(first.stress, **{field: value}) for value in (there, now)]
        runs = [dataclasses.replace(run, stress=one) for run, one in zip((first, other), stress, strict=True)]
        with pytest.raises(ValueError, match=f"wide cannot be compared: {field} {there!r} and {now!r}"):
            compare_models(group(runs), cost)


def test_equal_models_have_height_1_even_without_an_error(tmp_path):
    (model, _) = compare_models(group(three_runs(tmp_path)), cost).models
    perfect = {name: Criterion({number: Figure(0.0, None)}) for name, (number, _) in HEIGHTS.items()}
    models = with_heights([dataclasses.replace(model, criteria=perfect)] * 2)
    assert {one.height for model in models for one in model.criteria.values()} == {1.0}


def test_training_time_by_hand(tmp_path):
    # 4 steps an epoch of 10 faces. Within 5 % of the final 4.0 is 4.2: first at step 12, not at step 20.
    lines = [
        {"step": 6, "epoch": 1.5, "faces_per_s": 6.0},
        {"step": 8, "test/nme_box": 9.0, "test/fr_0.10_box": 0.0},
        {"step": 14, "epoch": 3.5, "faces_per_s": 20.0},
        {"step": 12, "test/nme_box": 4.2},
        {"step": 16, "test/nme_box": 4.3},
        {"step": 20, "epoch": 5.0, "faces_per_s": 1.0},
        {"step": 20, "test/nme_box": 4.0},
    ]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    curve = training_curve(path, "test", 10)
    assert training_time(curve, {2.0, 3.0, 4.0}) == {"epochs": 3.0, "seconds": 6 * 10 / 6 + 6 * 10 / 20}
    assert training_curve(path, "val", 10) == training_curve(tmp_path / "none", "test", 10) == []
    assert training_time([], {3.0}) == {}
    path.write_text(path.read_text()[:-20])
    with pytest.raises(ValueError, match=r"metrics.jsonl, line 7: no step in .*; delete the line"):
        training_curve(path, "test", 10)


def test_who_is_scored_more_often_does_not_train_faster(tmp_path):
    """A run scored at every epoch is seen to be there at the third, the other at its second score, the fourth."""
    often = [Scored(float(epoch), 10.0 * epoch, nme) for epoch, nme in enumerate((9, 6, 4.1, 4.05, 4.02, 4), 1)]
    seldom = [score for score in often if score.epoch in (2, 4, 6)]
    assert training_time(often, common_epochs([often])) == {"epochs": 3.0, "seconds": 30.0}
    assert common_epochs([often, seldom, []]) == {2.0, 4.0, 6.0}
    assert training_time(often, common_epochs([often, seldom])) == {"epochs": 4.0, "seconds": 40.0}
    # Shorter and longer runs: the last score of each counts, whoever else has one there.
    longer = [Scored(5.0, 50.0, 8.0), Scored(12.0, 120.0, 4.0)]
    assert training_time(longer, common_epochs([often, longer])) == {"epochs": 12.0, "seconds": 120.0}
    runs = [measured(tmp_path, "often", 4.0), measured(tmp_path, "seldom", 4.0, model__width=64)]
    runs = [dataclasses.replace(run, curve=curve) for run, curve in zip(runs, (often, seldom), strict=True)]
    barrels = compare_models(group(runs), cost)
    assert [model.criteria["ease of training"].height for model in barrels.models] == [1.0, 1.0]
    assert "3 epochs at which all runs were scored (2, 4, 6)" in markdown(barrels)
    apart = [runs[0], dataclasses.replace(runs[1], curve=longer[1:])]
    assert "there is no epoch at which all were" in markdown(compare_models(group(apart), cost))


def test_what_generalisation_is_measured_on():
    own, drawn = small.config(data__dataset="coco"), small.config()
    assert other_set(own, "wflw-98", "") == ("synthetic", "")
    assert other_set(own, "wflw-98", "cofw") == ("cofw", "")
    assert other_set(own, "custom-3", "")[1].startswith("synthetic faces do not have the points of custom-3: name")
    assert other_set(own, "wflw-98", "coco") == (
        "",
        "it was trained on coco: name another set, --dataset SET --source DIR",
    )
    assert other_set(drawn, "cofw-29", "")[0] == ""


def test_label_related_hyperparameters_are_named():
    assert label_related(small.config()) == []
    assert label_related(small.config(data__clamp_points=True)) == ["data.clamp_points"]


def test_a_folder_that_cannot_be_measured_is_named(tmp_path, capsys):
    assert main(["--workdirs", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 1
    assert "none/config.json: no run there; train first" in capsys.readouterr().err
    save_run_config(small.config(), tmp_path / "run")
    written(tmp_path / "run" / "run.json", {"num_landmarks": 29, "scheme": "cofw-29"})
    with pytest.raises(
        FileNotFoundError, match=r"this run has no scores yet; train it to the end, or python evaluate\.py"
    ):
        measure(tmp_path / "run")
    written(tmp_path / "run" / "eval" / "synthetic-test" / "metrics.json", files.plain(make_scores()))
    with pytest.raises(ValueError, match="these are scores of predictions, not of the run's model"):
        measure(tmp_path / "run")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("run.json", '{"scheme": ', "this is no JSON"),
        ("run.json", "{}", "a run's scheme and num_landmarks are missing"),
        ("config.json", '{"model": ', "this is no JSON"),
        ("config.json", "[]", "config"),
    ],
)
def test_a_run_whose_files_are_damaged_is_named(name, content, said, tmp_path, capsys):
    save_run_config(small.config(), tmp_path)
    written(tmp_path / "run.json", {"num_landmarks": 29, "scheme": "cofw-29"})
    (tmp_path / name).write_text(content)
    assert main(["--workdirs", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]  # after the bar
    assert line.startswith(f"reproduce barrel: {tmp_path / name}: ") and said in line and "; put the run's own" in line


def test_only_scores_of_the_same_faces_crop_and_clamping_are_taken_again(tmp_path, monkeypatch):
    config = small.config(data__dataset="coco")
    save_run_config(config, tmp_path)
    written(tmp_path / "run.json", {"num_landmarks": 98, "scheme": "wflw-98"})
    fields = {"dataset": "coco", "split": "test", "checkpoint_step": 12, "crop": "pipnet", "clamped": True}
    own = tmp_path / "eval" / f"coco-{config.data.test_split}"
    other = tmp_path / "eval" / "synthetic-test" / "metrics.json"
    good = {
        own / "metrics.json": files.plain(make_scores(**fields)),
        own / "stress.json": files.plain(make_stress(("none", 0.0, 4.0, 9.0), **fields)),
        other: files.plain(make_scores(**fields | {"dataset": "synthetic", "fingerprint": "beef"})),
    }
    called = []

    def evaluate(command, **_):
        called.append(command[command.index("--workdir") + 2 :])
        for path in (own / "stress.json",) if "--stress" in command else (other,):
            written(path, good[path])
        return CompletedProcess(command, 0, "", "")

    monkeypatch.setattr("subprocess.run", evaluate)

    def calls(path, *source, **there):
        """The calls of evaluate.py when a file says something else; what does not fit is made anew, once."""
        for one, content in good.items():
            written(one, content | there if one == path else content)
        called.clear()
        measure(tmp_path, *source)
        return [*called]

    same = ["--checkpoint", "12", "--crop", "pipnet", "--clamp-points"]
    assert calls(None) == []
    for there in ({"dataset": "wflw"}, {"split": "val"}, {"fingerprint": "beef"}, {"normaliser": "box"},
                  {"crop": "tight"}, {"clamped": False}, {"clamped": None}, {"checkpoint_step": 11}):  # fmt: skip
        expected = ["--stress", *same, "--normaliser", "outer_eye_corners"]
        assert calls(own / "stress.json", **there) == [expected], there
    unseen = ["--dataset", "synthetic", "--split", "test", *same]
    for there in ({"crop": "tight"}, {"normaliser": "box"}, {"clamped": False}, {"checkpoint_step": 11}):
        assert calls(other, **there) == [unseen], there
    # Nobody knows what lies in a folder before it is read.
    assert calls(None, "synthetic", "/faces") == [[*unseen, "--source", "/faces"]]


@pytest.mark.processes
def test_the_barrel_of_a_run_and_its_copy(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")  # of evaluate.py
    fields = {"mesh__data": 1, "optim__epochs": 1, "data__data_dir": str(tmp_path / "sets")}
    config = small.config(**fields, **small.PLAIN)
    loop.train(config, tmp_path / "a", prepare_config(config.data))
    run = measure(tmp_path / "a")  # evaluate.py --stress
    assert run.stress.checkpoint_step == 6 and run.stress.records[0].nme == pytest.approx(run.scores.nme)
    assert [record.num_images for record in run.stress.records] == [20] * 21 + [4] * 5
    # Another model, whose scores are twice as bad.
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    settings = json.loads((tmp_path / "b" / "config.json").read_text())
    settings["optim"]["learning_rate"] *= 2
    written(tmp_path / "b" / "config.json", settings)
    scores = json.loads((tmp_path / "b" / "eval" / "synthetic-test" / "metrics.json").read_text())
    written(tmp_path / "b" / "eval" / "synthetic-test" / "metrics.json", scores | {"nme": 2 * scores["nme"]})
    with np.load(tmp_path / "b" / "eval" / "synthetic-test" / "predictions.npz") as file:
        kept = dict(file)
    np.savez(tmp_path / "b" / "eval" / "synthetic-test" / "predictions.npz", **kept | {"nme": 2 * kept["nme"]})
    capsys.readouterr()
    out = tmp_path / "out"
    assert main(["--workdirs", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(out), "--report"]) == 0
    assert {path.name for path in out.iterdir()} == {"barrel.md", "barrel.json", "barrel.png", "barrel.html"}
    page = (out / "barrel.html").read_text()
    assert "Barrel of a: accuracy 1.00" in page and "Cumulative error: synthetic test" in page
    first, second = json.loads((out / "barrel.json").read_text())["models"]
    assert (first["staves"]["accuracy"]["height"], second["staves"]["accuracy"]["height"]) == (1.0, 0.5)
    assert second["staves"]["robustness"]["height"] == 1.0 and second["holds"] <= 0.5
    assert first["staves"]["generalisation"]["height"] is None
    assert first["staves"]["efficiency"]["figures"]["fps"]["mean"] > 0
    assert "| generalisation | not measured | not measured |" in capsys.readouterr().out
    # What is missing of another set is asked of evaluate.py, whose complaint reaches the reader.
    with pytest.raises(ValueError, match=r"evaluate\.py --workdir .* --dataset coco .*coco: no download at"):
        measure(tmp_path / "a", "coco")
