# SPDX-License-Identifier: Apache-2.0
"""Evaluations side by side: differences by hand, and no comparison of what is not alike."""

import json
import os

import cv2
import numpy as np
import pytest

from barrel_jax.compare import main
from barrel_jax.evaluation.comparison import Difference, compare, default_names, read_evaluation
from barrel_jax.evaluation.score import score, write_evaluation
from barrel_jax.faces.landmarks import W300_68
from tests.kit.toy import make_truth, shifted

COUNT = 40


def make_faces(**fields):
    """Faces with eye corners 100 px apart, half of them in a subset."""
    points_px = np.random.default_rng(0).normal(0, 50, (COUNT, 68, 2))
    points_px[:, 36], points_px[:, 45] = [0, 0], [100, 0]
    flags = (np.arange(COUNT) % 2 == 0)[:, None]
    return make_truth(W300_68, points_px, flag_names=("pose",), flags=flags, **fields)


def evaluate(workdir, misses, mapped="", **fields):
    """Writes an evaluation in which face i misses by misses[i] % of the eyes' distance; returns its folder."""
    faces = make_faces(**fields)
    points_px = shifted(faces, misses)
    directory = workdir / "eval" / "toy-test"
    write_evaluation(directory, score(points_px, faces, mapped=mapped), points_px, faces)
    return directory


@pytest.fixture
def three(tmp_path):
    """The second is worse by 1 % on every face of the subset only, the third is better by noise around 0.5 %."""
    misses = np.random.default_rng(1).uniform(2, 12, COUNT)
    worse = misses + (np.arange(COUNT) % 2 == 0)
    better = misses - np.random.default_rng(2).normal(0.5, 0.4, COUNT)
    return [evaluate(tmp_path / name, values) for name, values in (("a", misses), ("b", worse), ("c", better))]


def read(directories):
    return [read_evaluation(path, name) for path, name in zip(directories, "abc", strict=False)]


def test_differences_by_hand(three):
    comparison = compare(read(three))
    first, second, third = comparison.evaluations
    assert (first.name, first.difference, first.subsets["pose"].difference) == ("a", None, None)
    metrics = json.loads((three[1] / "metrics.json").read_text())
    assert second.nme == pytest.approx(metrics["nme"]) and second.auc == pytest.approx(metrics["auc"])
    assert second.difference.nme == pytest.approx(0.5, abs=1e-5) == second.nme - first.nme
    assert second.difference.p < 1e-3
    # Half of the faces differ by 1 and half by 0: a standard error of 0.5 / sqrt(40).
    np.testing.assert_allclose(second.difference.interval, [0.5 - 0.155, 0.5 + 0.155], atol=0.03)
    assert second.subsets["pose"].difference.nme == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(second.subsets["pose"].difference.interval, [1, 1], atol=1e-5)
    assert third.difference.nme < 0 and third.difference.interval[1] < 0


def test_equal_predictions_do_not_differ(three):
    _, again = compare(read([three[0], three[0]])).evaluations
    assert again.difference == Difference(0.0, [0.0, 0.0], 1.0)


def test_faces_that_one_has_no_score_of_are_left_out_of_the_difference(tmp_path):
    misses, visible = np.full(COUNT, 3.0), np.full((COUNT, 68), 2, np.uint8)
    unscored = visible.copy()
    unscored[[0, 1], 36] = 0  # an eye corner, of a face of the subset and of another one
    folders = [evaluate(tmp_path / "a", misses), evaluate(tmp_path / "b", misses + 1, visible=unscored)]
    _, second = compare(read(folders)).evaluations
    assert (second.num_images, second.num_unscorable) == (COUNT - 2, 2)
    assert second.difference.nme == pytest.approx(1, abs=1e-5) == second.subsets["pose"].difference.nme
    unscored[:, 36] = 0
    none = evaluate(tmp_path / "c", misses, visible=unscored)
    _, second = compare(read([folders[0], none])).evaluations
    assert np.isnan([second.nme, second.difference.nme, second.difference.p, *second.difference.interval]).all()


def test_errors_in_the_crop_and_long_names_are_those_of_each(tmp_path):
    windows = np.tile(np.array([[0, 0, 400, 400]], np.float32), (COUNT, 1))  # squares: the errors are the same there
    files = tuple(f"{'folder/' * 20}{face}.png" for face in range(COUNT))
    folders = [evaluate(tmp_path / n, np.full(COUNT, p), windows=windows, files=files) for n, p in (("a", 3), ("b", 4))]
    first, second = compare(read(folders)).evaluations
    assert (first.nme_crop, second.nme_crop) == (pytest.approx(3, abs=1e-4), pytest.approx(4, abs=1e-4))


def test_the_command_prints_and_writes(three, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([*map(str, three), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    kept = json.loads((out / "compare.json").read_text())
    assert [one["name"] for one in kept["evaluations"]] == ["a", "b", "c"]
    assert kept["normaliser"] == "outer_eye_corners" and "sign-flip" in kept["test"]
    lines = printed.splitlines()
    assert lines[0] == "toy test" and lines.count("all faces") == 1 and lines.count("pose") == 1
    row = next(line for line in lines if line.startswith("NME(outer eye corners) difference"))
    assert row.split()[-2:] == ["+0.500", f"{kept['evaluations'][2]['difference']['nme']:+.3f}"]
    assert cv2.imread(str(out / "compare.png")).shape == (560, 880, 3)
    assert sorted(path.name for path in out.iterdir()) == ["compare.json", "compare.png"]
    assert main([*map(str, three[:2]), "--names", "mine,yours"]) == 0
    page = tmp_path / "page.html"
    assert main([*map(str, three), "--names", "mine,yours,<i>", "--report", str(page)]) == 0
    text = page.read_text()
    assert "&lt;i&gt;" in text and "<i>" not in text and ">+0.500<" in text and "Scores on pose" in text
    printed = capsys.readouterr().out
    assert (
        "nothing is written without --out or --report" in printed
        and str(page) in printed
        and "NME minus that of mine" in printed
    )


def test_one_without_a_score_costs_its_curve_alone(three, tmp_path, capsys):
    none = evaluate(tmp_path / "none", np.ones(COUNT))
    scores = json.loads((none / "metrics.json").read_text())
    (none / "metrics.json").write_text(json.dumps(scores | {"nme": None}))
    with np.load(none / "predictions.npz") as file:
        kept = dict(file)
    np.savez(none / "predictions.npz", **kept | {"nme": np.full(COUNT, np.nan)})
    out = tmp_path / "out"
    assert main([str(three[0]), str(none), "--out", str(out)]) == 0
    assert "no error curve of none: no face has a score; is the distance" in capsys.readouterr().out
    assert [one["nme"] is None for one in json.loads((out / "compare.json").read_text())["evaluations"]] == [
        False,
        True,
    ]
    assert (out / "compare.png").exists()
    assert main([str(none), str(none), "--names", "x,y", "--out", str(out)]) == 0
    assert "no error curve of y" in capsys.readouterr().out and not (out / "compare.png").exists()
    assert [one["name"] for one in json.loads((out / "compare.json").read_text())["evaluations"]] == ["x", "y"]


def test_what_is_not_alike_is_not_compared(three, tmp_path, capsys):
    misses = np.full(COUNT, 3.0)
    others = {
        "fingerprint 'f00d' and 'beef'": {"fingerprint": "beef"},
        "split 'test' and 'val'": {"split": "val"},
        "clamped False and True": {"clamped": True},
        "partial '' and 'PARTIAL SET'": {"partial": "PARTIAL SET"},
        "40 and 40 faces, or their order": {"faces": np.arange(COUNT)},
    }
    for place, (message, fields) in enumerate(others.items()):
        other = evaluate(tmp_path / str(place), misses, **fields)
        assert main([str(three[0]), str(other)]) == 1
        error = capsys.readouterr().err
        assert message in error and str(other) in error and "cannot be compared" in error
    # A mapped model may be laid beside another one, and is labelled.
    mapped = evaluate(tmp_path / "wide", misses, mapped="wflw-98 predictions mapped to 300w-68")
    assert main([str(three[0]), str(mapped)]) == 0
    assert "wide: MAPPED: wflw-98 predictions mapped to 300w-68" in capsys.readouterr().out


def test_damaged_evaluations_are_refused(three, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"metrics.json: not there; give the folder of an evaluation"):
        read_evaluation(tmp_path / "none", "none")
    metrics, predictions = three[0] / "metrics.json", three[0] / "predictions.npz"
    good = {path: path.read_bytes() for path in (metrics, predictions)}
    for path, content, match in (
        (metrics, b"{", "this is no JSON"),
        (metrics, b"{}", "num_images missing"),
        (metrics, b"[]", "not what evaluate.py writes"),
        (metrics, (three[1] / "metrics.json").read_bytes(), "they are of different evaluations"),
        (predictions, b"no zip", "not a readable"),
        (predictions, good[predictions][:300], "not a readable"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=match) as caught:
            read_evaluation(three[0], "a")
        assert str(three[0]) in str(caught.value) and "evaluate.py again" in str(caught.value)
        path.write_bytes(good[path])
    with np.load(predictions) as kept:
        columns = dict(kept)
    for column, value in (("nme_crop", np.zeros(COUNT - 1)), ("flags", np.zeros((COUNT, 2), bool))):
        np.savez(predictions, **columns | {column: value})
        with pytest.raises(ValueError, match=r"errors \(40,\) and flags \(40, \d\) of 40 faces"):
            read_evaluation(three[0], "a")
    np.savez(predictions, points=np.zeros((COUNT, 68, 2)))
    with pytest.raises(ValueError, match="files"):
        read_evaluation(three[0], "a")


def test_names(tmp_path, capsys):
    paths = [tmp_path / "a" / "eval" / "x", tmp_path / "b" / "eval" / "x", tmp_path / "c"]
    assert default_names(paths) == ["a", "b", "c"]
    twice = [paths[0], paths[0].parent / "y"]
    assert default_names(twice) == [str(path) for path in twice]
    # Disks allow bytes that are no UTF-8, which no picture can be written with.
    strange = [tmp_path / os.fsdecode(b"caf\xe9") / "eval" / name for name in "xy"]
    assert default_names([strange[0], paths[1]]) == ["caf\xe9", "b"]
    assert default_names(strange) == [f"{tmp_path}/caf\xe9/eval/{name}" for name in "xy"]
    for arguments in (["a"], ["a", "b", "--names", "one"], ["a", "b", "--names", "one,one"]):
        with pytest.raises(SystemExit):
            main(arguments)
        assert "give two evaluations at least" in capsys.readouterr().err
