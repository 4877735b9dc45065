# SPDX-License-Identifier: Apache-2.0
"""evaluate.py as a user calls it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import evaluate
from barrel_jax.evaluation.rank_cost import read_rank_costs
from barrel_jax.evaluation.scores import read_scores
from barrel_jax.faces.landmarks import WFLW_98
from data.face_sets import DOWNLOADED
from tests.kit import small
from tests.kit.in_process import run
from tests.kit.own_faces import draw, write_faces
from tests.kit.saved_run import another_step, save_run
from tests.kit.shared import SHARED, needs_shared
from tests.kit.toy import SHAPE, make_crops, written

ROOT = Path(__file__).resolve().parents[1]


def own_faces(folder):
    """Three faces of three points in COCO's format, all in one image."""
    (folder / "images").mkdir(parents=True)
    cv2.imwrite(str(folder / "images" / "a b.png"), np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8))
    points = [SHAPE + 2 * face for face in range(3)]
    annotations = [
        {
            "id": 7 + face, "image_id": 1, "category_id": 1, "bbox": [8, 8, 30, 30], "area": 900, "iscrowd": 0,
            "num_keypoints": 3, "keypoints": [float(value) for point in points[face] for value in (*point, 2)],
        }
        for face in range(3)
    ]  # fmt: skip
    content = {
        "images": [{"id": 1, "file_name": "a b.png", "width": 90, "height": 60}],
        "categories": [{"id": 1, "name": "face", "keypoints": ["left eye", "right eye", "mouth"], "skeleton": []}],
        "annotations": annotations,
    }
    written(folder / "val.json", content)
    return np.stack(points)


def run_evaluate(*arguments):
    return run("evaluate", [str(word) for word in arguments])


def on_own_faces(folder):
    return "--dataset", "coco", "--source", folder / "faces", "--data_dir", folder / "data"


def test_the_frames_of_a_folder_are_a_clip(tmp_path, capsys):
    faces = [draw(1000 + number)[1] for number in range(4)]
    source = write_faces(tmp_path / "faces", train=1)
    # The points of the second frame are 5 px off: they change there and back, in two of three pairs of frames.
    moved = [points + [[3, 4]] + np.zeros((5, 1)) if frame == 1 else points for frame, points in enumerate(faces)]
    named = [{"file": f"val_{frame}.png", "points": points.tolist()} for frame, points in enumerate(moved)]
    given = ["--predictions", written(tmp_path / "mine.json", named), "--dataset", "coco", "--source", source]
    given += ["--data-dir", tmp_path / "data", "--workdir", tmp_path / "out", "--sequences"]
    assert evaluate.main([str(word) for word in given]) == 0
    sides = [np.sqrt(np.ptp(faces[frame], axis=0).prod()) for frame in (1, 2)]
    expected = 100 * np.sqrt(((5 / np.array(sides)) ** 2).sum() / 3)
    (clip,) = json.loads((tmp_path / "out/eval/coco-val/sequences.json").read_text())
    assert (clip["clip"], clip["frames"]) == (".", 4) and clip["nmf"] == pytest.approx(expected, rel=1e-4)
    assert f"{expected:.2f}" in capsys.readouterr().out


def test_pictures_that_are_no_frames_cost_no_score(tmp_path):
    points = own_faces(tmp_path / "faces").tolist()  # three faces of one picture
    file = written(tmp_path / "mine.json", [{"file": "a b.png", "face": 7 + n, "points": points[n]} for n in range(3)])
    done = run_evaluate("--predictions", file, *on_own_faces(tmp_path), "--workdir", tmp_path / "out", "--sequences")
    assert done.returncode == 1 and "coco val: a b.png has several faces" in done.stderr
    assert (tmp_path / "out/eval/coco-val/metrics.json").exists()


def test_predictions_are_scored_on_faces_that_are_read_as_it_is_told(tmp_path):
    """Percent of the picture and corners of boxes, which the message about them says how to read."""
    missed = own_faces(tmp_path / "faces") + np.array([2, 0], np.float32)  # of 20 px between the eyes
    content = json.loads((tmp_path / "faces" / "val.json").read_text())
    for annotation in content["annotations"]:
        annotation["keypoints"] = (
            (np.reshape(annotation["keypoints"], (3, 3)) * [100 / 90, 100 / 60, 1]).ravel().tolist()
        )
        annotation["bbox"] = [8, 8, 38, 38]
    written(tmp_path / "faces" / "val.json", content)
    named = [{"file": "a b.png", "face": 7 + face, "points": missed[face].tolist()} for face in range(3)]
    given = (
        "--predictions",
        written(tmp_path / "mine.json", named),
        *on_own_faces(tmp_path),
        "--workdir",
        tmp_path / "out",
    )
    done = run_evaluate(*given, "--points", "xy-percent", "--boxes", "xyxy", "--max-pixels", 5400)
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "out" / "eval" / "coco-val" / "metrics.json").read_text())
    assert scores["nme"] == pytest.approx(10, abs=1e-3)
    done = run_evaluate(*given, "--points", "xy-promille")
    assert done.returncode == 1 and "config.data.points='xy-promille' is none of" in done.stderr
    done = run_evaluate(
        *given, "--points", "xy-percent", "--boxes", "xyxy", "--max-pixels", 5399, "--data-dir", tmp_path
    )
    assert done.returncode == 1 and "of 90 x 60 pixels, more than 5,399" in done.stderr


def test_evaluate_scores_predictions_for_own_faces(tmp_path):
    points_px = own_faces(tmp_path / "faces")
    # Misses of 1, 2 and 3 px over 20 px: 5, 10 and 15 %, given in another order than the set's.
    missed = points_px + np.array([1, 2, 3], np.float32)[:, None, None] * np.array([1, 0], np.float32)
    file = written(
        tmp_path / "mine.json",
        [{"file": "a b.png", "face": 7 + face, "points": missed[face].tolist()} for face in (2, 0, 1)],
    )
    common = ("--predictions", file, *on_own_faces(tmp_path))
    done = run_evaluate(*common, "--workdir", tmp_path / "out", "--report")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "out" / "eval" / "coco-val" / "report.html").read_text()
    assert "mine.json on coco val" in page and "NME 10.00 %" in page and "a b.png face 9" in page
    scores = json.loads((tmp_path / "out" / "eval" / "coco-val" / "metrics.json").read_text())
    assert (scores["num_images"], scores["normaliser"]) == (3, "points_0_1")
    assert scores["nme"] == pytest.approx(10, abs=1e-3)
    assert scores["auc"]["0.10"] == pytest.approx(0.5 / 3, abs=1e-4)
    assert "10.00" in done.stdout and "points 0 and 1" in done.stdout and "metrics.json" in done.stdout
    # Another unit, from the command line: points 0 and 2 are sqrt(500) px apart. Nothing is written without --workdir.
    done = run_evaluate(*common, "--normaliser", "0,2")
    assert done.returncode == 0, done.stderr
    assert f"{100 * 2 / np.sqrt(500):.2f}" in done.stdout and "nothing is written" in done.stdout


def test_what_a_rank_costs_is_measured_here_and_said_by_the_export(tmp_path):
    own_faces(tmp_path / "faces")
    workdir = save_run(tmp_path / "run", small.config(model__backbone="resnet10"), make_crops(2))
    for rank in ((), ("--rank", 2)):
        done = run_evaluate("--workdir", workdir, *on_own_faces(tmp_path), *rank)
        assert done.returncode == 0, done.stderr
    refused = run_evaluate("--workdir", workdir, *on_own_faces(tmp_path), "--rank", 0)
    assert refused.returncode == 1 and "rank 0 is not in 1..31, below the model's width" in refused.stderr
    full, ranked = (read_scores(workdir / f"eval/coco-val{end}/metrics.json") for end in ("", "-rank2"))
    assert abs(full.nme - ranked.nme) > 0.01
    cost = (
        f"at rank 2 NME(points 0 1) is {ranked.nme:.3f} %, at full rank {full.nme:.3f} %: "
        f"{100 * (ranked.nme / full.nme - 1):+.2f} % of it\n"
    )
    assert f"\n{cost}" in done.stdout
    another_step(workdir)

    def export(*arguments):
        done = run("barrel_jax.export.__main__", [str(workdir), "--formats", "packed", *arguments])
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert export("--rank", "2", "--checkpoint", "0").startswith(f"coco val, step 0: {cost}")
    measure = f"python evaluate.py --workdir {workdir} --rank"
    assert export("--rank", "2").startswith(f"at rank 2 the error of step 1 is not measured yet: {measure} 2\n")
    other_rank = export("--rank", "3", "--checkpoint", "0")
    assert other_rank.startswith(f"at rank 3 the error of step 0 is not measured yet: {measure} 3 --checkpoint 0\n")


@pytest.mark.parametrize("content", ["[]", '{"rank": 2}', '{"rank": 2, "nme": 4.0, "colour": "red"}', "{"])
def test_a_damaged_cost_of_a_rank_is_named(tmp_path, content):
    path = tmp_path / "eval/coco-val-rank2/rank_cost.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(
        ValueError, match=r"rank_cost\.json: (this is no JSON|not what evaluate\.py writes).*remove the"
    ):
        read_rank_costs(tmp_path, 2, 0)


@pytest.mark.processes
def test_evaluate_refuses_a_run_with_other_landmarks(tmp_path):
    own_faces(tmp_path / "faces")
    save_run(tmp_path / "run", small.config(model__backbone="resnet10"), replace(make_crops(2), scheme=WFLW_98))
    command = [sys.executable, ROOT / "evaluate.py", "--workdir", tmp_path / "run", *on_own_faces(tmp_path)]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 1
    assert "this run's model predicts 98 points a face (wflw-98), but coco val has 3 (custom-3)" in done.stderr


@needs_shared
def test_published_detections_are_scored_without_images(tmp_path):
    source = SHARED / "cofw68"
    common = ("--dataset", "cofw68", "--source", source, "--workdir", tmp_path)
    done = run_evaluate("--predictions", source / "results" / "CFSS.txt", *common, "--normaliser", "pupils")
    assert done.returncode == 0, done.stderr
    assert "NME(pupils) %" in done.stdout and "8.80" in done.stdout
    scores = json.loads((tmp_path / "eval" / "cofw68-test" / "metrics.json").read_text())
    assert (scores["num_images"], round(scores["nme"], 2), scores["partial"]) == (507, 8.80, "")
    names = {path.name for path in (tmp_path / "eval" / "cofw68-test").iterdir()}
    assert names == {"metrics.json", "predictions.npz", "ced.png"}
    # WFLW's points for these faces: mapped, and labelled as that.
    np.savez(tmp_path / "wide.npz", points=np.zeros((507, 98, 2)))
    done = run_evaluate("--predictions", tmp_path / "wide.npz", *common)
    assert done.returncode == 0, done.stderr
    assert "MAPPED: wflw-98 predictions mapped to 300w-68" in done.stdout
    scores = json.loads((tmp_path / "eval" / "cofw68-test" / "metrics.json").read_text())
    assert (scores["mapped"], scores["normaliser"]) == ("wflw-98 predictions mapped to 300w-68", "outer_eye_corners")


@needs_shared
def test_predictions_for_a_set_in_its_place_are_scored_in_both_frames(tmp_path):
    """DATA_DIR/downloads/w300 is a link to the samples; their windows are those of the set's crop protocol."""
    place = tmp_path / "downloads" / "w300"
    place.parent.mkdir()
    common = ("--dataset", "w300", "--data_dir", tmp_path, "--allow_partial")
    faces = DOWNLOADED["w300"].read(SHARED / "samples" / "300W").splits["test"]
    points = np.stack([face.points for face in faces])
    np.savez(tmp_path / "lower.npz", points=points + np.array([0, 5], np.float32))
    done = run_evaluate("--predictions", tmp_path / "lower.npz", *common)
    assert done.returncode == 1
    assert done.stderr.startswith(f"evaluate.py: w300: no download at {place}; unpack afw.zip")
    place.symlink_to(SHARED / "samples" / "300W")
    done = run_evaluate("--predictions", tmp_path / "lower.npz", *common, "--workdir", tmp_path)
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "eval" / "w300-test" / "metrics.json").read_text())
    eyes = points[:, 36] - points[:, 45]
    assert scores["nme"] == pytest.approx(100 * np.mean(5 / np.linalg.norm(eyes, axis=1)), rel=1e-5)
    # Tight around the points, 1.1 times as large; none of these faces is cut off by its image's border.
    sides = 1.1 * np.ptp(points, axis=1)
    in_crop = 100 * np.mean(5 / sides[:, 1] / np.linalg.norm(eyes / sides, axis=1))
    assert scores["nme_crop"] == pytest.approx(in_crop, rel=1e-5) and scores["crop_frame"] == "pipnet"
    assert f" in the crop {in_crop:.2f} " in " ".join(done.stdout.split())
