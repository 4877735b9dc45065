# SPDX-License-Identifier: Apache-2.0
"""The evaluation of a split: every face predicted and counted once, and the score worked out by hand."""

import dataclasses
import errno
import json

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from barrel_jax import files
from barrel_jax.config import Config, MeshConfig
from barrel_jax.devices.sharding import make_mesh, replicated, split
from barrel_jax.evaluation import score
from barrel_jax.evaluation.face_sheets import draw_worst
from barrel_jax.evaluation.predictions import read_predictions
from barrel_jax.evaluation.scores import read_scores
from barrel_jax.faces.landmarks import W300_68, Normaliser
from barrel_jax.faces.normalisers import normalised_by
from tests.kit.toy import make_crops, make_truth, shifted


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
    mesh, batches, crops = make_mesh(MeshConfig(data=devices)), [], make_crops(count)
    points_px = score.predict_all(make_predictor(mesh, batches), {"scale": jnp.float32(1)}, crops, batch_size, mesh)
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
    assert len(seen) - count < len(batches[0]) < count + devices


def test_another_model_gets_another_score():
    mesh, crops = make_mesh(MeshConfig(data=1)), make_crops(6)
    predict = make_predictor(mesh, [])
    scores = [
        score.score(score.predict_all(predict, {"scale": jnp.float32(scale)}, crops, 4, mesh), crops).nme
        for scale in (1, 2, 1)
    ]
    assert scores[0] == scores[2] != scores[1]


def test_models_that_do_not_fit_are_refused():
    mesh, variables = make_mesh(MeshConfig(data=1)), {"scale": jnp.float32(1)}
    with pytest.raises(ValueError, match=r"5 points a face, but toy test has 3 \(custom-3\)"):
        score.predict_all(make_predictor(mesh, [], 5), variables, make_crops(2), 2, mesh)
    with pytest.raises(ValueError, match=r"not finite for 1 of 3 faces, first: 1.png face 102"):
        variables = {"scale": jnp.float32(3e38)}  # twice that overflows
        score.predict_all(make_predictor(mesh, []), variables, make_crops(3), 3, mesh)
    with pytest.raises(ValueError, match="toy test has no faces"):
        score.predict_all(make_predictor(mesh, []), variables, make_crops(0), 2, mesh)
    with pytest.raises(ValueError, match="batch_size=0"):
        score.predict_all(make_predictor(mesh, []), variables, make_crops(2), 0, mesh)


def test_score_by_hand():
    flags = [[1, 0], [1, 0], [0, 0], [0, 0]]
    crops = make_crops(4, flags, ("pose", "blur"))
    crops.visible[3, 0] = 0  # an eye of the last face is not labelled: no unit, no score
    scores = score.score(shifted(crops, [1, 1.8, 5, 99]), crops, checkpoint_step=7, config=Config(seed=3))
    # Misses of 1, 1.8 and 5 px over 20 px: 5 %, 9 % and 25 %.
    assert (scores.num_images, scores.num_unscorable) == (3, 1)
    assert scores.unscorable == {"normaliser_missing": 1, "normaliser_zero": 0}
    assert scores.nme == pytest.approx(13, abs=1e-4)
    assert scores.fr == {"0.08": pytest.approx(200 / 3), "0.10": pytest.approx(100 / 3)}
    assert scores.auc["0.10"] == pytest.approx((0.5 + 0.1 + 0) / 3, abs=1e-5)
    assert scores.auc["0.08"] == pytest.approx((0.375 + 0 + 0) / 3, abs=1e-5)
    assert scores.point_nme == pytest.approx([13, 13, 13], abs=1e-4)
    assert scores.subsets["pose"].nme == pytest.approx(7, abs=1e-4)
    assert scores.subsets["pose"].num_images == 2
    assert scores.subsets["blur"].num_images == 0 and np.isnan(scores.subsets["blur"].nme)
    assert (scores.dataset, scores.split, scores.checkpoint_step) == ("toy", "test", 7)
    assert (scores.normaliser, scores.normaliser_points) == ("points_0_1", [0, 1])
    assert scores.normalised_by == "the distance of points 0 and 1"
    assert (scores.partial, scores.clamped, scores.mapped, scores.crop) == ("", False, "", "")
    assert scores.regions == {}
    assert scores.config["seed"] == 3 and scores.config["data"]["dataset"] == Config().data.dataset


def test_the_error_in_the_crop_by_hand():
    """Windows of 100 x 80 px, eyes 20 px apart side by side: a miss of p px down is (p / 80) / (20 / 100) there."""
    flags = [[1], [1], [0]]
    crops = make_crops(3, flags, ("pose",))
    points_px = shifted(crops, [1, 1.8, 5])
    np.testing.assert_allclose(score.crop_errors(points_px, crops), np.array([1, 1.8, 5]) / 16, rtol=1e-5)
    scores = score.score(points_px, crops)
    assert scores.nme == pytest.approx(13, abs=1e-4) and scores.nme_crop == pytest.approx(16.25, abs=1e-4)
    assert score.score(points_px, crops, crop="hrnet").crop_frame == "hrnet"
    assert score.score(points_px, crops, crop="hrnet", crop_frame="pipnet").crop_frame == "pipnet"
    assert scores.subsets["pose"].nme_crop == pytest.approx(100 * 1.4 / 16, abs=1e-4)
    without = make_truth(crops.scheme, crops.points_px)
    assert np.isnan(score.score(points_px, without).nme_crop)


def test_in_a_square_window_both_errors_are_the_same():
    rng = np.random.default_rng(0)
    truth = make_truth(W300_68, 200 + rng.normal(0, 50, (9, 68, 2)))
    sides = rng.uniform(100, 300, (9, 1))
    points_px = truth.points_px + rng.normal(0, 5, (9, 68, 2))
    square = dataclasses.replace(truth, windows=np.concatenate([rng.uniform(0, 90, (9, 2)), sides, sides], axis=1))
    np.testing.assert_allclose(score.crop_errors(points_px, square), score.face_errors(points_px, truth))
    taller = dataclasses.replace(square, windows=square.windows * [1, 1, 1, 1.1])
    assert np.abs(score.crop_errors(points_px, taller) - score.face_errors(points_px, truth)).max() > 1e-3


def test_an_evaluation_is_written_whole_and_read_back(tmp_path):
    crops = make_crops(4, [[1], [0], [0], [0]], ("pose",))
    crops.visible[0, 1] = 0
    points_px = shifted(crops, [1, 2, 3, 4])
    paths = score.write_evaluation(tmp_path / "eval" / "toy-test", score.score(points_px, crops), points_px, crops)
    assert [path.name for path in paths] == ["predictions.npz", "ced.png", "worst.png", "faces.png", "metrics.json"]
    assert sorted(path.name for path in (tmp_path / "eval" / "toy-test").iterdir()) == sorted(p.name for p in paths)
    assert all(cv2.imread(str(path)).size for path in paths[1:4])
    worst, spread = (cv2.imread(str(path))[..., ::-1] for path in paths[2:4])
    np.testing.assert_array_equal(worst, draw_worst(crops, points_px, score.face_errors(points_px, crops)))
    assert (spread != worst).any()

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    kept = json.loads(paths[-1].read_text(), parse_constant=refuse)
    assert kept["nme"] == pytest.approx(15, abs=1e-4) and kept["num_images"] == 3
    assert kept["subsets"]["pose"]["nme"] is None and kept["config"] is None
    again, scores = read_scores(paths[-1]), score.score(points_px, crops)
    assert files.plain(again) == files.plain(scores)
    np.testing.assert_equal(dataclasses.asdict(again), dataclasses.asdict(scores))  # NaN again where null is written
    assert np.isnan([again.subsets["pose"].nme, *again.subsets["pose"].nme_interval]).all()
    with np.load(paths[0]) as kept:
        np.testing.assert_array_equal(kept["points"], points_px)
        assert kept["files"].tolist() == list(crops.files) and kept["faces"].tolist() == [100, 101, 102, 103]
        np.testing.assert_allclose(kept["nme"], [np.nan, 0.1, 0.15, 0.2], atol=1e-6)
        np.testing.assert_allclose(kept["nme_crop"], [np.nan, 2 / 16, 3 / 16, 4 / 16], atol=1e-5)
    np.testing.assert_array_equal(read_predictions(paths[0], crops), points_px)


def test_without_any_score_there_is_no_curve_but_all_else(tmp_path):
    crops = make_crops(2)
    crops.visible[:, 0] = 0
    paths = score.write_evaluation(tmp_path, score.score(crops.points_px, crops), crops.points_px, crops)
    assert [path.name for path in paths] == ["predictions.npz", "worst.png", "faces.png", "metrics.json"]
    assert json.loads(paths[-1].read_text())["nme"] is None


def test_a_full_disk_keeps_the_old_evaluation(tmp_path, monkeypatch):
    crops = make_crops(3)
    old = shifted(crops, [1, 1, 1])
    score.write_evaluation(tmp_path, score.score(old, crops), old, crops)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(path, **arrays):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(np, "savez", full)
    new = shifted(crops, [2, 2, 2])
    with pytest.raises(OSError, match="No space left on device"):
        score.write_evaluation(tmp_path, score.score(new, crops), new, crops)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_regions_by_hand():
    truth = np.random.default_rng(0).normal(0, 50, (3, 68, 2))
    truth[:, 36], truth[:, 45] = [0, 0], [100, 0]
    faces = make_truth(W300_68, truth)
    miss = np.zeros((3, 68, 2), np.float32)
    miss[:, :17, 1] = 2  # the jaw of every face by 2 %
    # The nose of one face by 3 %, of the second it is labelled in a third, of the last not at all.
    miss[0, 27:36, 1] = 3
    faces.visible[1, 30:36] = 0
    faces.visible[2, 27:36] = 0
    faces.visible[:, 67] = 0
    scores = score.score(faces.points_px + miss, faces)
    assert scores.regions == {
        "jaw": pytest.approx(2, abs=1e-4), "eyebrows": 0, "eyes": 0, "nose": pytest.approx(1.5, abs=1e-4), "mouth": 0,
    }  # fmt: skip
    assert scores.nme == pytest.approx((61 / 67 + 34 / 61 + 34 / 58) / 3, abs=1e-4)
    assert scores.point_nme[:68:30] == pytest.approx([2, 3, 0], abs=1e-4) and np.isnan(scores.point_nme[67])
    assert scores.scheme == "300w-68"


def test_scores_of_what_no_face_shows_are_read_back(tmp_path):
    truth = np.random.default_rng(0).normal(0, 50, (3, 68, 2))
    faces = make_truth(W300_68, truth)
    faces.visible[:, 27:36] = 0
    scores = score.score(faces.points_px, faces)
    files.write_json(tmp_path / "metrics.json", files.plain(scores))
    again = read_scores(tmp_path / "metrics.json")
    np.testing.assert_equal(dataclasses.asdict(again), dataclasses.asdict(scores))
    assert np.isnan([again.regions["nose"], again.point_nme[27]]).all() and again.regions["jaw"] == 0


def test_the_normaliser_of_the_scheme_divides_every_number():
    faces = make_truth(W300_68, np.random.default_rng(1).normal(0, 50, (5, 68, 2)))
    points_px = shifted(faces, [1, 2, 3, 4, 5])
    sides = np.sqrt(np.ptp(faces.points_px.astype(float), axis=1).prod(axis=1))
    boxed = dataclasses.replace(faces, scheme=normalised_by(W300_68, Normaliser.parse("box")))
    scores = score.score(points_px, boxed)
    assert scores.nme == pytest.approx(100 * (np.arange(1, 6) / sides).mean(), rel=1e-5)
    assert scores.regions["jaw"] == pytest.approx(scores.nme, rel=1e-6)
    assert scores.point_nme[3] == pytest.approx(scores.nme, rel=1e-6)
    assert (scores.normaliser, scores.normaliser_points) == ("box", [])
    pupils = score.score(
        points_px, dataclasses.replace(faces, scheme=normalised_by(W300_68, Normaliser.parse("pupils")))
    )
    assert pupils.normaliser == "pupils" and pupils.nme != scores.nme


def test_truth_without_pixels_leaves_numbers_and_curve(tmp_path):
    faces = make_truth(W300_68, np.random.default_rng(1).normal(0, 50, (5, 68, 2)), partial="PARTIAL SET", clamped=True)
    points_px = shifted(faces, [1, 2, 3, 4, 5])
    for name in ("worst.png", "faces.png"):
        (tmp_path / name).write_bytes(b"of an earlier evaluation")
    scores = score.score(points_px, faces, mapped="by hand", crop="hrnet")
    paths = score.write_evaluation(tmp_path, scores, points_px, faces)
    assert [path.name for path in paths] == ["predictions.npz", "ced.png", "metrics.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)
    kept = json.loads(paths[-1].read_text())
    assert (kept["partial"], kept["clamped"], kept["mapped"], kept["crop"]) == ("PARTIAL SET", True, "by hand", "hrnet")
    assert kept["nme_interval"][0] < kept["nme"] < kept["nme_interval"][1]
    with np.load(paths[0]) as columns:
        assert columns["flags"].shape == (5, 0) and columns["flag_names"].shape == (0,)
