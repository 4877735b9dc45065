# SPDX-License-Identifier: Apache-2.0
"""Every face is predicted and counted once, the score is that worked out by hand, and bad predictions are refused."""

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from barrel_jax import config as configuration
from barrel_jax import evaluator
from barrel_jax.config import Config
from barrel_jax.input.crops import FaceCrops
from barrel_jax.landmarks import LandmarkScheme
from barrel_jax.predictions import read_predictions
from barrel_jax.sharding import make_mesh, replicated, split

SCHEME = LandmarkScheme("custom-3", 3, (1, 0, 2), (0, 1), "points_0_1", ((0, 2, 1),))
SHAPE = np.array([[10, 10], [30, 10], [20, 30]], np.float32)  # the eyes are 20 px apart


def make_crops(count, flags=None, names=()):
    """Faces whose first red pixel is their number, at different places of a 100 px wide window of one source image."""
    images = np.zeros((count, 8, 8, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(count)
    windows = np.tile(np.array([[50, 20, 100, 80]], np.float32), (count, 1))
    windows[:, 0] += np.arange(count)
    points_px = SHAPE + windows[:, None, :2]
    flags = np.zeros((count, 0), bool) if flags is None else np.array(flags, bool)
    return FaceCrops(
        dataset="toy", split="test", fingerprint="f00d", scheme=SCHEME, flag_names=tuple(names), images=images,
        points_px=points_px, visible=np.full((count, 3), 2, np.uint8), windows=windows, boxes=windows, flags=flags,
        files=tuple(f"{face // 2}.png" for face in range(count)), faces=np.arange(count) + 100,
    )  # fmt: skip


def make_predictor(mesh, batches, num_points=3):
    """A stand-in for the model: point k of face i lies at (scale * i / 256, k / 4), read from the face's own pixels."""

    def predict(variables, images):
        x = variables["scale"] * images[:, :1, 0, 0].astype(jnp.float32) / 256
        y = jnp.arange(num_points, dtype=jnp.float32) / 4
        return jnp.stack(jnp.broadcast_arrays(x, y), -1)

    step = jax.jit(predict, in_shardings=(replicated(mesh), split(mesh)), out_shardings=split(mesh))

    def counting(variables, images):
        batches.append(images[:, 0, 0, 0].tolist())
        return step(variables, images)

    return counting


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize(("count", "batch_size"), [(13, 4), (16, 8), (3, 64), (1, 1), (9, 8)])
def test_every_face_is_predicted_once_in_its_place(devices, count, batch_size):
    mesh, batches, crops = make_mesh(devices), [], make_crops(count)
    points_px = evaluator.predict_all(make_predictor(mesh, batches), {"scale": jnp.float32(1)}, crops, batch_size, mesh)
    assert points_px.shape == (count, 3, 2) and points_px.dtype == np.float32
    # By hand: window (50 + i, 20, 100, 80), so x = 50 + i + 100 * i / 256 - 0.5 and y = 20 + 80 * k / 4 - 0.5.
    face = np.arange(count)[:, None]
    np.testing.assert_allclose(
        points_px[..., 0], np.broadcast_to(49.5 + face + face * 100 / 256, (count, 3)), atol=1e-4
    )
    np.testing.assert_allclose(points_px[..., 1], np.broadcast_to([19.5, 39.5, 59.5], (count, 3)), atol=1e-4)
    assert len({len(batch) for batch in batches}) == 1 and len(batches[0]) % devices == 0
    seen = [face for batch in batches for face in batch]
    assert seen[:count] == list(range(count)) and set(seen[count:]) <= {count - 1}
    assert len(seen) - count < len(batches[0])


def test_another_model_gets_another_score():
    mesh, crops = make_mesh(1), make_crops(6)
    predict = make_predictor(mesh, [])
    scores = [
        evaluator.score(evaluator.predict_all(predict, {"scale": jnp.float32(scale)}, crops, 4, mesh), crops)["nme"]
        for scale in (1, 2, 1)
    ]
    assert scores[0] == scores[2] != scores[1]


def test_models_that_do_not_fit_are_refused():
    mesh, variables = make_mesh(1), {"scale": jnp.float32(1)}
    with pytest.raises(ValueError, match=r"the model predicts 5 points, toy test has 3 \(custom-3\)"):
        evaluator.predict_all(make_predictor(mesh, [], 5), variables, make_crops(2), 2, mesh)
    with pytest.raises(ValueError, match=r"not finite for 1 of 3 faces, first: 1.png face 102"):
        variables = {"scale": jnp.float32(3e38)}  # twice that overflows
        evaluator.predict_all(make_predictor(mesh, []), variables, make_crops(3), 3, mesh)
    with pytest.raises(ValueError, match="toy test has no faces"):
        evaluator.predict_all(make_predictor(mesh, []), variables, make_crops(0), 2, mesh)
    with pytest.raises(ValueError, match="batch_size=0"):
        evaluator.predict_all(make_predictor(mesh, []), variables, make_crops(2), 0, mesh)


def shifted(crops, pixels):
    """Predictions that miss every point of face i by pixels[i] (straight down)."""
    return crops.points_px + np.array(pixels, np.float32)[:, None, None] * np.array([0, 1], np.float32)


def test_score_by_hand():
    flags = [[1, 0], [1, 0], [0, 0], [0, 0]]
    crops = make_crops(4, flags, ("pose", "blur"))
    crops.visible[3, 0] = 0  # an eye of the last face is not labelled: no unit, no score
    scores = evaluator.score(shifted(crops, [1, 1.8, 5, 99]), crops, checkpoint_step=7, config=Config(seed=3))
    # Misses of 1, 1.8 and 5 px over 20 px: 5 %, 9 % and 25 %.
    assert (scores["num_images"], scores["num_unscorable"]) == (3, 1)
    assert scores["unscorable"] == {"normaliser_missing": 1, "normaliser_zero": 0}
    assert scores["nme"] == pytest.approx(13, abs=1e-4)
    assert scores["fr"] == {"0.08": pytest.approx(200 / 3), "0.10": pytest.approx(100 / 3)}
    assert scores["auc"]["0.10"] == pytest.approx((0.5 + 0.1 + 0) / 3, abs=1e-5)
    assert scores["auc"]["0.08"] == pytest.approx((0.375 + 0 + 0) / 3, abs=1e-5)
    assert scores["point_nme"] == pytest.approx([13, 13, 13], abs=1e-4)
    assert scores["subsets"]["pose"]["nme"] == pytest.approx(7, abs=1e-4)
    assert scores["subsets"]["pose"]["num_images"] == 2
    assert scores["subsets"]["blur"]["num_images"] == 0 and np.isnan(scores["subsets"]["blur"]["nme"])
    assert (scores["dataset"], scores["split"], scores["checkpoint_step"]) == ("toy", "test", 7)
    assert (scores["normaliser"], scores["normaliser_points"]) == ("points_0_1", [0, 1])
    assert scores["config"]["seed"] == 3 and scores["config"]["data"]["dataset"] == Config().data.dataset


def test_an_evaluation_is_written_whole_and_read_back(tmp_path):
    crops = make_crops(4, [[1], [0], [0], [0]], ("pose",))
    crops.visible[0, 1] = 0
    points_px = shifted(crops, [1, 2, 3, 4])
    paths = evaluator.write_evaluation(
        tmp_path / "eval" / "toy-test", evaluator.score(points_px, crops), points_px, crops
    )
    assert [path.name for path in paths] == ["predictions.npz", "ced.png", "worst.png", "faces.png", "metrics.json"]
    assert sorted(path.name for path in (tmp_path / "eval" / "toy-test").iterdir()) == sorted(p.name for p in paths)
    assert all(cv2.imread(str(path)).size for path in paths[1:4])

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    scores = json.loads(paths[-1].read_text(), parse_constant=refuse)
    assert scores["nme"] == pytest.approx(15, abs=1e-4) and scores["num_images"] == 3
    assert scores["subsets"]["pose"]["nme"] is None and scores["config"] is None
    with np.load(paths[0]) as kept:
        np.testing.assert_array_equal(kept["points"], points_px)
        assert kept["files"].tolist() == list(crops.files) and kept["faces"].tolist() == [100, 101, 102, 103]
        np.testing.assert_allclose(kept["nme"], [np.nan, 0.1, 0.15, 0.2], atol=1e-6)
    np.testing.assert_array_equal(read_predictions(paths[0], crops), points_px)


def test_without_any_score_there_is_no_curve_but_all_else(tmp_path):
    crops = make_crops(2)
    crops.visible[:, 0] = 0
    paths = evaluator.write_evaluation(tmp_path, evaluator.score(crops.points_px, crops), crops.points_px, crops)
    assert [path.name for path in paths] == ["predictions.npz", "worst.png", "faces.png", "metrics.json"]
    assert json.loads(paths[-1].read_text())["nme"] is None


def test_a_full_disk_keeps_the_old_evaluation(tmp_path, monkeypatch):
    crops = make_crops(3)
    old = shifted(crops, [1, 1, 1])
    evaluator.write_evaluation(tmp_path, evaluator.score(old, crops), old, crops)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(path, **arrays):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(np, "savez", full)
    new = shifted(crops, [2, 2, 2])
    with pytest.raises(OSError, match="No space left on device"):
        evaluator.write_evaluation(tmp_path, evaluator.score(new, crops), new, crops)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def records(crops, points_px):
    return [
        {"file": file, "face": int(face), "points": points.tolist()}
        for file, face, points in zip(crops.files, crops.faces, points_px, strict=True)
    ]


def written(path, content):
    path.write_text(json.dumps(content))
    return path


def test_predictions_are_matched_by_file_and_face_else_by_order(tmp_path):
    crops = make_crops(4)
    points_px = shifted(crops, [1, 2, 3, 4])
    back = [3, 1, 0, 2]
    np.savez(
        tmp_path / "columns.npz", points=points_px[back], files=np.array(crops.files)[back], faces=crops.faces[back]
    )
    np.savez(tmp_path / "faces.npz", points=points_px[back], faces=crops.faces[back])
    np.savez(tmp_path / "order.npz", points=points_px)
    written(tmp_path / "records.json", [records(crops, points_px)[row] for row in back])
    written(tmp_path / "order.json", {"points": points_px.tolist()})
    for name in ("columns.npz", "faces.npz", "order.npz", "records.json", "order.json"):
        got = read_predictions(tmp_path / name, crops)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, points_px, atol=1e-4, err_msg=name)


def test_predictions_that_do_not_fit_are_refused(tmp_path):
    crops = make_crops(3)
    good = records(crops, crops.points_px)
    file = tmp_path / "p.json"

    def refused(content, match):
        with pytest.raises(ValueError, match=match) as caught:
            read_predictions(written(file, content), crops)
        assert str(file) in str(caught.value)

    refused({"points": crops.points_px[:2].tolist()}, "2 faces, but toy test has 3")
    refused({"points": crops.points_px[:, :2].tolist()}, r"2 points a face, but toy test has 3 \(custom-3\)")
    refused({"points": crops.points_px[0].tolist()}, r"points must be \[n, K, 2\], got \[3, 2\]")
    refused({"points": [[[1, 2], [3, "x"]]]}, "must make one array of numbers")
    refused({"points": crops.points_px.tolist(), "faces": [100, 101]}, "2 faces for 3 faces with points")
    refused({"points": crops.points_px.tolist(), "faces": ["a", "b", "c"]}, "faces must be whole numbers")
    refused({"keypoints": []}, "no 'points'")
    refused(3, "no 'points'")
    refused(good[:2], r"1 faces of toy test are missing, first: 1.png face 102")
    refused([*good[:2], good[2] | {"face": 999}], r"1 faces that toy test does not have, first: 1.png face 999")
    refused([*good, good[0]], r"0.png face 100 is more than once in .*p.json")
    refused(
        [{"file": r["file"], "points": r["points"]} for r in good], r"0.png is more than once in toy test; give both"
    )
    refused([*good[:2], {"file": "1.png", "points": good[2]["points"]}], "record 2 .* the same of 'file' and 'face'")
    refused([good[0], {"face": 101}], "record 1 .* has no 'points'")
    refused([good[0], good[1] | {"points": [[0, 0]]}], "record 1 .* has 1 points, record 0 has 3")
    refused(
        [*good[:2], good[2] | {"points": [[0, 0], [0, float("nan")], [0, 0]]}], "not finite for 1 faces, first: 1.png"
    )


def test_files_that_are_no_predictions_are_refused(tmp_path):
    crops = make_crops(2)
    array = io.BytesIO()
    np.save(array, crops.points_px)
    with pytest.raises(FileNotFoundError, match="no such predictions file"):
        read_predictions(tmp_path / "none.npz", crops)
    for name, content, match in (
        ("text.npz", b"not a zip", "not a readable"),
        ("array.npz", array.getvalue(), "one array without a name"),
        ("cut.npz", b"PK\x03\x04", "not a readable"),
        ("broken.json", b"[{", "not JSON"),
        ("latin.json", b'["\xe9"]', "not JSON"),
        ("points.txt", b"1 2", r"read from \.npz or \.json, not \.txt"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=match):
            read_predictions(tmp_path / name, crops)
    np.savez(tmp_path / "objects.npz", points=np.array([[1], [1, 2]], object))
    with pytest.raises(ValueError, match=r"not a readable \.npz of plain arrays"):
        read_predictions(tmp_path / "objects.npz", crops)


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
    script = Path(__file__).resolve().parents[1] / "evaluate.py"
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [sys.executable, str(script), *map(str, arguments)], capture_output=True, text=True, env=environment
    )


def test_evaluate_scores_predictions_for_own_faces(tmp_path):
    points_px = own_faces(tmp_path / "faces")
    # Misses of 1, 2 and 3 px over 20 px: 5, 10 and 15 %, given in another order than the set's.
    missed = points_px + np.array([1, 2, 3], np.float32)[:, None, None] * np.array([1, 0], np.float32)
    file = written(
        tmp_path / "mine.json",
        [{"file": "a b.png", "face": 7 + face, "points": missed[face].tolist()} for face in (2, 0, 1)],
    )
    common = (
        "--predictions",
        file,
        "--dataset",
        "coco",
        "--source",
        tmp_path / "faces",
        "--data_dir",
        tmp_path / "data",
    )
    done = run_evaluate(*common, "--workdir", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "out" / "eval" / "coco-val" / "metrics.json").read_text())
    assert (scores["num_images"], scores["normaliser"]) == (3, "points_0_1")
    assert scores["nme"] == pytest.approx(10, abs=1e-3)
    assert scores["auc"]["0.10"] == pytest.approx(0.5 / 3, abs=1e-4)
    assert "10.00" in done.stdout and "points 0 and 1" in done.stdout and "metrics.json" in done.stdout
    # Another unit, from the command line: points 0 and 2 are sqrt(500) px apart. Nothing is written without --workdir.
    done = run_evaluate(*common, "--normaliser", "0,2")
    assert done.returncode == 0, done.stderr
    assert f"{100 * 2 / np.sqrt(500):.2f}" in done.stdout and "nothing is written" in done.stdout


def test_evaluate_refuses_a_run_with_other_landmarks(tmp_path):
    own_faces(tmp_path / "faces")
    configuration.save(Config(), tmp_path / "run")
    written(tmp_path / "run" / "run.json", {"num_landmarks": 98, "scheme": "wflw-98"})
    done = run_evaluate(
        "--workdir",
        tmp_path / "run",
        "--dataset",
        "coco",
        "--source",
        tmp_path / "faces",
        "--data_dir",
        tmp_path / "data",
    )
    assert done.returncode != 0
    assert "this run's model predicts 98 points (wflw-98), coco val has 3 (custom-3)" in done.stderr
