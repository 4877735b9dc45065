# SPDX-License-Identifier: Apache-2.0
"""Grids that are run, gone on with, and laid beside the paper; a run that fails leaves the others alone."""

import json
import math
import os
import re
import signal
import threading
import time
from dataclasses import fields, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from barrel_jax import files
from barrel_jax.benchmark.clock import Timing
from barrel_jax.benchmark.rows import Failed, Inferred, Key, to_json
from barrel_jax.config import save_run_config
from barrel_jax.evaluation.score_table import CLAMPED
from barrel_jax.evaluation.scores import Summary
from barrel_jax.paper import GRIDS
from barrel_jax.reproduce.__main__ import main
from barrel_jax.reproduce.figure5 import draw_figure5
from barrel_jax.reproduce.grid_page import write_grid_page
from barrel_jax.reproduce.programs import run_program
from barrel_jax.reproduce.results import collect, draw_figure4, markdown, write_results
from tests.kit import small
from tests.kit.scores import make_scores, summary

SMALL = ["table3", "--dataset", "synthetic", "--config", "configs/tiny.py", "--backbone", "resnet10_w16"]


def listed(capsys, *arguments):
    capsys.readouterr()
    assert main([*arguments, "--list"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_list_is_one_object_a_line(capsys, tmp_path):
    runs = listed(capsys, "table2", "--runs", str(tmp_path))
    assert len(runs) == 14 * 3
    assert runs[0]["command"].startswith("python train.py --config configs/wflw.py --workdir ")
    assert "--config.model.encoder_layers=1" in runs[4]["command"] and not runs[0]["done"]
    assert len({run["workdir"] for run in runs}) == len(runs)


def test_another_set_takes_the_whole_grid_and_equal_rows_once(capsys, tmp_path):
    given = ["--dataset", "coco", "--source", "DIR", "--epochs", "60", "--image_size", "128", "--runs", str(tmp_path)]
    given += ["--backbone", "resnet18", "--seeds", "1"]
    runs = listed(capsys, "table1", *given)
    assert main(["table1", *given, "--list", "--", "--config.batch_size=8"]) == 0
    commands = [json.loads(line)["command"] for line in capsys.readouterr().out.splitlines()]
    assert commands == [run["command"] + " --config.batch_size=8" for run in runs]
    assert [run["name"] for run in runs] == ["Baseline", "BarrelNet"]
    for word in (
        "configs/coco.py",
        f"source={Path('DIR').absolute()}",
        "epochs=60",
        "decay_epoch=40",
        "image_size=128",
        "backbone=resnet18",
    ):
        assert word in runs[0]["command"]


@pytest.mark.parametrize("word", ["--config.model.decoder_layers=3", "--config.seed=7", "--config.optim.epochs=9",
                                  "--noconfig.model.dqinit", "-config.seed", "--workdir=x", "--config"])  # fmt: skip
def test_what_the_grid_sets_is_not_set_otherwise(word, capsys, tmp_path):
    given = [*SMALL, "--epochs", "1", "--runs", str(tmp_path), "--list", "--"]
    assert main([*given, "--config.batch_size=8", word]) == 1
    assert f"reproduce: -- {word}: the grid sets this itself; leave it out" in capsys.readouterr().err
    assert main([*given, "--config.optim.learning_rate=1", "--config.mesh.model=1", "--config.data.crop", "tight"]) == 0
    words = json.loads(capsys.readouterr().out.splitlines()[0])["command"].split()
    assert words[-4:] == ["--config.optim.learning_rate=1", "--config.mesh.model=1", "--config.data.crop", "tight"]


@pytest.mark.parametrize(("epochs", "decay"), [(1, 1), (2, 1), (3, 2), (360, 240)])
def test_the_rate_falls_at_two_thirds_and_not_before_the_first_step(epochs, decay, capsys):
    (run, *_) = listed(capsys, "table1", "--epochs", str(epochs))
    assert f"--config.optim.epochs={epochs} --config.optim.decay_epoch={decay}" in run["command"]


def test_lists_that_are_given_twice_are_one(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    given = ["--sources", "wflw=/a", "--sources", "w300=~/b", "cofw=c", "--rows", "Baseline", "--rows", "BarrelNet"]
    commands = [run["command"] for run in listed(capsys, "table1", *given, "--seeds", "1")]
    sources = {re.search("--config.data.source=(.*?) --", command)[1] for command in commands}
    assert len(commands) == 18 and sources == {"/a", str(tmp_path / "b"), str(Path("c").absolute())}
    paths = ["--source=~/b", "--runs=~/r", "--config=~/c"]
    command = listed(capsys, "table3", "--dataset", "coco", *paths)[0]["command"]
    for word in (f"--config {tmp_path / 'c'} ", f"--workdir {tmp_path / 'r'}/", f"source={tmp_path / 'b'} "):
        assert word in command


@pytest.mark.parametrize(("words", "said"), [
    (["--seeds", "0"], "--seeds 0: there is at least 1 run of each row"),
    (["--seeds", "-1"], "--seeds -1: there is at least 1 run of each row"),
    (["--source", "DIR"], "--source is the folder of --dataset: name that too, or"),
])  # fmt: skip
@pytest.mark.parametrize("grid", ["table1", "fig5"])
def test_a_wrong_command_line_is_refused(grid, words, said, capsys):
    with pytest.raises(SystemExit) as ended:
        main([grid, *words])
    assert ended.value.code == 2 and said in capsys.readouterr().err


def test_the_papers_numbers_are_of_the_model_and_the_set_that_are_run(capsys):
    def papers(*arguments):
        return [run["paper"] for run in listed(capsys, *arguments, "--seeds", "1")]

    # Table 1: Baseline-18 and BarrelNet-18 on WFLW, Baseline-18 on 300W; of synthetic faces the paper says nothing.
    baselines = ["--rows", "Baseline", "BarrelNet", "--backbone", "resnet18"]
    assert papers("fig4", *baselines)[:2] == [{"": 4.47}, {"": 4.42}]
    assert papers("table1", *baselines[:2], *baselines[3:], "--dataset", "w300") == [
        {"": 3.34, "common": 2.95, "challenging": 4.93}
    ]
    assert papers("table1", *baselines, "--dataset", "synthetic") == [{}, {}]
    assert papers("fig4", *baselines, "--dataset", "coco")[0] == {}
    # What is trained for 300W's masks is scored on 300W unless a row says otherwise.
    assert papers("table3", "--dataset", "cofw68") == [{"": 3.22, "common": 2.83, "challenging": 4.84},
                                                       {"": 3.09, "common": 2.73, "challenging": 4.60}]  # fmt: skip
    assert papers("ablation", "--rows", "Baseline, aux loss", "--backbone", "resnet50") == [{}, {}]
    assert papers("fig4", "--backbone", "resnet50") == [row.paper for row in GRIDS["fig4"]]


def test_a_missing_source_is_named(capsys):
    assert main(["table3", "--sources", "w300=DIR"]) == 1
    assert "BarrelNet on cofw68: name its folder, --sources cofw68=DIR" in capsys.readouterr().err
    assert main(["table3", "--sources", "celeba=DIR"]) == 1
    assert "SET being one of wflw, w300, cofw, cofw68" in capsys.readouterr().err
    assert main(["table1", "--rows", "Barrel"]) == 1
    assert "--rows Barrel: table1 has no such models; it has Baseline, BarrelNet" in capsys.readouterr().err


@pytest.mark.processes
def test_a_grid_is_run_and_gone_on_with(capsys, tmp_path):
    given = [*SMALL, "--epochs", "1", "--runs", str(tmp_path)]
    arguments = [*given, "--seeds", "2"]
    first, second = listed(capsys, *arguments)
    # Another run lives in the folder of the second.
    strange = tmp_path / second["workdir"].removeprefix(str(tmp_path)).strip("/")
    strange.mkdir(parents=True)
    (strange / "config.json").write_text("{}")
    (strange / "run.json").write_text('{"fingerprint": "0", "dataset": "other", "scheme": "none", "num_landmarks": 3}')
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert "this folder belongs to a run on other data" in printed.err and second["workdir"] in printed.err
    written = json.loads((tmp_path / "table3.json").read_text())["rows"]
    assert [(row["seeds"], row["paper"], row["set"]) for row in written] == [([0], None, "synthetic")]
    scores = json.loads(next(tmp_path.glob("*/*seed0/eval/*/metrics.json")).read_text())
    assert written[0]["nme"] == pytest.approx(scores["nme"])
    made = json.loads((tmp_path / first["workdir"] / "run.json").read_text())
    assert made["steps"] == scores["checkpoint_step"] > 0
    # What is done is left alone.
    stamp = (tmp_path / first["workdir"] / "run.json").stat().st_mtime_ns
    assert main([*given, "--seeds", "1", "--report"]) == 0
    page = (tmp_path / "table3.html").read_text()
    assert "Scores: synthetic" in page and "BarrelNet-10-w16, seed 0" in page and f">{scores['nme']:.2f}<" in page
    assert (tmp_path / first["workdir"] / "run.json").stat().st_mtime_ns == stamp
    capsys.readouterr()
    assert [run["done"] for run in listed(capsys, *arguments)] == [True, False]
    assert (tmp_path / "table3.csv").read_text().splitlines()[0].startswith("model,set,backbone")


def test_the_ablation_trains_a_row_with_losses_on_inner_layers(capsys, tmp_path):
    given = ["ablation", "--dataset", "coco", "--source", "DIR", "--backbone", "resnet18", "--seeds", "1"]
    commands = {(run["name"], run["model"]["decoder_layers"]): run["command"] for run in listed(capsys, *given)}
    assert len(commands) == 11
    assert [key for key, command in commands.items() if command.endswith("--config.optim.aux_loss=True")] == [
        ("Baseline, aux loss", 3), ("Baseline, aux loss", 6)
    ]  # fmt: skip
    assert len(listed(capsys, *given, "--rows", "Baseline, aux loss")) == 2


def test_the_papers_grids_start_from_the_configs_weights_unless_told_otherwise(capsys, tmp_path):
    assert not any("pretrained" in run["command"] for run in listed(capsys, "table1", "--runs", str(tmp_path)))
    (first, *_) = listed(capsys, "table1", "--pretrained", "", "--runs", str(tmp_path))
    assert "--config.pretrained= " in first["command"] + " "


def test_a_download_in_its_place_needs_no_name(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("BARREL_JAX_DATA", str(tmp_path))
    assert main(["table3"]) == 1
    place = tmp_path / "downloads"
    assert f"--sources w300=DIR, or put the download at {place / 'w300'}" in capsys.readouterr().err
    (place / "w300").mkdir(parents=True)
    assert main(["table3"]) == 1
    assert f"--sources cofw68=DIR, or put the download at {place / 'cofw68'}" in capsys.readouterr().err


def fake(path, nme, step=None, about=None, **subsets):
    of_subsets = {name: Summary(**summary(nme=value, nme_crop=value - 0.1)) for name, value in subsets.items()}
    scores = make_scores(
        dataset="w300", nme=nme, nme_crop=nme - 0.1, subsets=of_subsets, checkpoint_step=step, **about or {}
    )
    files.write_json(path, files.plain(scores))
    return path


def with_predictions(metrics, nme):
    """Those of three faces beside a metrics.json, so that it is read as an evaluation."""
    columns = {
        "files": ["a.png", "b.png", "c.png"],
        "faces": [0, 0, 0],
        "nme": [nme / 100] * 3,
        "nme_crop": [nme / 100] * 3,
        "flags": np.zeros((3, 0), bool),
        "flag_names": np.zeros(0, "U1"),
    }
    np.savez(metrics.with_name("predictions.npz"), **columns)


def test_mean_and_spread_by_subset_by_hand(tmp_path):
    row = next(row for row in GRIDS["table1"] if row.config == "w300")
    scored = [
        (row, 0, fake(tmp_path / "0.json", 3.0, common=2.0, challenging=6.0)),
        (row, 1, fake(tmp_path / "1.json", 4.0, common=2.0, challenging=8.0)),
        (row, 2, tmp_path / "missing.json"),
    ]
    records = collect(scored)
    assert [record.subset for record in records] == ["", "common", "challenging"]
    assert [record.nme for record in records] == [3.5, 2.0, 7.0]
    assert [record.std for record in records] == pytest.approx([2**-0.5, 0, 2**0.5])
    assert [record.std_crop for record in records] == pytest.approx([2**-0.5, 0, 2**0.5])
    assert "| 3.34 | 3.40 | 0.71 | 3.50 | 0.71 | 2 |" in markdown(records)


def test_a_subset_without_a_face_is_a_dash(tmp_path):
    """Of a part of 300W: no error is NaN in metrics.json's place of a number, and is no number to take a mean of."""
    row = next(row for row in GRIDS["table1"] if row.config == "w300")
    two = [(row, 0, fake(tmp_path / "0.json", 3.0, common=2.0, challenging=math.nan)),
           (row, 1, fake(tmp_path / "1.json", 4.0, common=3.0, challenging=8.0))]  # fmt: skip
    (_, _, some), (_, common, none) = collect(two), collect(two[:1])
    assert (some.nme, some.nme_crop, some.std, some.std_crop) == (8.0, 7.9, None, None) and common.nme == 2.0
    assert (none.nme, none.nme_crop, none.std, none.std_crop) == (None, None, None, None)
    assert "| challenging | 4.93 | – | – | – | – | 1 |" in write_results("table1", two[:1], tmp_path)
    assert "nan" not in (tmp_path / "table1.csv").read_text()
    assert json.loads((tmp_path / "table1.json").read_text())["rows"][2]["nme"] is None
    # Which is not the same as none that is run.
    assert "| challenging | 4.93 | – | – | not run | – | 0 |" in markdown(collect([(row, 0, None)]))


def test_a_part_of_a_set_is_said_of_every_table(tmp_path):
    row = next(row for row in GRIDS["table1"] if row.config == "w300")
    about = {"partial": "PARTIAL SET: 2 of 689 test faces", "clamped": True}
    scored = [
        (row, 0, fake(tmp_path / "0" / "metrics.json", 3.0, about=about)),
        (row, 1, fake(tmp_path / "1.json", 3.0)),
    ]
    said = write_results("table1", scored, tmp_path)
    lines = ["w300: PARTIAL SET: 2 of 689 test faces", f"w300: {CLAMPED}"]
    assert said.split("\n\n")[:2] == lines and said + "\n" == next(tmp_path.glob("*.md")).read_text()
    content = json.loads((tmp_path / "table1.json").read_text())
    assert content["warnings"] == lines and all(about.items() <= one.items() for one in content["rows"])
    whole = [(row, 1, tmp_path / "1.json")]
    assert write_results("table1", whole, tmp_path).startswith("| model")
    assert json.loads((tmp_path / "table1.json").read_text())["warnings"] == []
    with_predictions(scored[0][2], 3.0)
    page = write_grid_page("table1", scored[:1], tmp_path).read_text()
    assert all(f'<p class="caution">{line}</p>' in page for line in lines)


def finished(given, capsys, path="eval/synthetic-test"):
    """The first run of a grid with scores, and a run.json that says so."""
    (run,) = listed(capsys, *given)
    fake(Path(run["workdir"]) / path / "metrics.json", 5.0)
    files.write_json(Path(run["workdir"]) / "run.json", {"command": run["command"].removeprefix("python ")})
    return run


def test_a_finished_run_of_another_command_is_refused(capsys, tmp_path):
    given = [*SMALL, "--seeds", "1", "--rows", "BarrelNet", "--epochs", "1", "--runs", str(tmp_path)]
    run = finished([*given, "--pretrained", ""], capsys)
    assert main([*given, "--pretrained", ""]) == 0
    for other, changed in (
        (["--pretrained", "imagenet"], "--config.pretrained: '' there, imagenet now"),
        (["--pretrained", "", "--source", "/b"], "--config.data.source: not given there, /b now"),
        (["--pretrained", "", "--", "--config.batch_size=8"], "--config.batch_size: not given there, 8 now"),
    ):
        capsys.readouterr()
        assert main([*given, *other]) == 1
        (said,) = capsys.readouterr().err.strip().splitlines()
        assert f"{run['workdir']}: this run was made by another command ({changed})" in said
        assert "give the arguments of that run, or choose another --runs" in said
    # Where nothing tells otherwise it is taken as it is.
    (Path(run["workdir"]) / "run.json").unlink()
    assert main([*given, "--pretrained", "imagenet"]) == 0


@pytest.mark.parametrize("content", ["[]", '{"command": 1}', "{"])
def test_a_finished_run_whose_file_is_damaged_is_named(content, capsys, tmp_path):
    given = [*SMALL, "--seeds", "1", "--rows", "BarrelNet", "--runs", str(tmp_path)]
    path = Path(finished(given, capsys)["workdir"]) / "run.json"
    path.write_text(content)
    assert main(given) == 1
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert f"{path}: this is" in said and "or choose another --runs" in said


def test_scores_on_another_set_are_of_the_folder_just_given(capsys, monkeypatch, tmp_path):
    given = ["table3", "--rows", "BarrelNet", "--backbone", "resnet18", "--seeds", "1", "--runs", str(tmp_path)]
    sources = ["--sources", "w300=/w", "cofw68=/a"]
    (run,) = listed(capsys, *given, *sources)
    scores = Path(run["workdir"]) / "eval" / "cofw68-test" / "metrics.json"

    def call(command, _):
        if "evaluate.py" in command[1]:
            fake(scores, 5.0)
        return 0

    monkeypatch.setattr("barrel_jax.reproduce.programs._call", call)
    assert main([*given, *sources]) == main([*given, *sources]) == 0
    assert main([*given, "--sources", "w300=/w", "cofw68=/b"]) == 1
    assert "(--source: /a there, /b now)" in capsys.readouterr().err


def test_a_run_that_leaves_no_scores_has_failed(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("barrel_jax.reproduce.programs._call", lambda *_: 0)
    given = [*SMALL, "--seeds", "1", "--runs", str(tmp_path), "--", "--config.data.holdout=0.1"]
    assert main(given) == 1
    said = capsys.readouterr().err
    assert "FAILED" in said and "trained, but wrote no" in said and "eval/synthetic-test/metrics.json" in said


def test_a_file_in_the_place_of_a_runs_folder_fails_that_run_alone(capsys, monkeypatch, tmp_path):
    given = [*SMALL, "--seeds", "2", "--rows", "BarrelNet", "--runs", str(tmp_path)]
    first, second = (Path(run["workdir"]) for run in listed(capsys, *given))
    first.parent.mkdir()
    first.write_text("")

    def call(command, _):
        fake(second / "eval" / "synthetic-test" / "metrics.json", 5.0)
        return 0

    monkeypatch.setattr("barrel_jax.reproduce.programs._call", call)
    assert main(given) == 1
    assert f"FAILED {first}: {first}: File exists" in capsys.readouterr().err
    assert json.loads((tmp_path / "table3.json").read_text())["rows"][0]["seeds"] == [1]


def test_a_training_that_was_stopped_is_no_row(capsys, monkeypatch, tmp_path):
    """train.py, told to stop, leaves with status 0 and has saved."""
    given = ["table3", "--rows", "BarrelNet", "--backbone", "resnet18", "--seeds", "1", "--runs", str(tmp_path)]
    given += ["--sources", "w300=/w", "cofw68=/a"]
    (run,) = listed(capsys, *given)
    folder, saved, called = Path(run["workdir"]), [41], []
    scores = folder / "eval" / "cofw68-test" / "metrics.json"

    def call(command, _):
        called.append(Path(command[1]).name)
        if called[-1] == "train.py":
            files.write_json(folder / "run.json", {"command": run["command"].removeprefix("python "), "steps": 2000})
            (folder / "checkpoints" / "latest" / str(saved[0])).mkdir(parents=True)
        else:
            fake(scores, 5.0, step=saved[0])
        return 0

    def rows():
        (row,) = json.loads((tmp_path / "table3.json").read_text())["rows"]
        return row["nme"], row["seeds"]

    monkeypatch.setattr("barrel_jax.reproduce.programs._call", call)
    assert main([*given, "--report"]) == 1 and called == ["train.py"]
    assert f"{folder}: stopped at step 41 of 2000; the same command goes on with it" in capsys.readouterr().err
    # Nor do scores of it that somebody made make one.
    fake(scores, 7.0, step=41)
    assert not listed(capsys, *given)[0]["done"]
    saved[0] = 1900
    assert main([*given, "--report"]) == 1 and called == ["train.py"] * 2 and rows() == (None, [])
    assert "Scores: w300" not in (tmp_path / "table3.html").read_text()
    saved[0] = 2000
    assert main(given) == 0 and called[2:] == ["train.py", "evaluate.py"] and rows() == (5.0, [0])
    assert main(given) == 0 and len(called) == 4 and listed(capsys, *given)[0]["done"]
    files.write_json(folder / "run.json", {"steps": "many"})
    assert main(given) == 1
    assert f"{folder / 'run.json'}: this is damaged: steps is no whole number; give" in capsys.readouterr().err


SAVES = """
import signal, sys, time
from pathlib import Path
from threading import Event
told = Event()
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: told.set())
Path(sys.argv[1], "begun").touch()
while not told.is_set():
    time.sleep(0.02)
time.sleep(1)
Path(sys.argv[1], "saved").touch()
"""


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_program_that_is_told_to_stop_is_waited_for(number, tmp_path):
    """A second passes before it has saved."""
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append((tmp_path / "saved").exists()))

    def tell():
        while not (tmp_path / "begun").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    teller = threading.Thread(target=tell)
    teller.start()
    try:
        if number == signal.SIGINT:
            with pytest.raises(KeyboardInterrupt):
                run_program(["-c", SAVES, str(tmp_path)], tmp_path / "log.txt")
        else:
            run_program(["-c", SAVES, str(tmp_path)], tmp_path / "log.txt")
    finally:
        teller.join()
        signal.signal(signal.SIGTERM, before)
    # Who told this process to stop is heard, but not before.
    assert (tmp_path / "saved").exists() and heard == ([True] if number == signal.SIGTERM else [])


def test_figure4_is_drawn(tmp_path):
    rows = [row for row in GRIDS["fig4"] if row.model["decoder_layers"] <= 2]
    records = collect([(row, 0, fake(tmp_path / f"{i}.json", 4 + i / 100)) for i, row in enumerate(rows)])
    picture = draw_figure4(records)
    assert picture.shape == (480, 1100, 3) and picture.std() > 10
    # What is drawn beside the paper's numbers is in the crop, as they are.
    assert (draw_figure4([replace(record, nme=2.0, std=1.0) for record in records]) == picture).all()
    assert (draw_figure4([replace(record, nme_crop=2.0) for record in records]) != picture).any()


def test_figures_are_of_whole_sets(tmp_path):
    """Of 300W the paper has subsets, which are lines of a table and no points of a figure."""
    rows = [replace(row, paper={"": 3.0, "common": 2.0}) for row in GRIDS["fig5"][:2]]
    scored = [(row, 0, fake(tmp_path / f"{i}.json", 3.0 + i, common=2.0)) for i, row in enumerate(rows)]
    timing = Timing(**dict.fromkeys((field.name for field in fields(Timing)), 9.0))
    measured = [Inferred(Key(row.label, "jax", "cpu", "float32", 1), timing, 1, 1.0, None, {}, 1, None) for row in rows]
    records = collect(scored, measured)
    whole = [record for record in records if not record.subset]
    assert len(records) == 2 * len(whole) == 4
    for draw in (draw_figure4, draw_figure5):
        assert (draw(records) == draw(whole)).all(), draw
        assert (draw(whole[:1]) != draw(whole)).any(), draw


def test_a_figure_of_before_is_not_this_ones(tmp_path):
    row = GRIDS["fig4"][0]
    scored = [(row, 0, fake(tmp_path / "0" / "metrics.json", 4.0))]
    with_predictions(scored[0][2], 4.0)
    write_results("fig4", scored, tmp_path)
    assert (tmp_path / "fig4.png").exists()
    assert 'class="picture"' in write_grid_page("fig4", scored, tmp_path).read_text()
    write_results("fig4", [(row, 0, None)], tmp_path)
    assert not (tmp_path / "fig4.png").exists()
    assert 'class="picture"' not in write_grid_page("fig4", [(row, 0, None)], tmp_path).read_text()


def test_one_set_that_was_scored_in_two_ways_has_two_parts_of_the_page(tmp_path):
    scored = []
    for place, normaliser in enumerate(("outer_eye_corners", "box")):
        about = {"normaliser": normaliser}
        row = GRIDS["fig4"][place]
        scored.append((row, 0, fake(tmp_path / f"{place}" / "metrics.json", 4.0, about=about)))
        with_predictions(scored[-1][2], 4.0)
    text = write_grid_page("table1", scored, tmp_path).read_text()
    ids = re.findall('<section id="([^"]+)"', text)
    assert len(ids) == len(set(ids)) and all(f'href="#{one}"' in text for one in ids)
    assert text.count(">Scores: w300 test (1)</h2>") == text.count(">Scores: w300 test (2)</h2>") == 1


def test_speeds_are_measured_until_each_model_has_them(capsys, monkeypatch, tmp_path):
    given = ["table4", "--dataset", "synthetic", "--seeds", "1", "--epochs", "1", "--runs", str(tmp_path)]
    for run in listed(capsys, *given):
        fake(Path(run["workdir"]) / "eval" / "synthetic-test" / "metrics.json", 5.0)
    asked, broken = [], []

    def call(command, _):
        if "--models" in command:
            asked.append(labels := command[command.index("--models") + 1].split(","))
            rows = [Failed(Key(label, "jax", "cpu", "float32", 1), "out of memory") for label in labels]
            timing = Timing(**dict.fromkeys((field.name for field in fields(Timing)), 1.0))
            timed = [Inferred(row.key, timing, 1, 1.0, None, {}, 1, None) for row in rows]
            found = [row if row.key.model in broken else good for row, good in zip(rows, timed, strict=True)]
            result = {"finished": True, "rows": [to_json(row) for row in found]}
            files.write_json(Path(command[command.index("--out") + 1]), result)
        return 0

    monkeypatch.setattr("barrel_jax.reproduce.programs._call", call)

    def measures(*arguments):
        asked.clear()
        assert main([*given, *arguments]) == 0
        return len(asked)

    # One model, then all: those of which nothing is known yet are timed.
    assert (measures("--rows", "BarrelNet"), measures("--rows", "BarrelNet")) == (1, 0)
    broken.append("BarrelNet-50")
    assert measures() == 1
    # One that failed is tried again; of the others it is known.
    assert (measures("--rows", "Baseline"), measures()) == (0, 1)
    broken.clear()
    assert (measures(), measures()) == (1, 0)


def test_models_are_timed_at_the_size_that_they_were_trained_at(capsys, monkeypatch, tmp_path):
    """Which the config says where the command line does not, as configs/coco.py with its 128 pixels."""
    given = ["fig5", "--dataset", "synthetic", "--seeds", "1", "--rows", "Baseline", "--runs", str(tmp_path)]
    folder = Path(listed(capsys, *given)[0]["workdir"])
    fake(folder / "eval" / "synthetic-test" / "metrics.json", 5.0)
    asked = []

    def call(command, _):
        if "--models" in command:
            asked.append((command[command.index("--image-size") + 1], Path(command[command.index("--out") + 1]).name))
        return 0

    monkeypatch.setattr("barrel_jax.reproduce.programs._call", call)
    files.write_json(folder / "run.json", {"scheme": "cofw-29", "num_landmarks": 29})
    save_run_config(small.config(data__image_size=128), folder)
    assert main(given) == 1  # the other rows have no scores
    assert asked == [("128", "speed-fig5-29-points-128-px.json")]


def test_damaged_files_of_the_speed_are_named(capsys, tmp_path):
    given = ["table4", "--dataset", "synthetic", "--seeds", "1", "--runs", str(tmp_path), "--rows", "Baseline"]
    runs = listed(capsys, *given)
    for run in runs:
        fake(Path(run["workdir"]) / "eval" / "synthetic-test" / "metrics.json", 5.0)
    speed = Path(runs[0]["workdir"]).parent / "speed-table4-98-points-256-px.json"
    for content in ("[]", "{}", '{"rows": [{"model": "BarrelNet-50"}]}', '{"rows": '):
        speed.write_text(content)
        assert main(given) == 1
        said = capsys.readouterr().err.strip().splitlines()[-1]  # after the bar
        assert f"reproduce: {speed}: " in said and "delete it to have the models timed again" in said
    run_json = Path(runs[0]["workdir"]) / "run.json"
    run_json.write_text('{"num_landmarks": 98}')
    assert main(given) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"reproduce: {run_json}: a run's scheme and num_landmarks are missing; put the run's own back" in said


@pytest.mark.processes
def test_figure5_times_its_models_once_and_is_drawn(capsys, tmp_path):
    given = ["fig5", *SMALL[1:], "--backbone", "resnet18", "--rows", "BarrelNet", "--seeds", "1", "--image_size", "32"]
    given += ["--epochs", "1", "--runs", str(tmp_path)]
    (run,) = listed(capsys, *given)
    fake(Path(run["workdir"]) / "eval" / "synthetic-test" / "metrics.json", 5.0)
    assert main(given) == 0
    (row,) = json.loads((tmp_path / "fig5.json").read_text())["rows"]
    assert row["nme"] == 5.0 and row["label"] == "BarrelNet-18"
    speed = row["speed"]
    impls = ["jax", "torch-eager"] if find_spec("torch") else ["jax"]
    assert all(speed[f"{impl}, CPU, float32: FPS"] > 0 for impl in impls)
    assert (speed["paper's FPS, CPU"], speed["paper's FPS, GPU"]) == (28.7, 137.2)
    picture = (tmp_path / "fig5.png").read_bytes()
    assert main(given) == 0  # as timed before
    again = json.loads((tmp_path / "fig5.json").read_text())["rows"][0]["speed"]
    assert again == speed and (tmp_path / "fig5.png").read_bytes() == picture
