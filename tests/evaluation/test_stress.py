# SPDX-License-Identifier: Apache-2.0
"""Perturbed faces: what is found in them comes back to its place in the source image."""

import dataclasses
import json

import cv2
import jax
import numpy as np
import pytest

import evaluate
from barrel_jax.config import DataConfig
from barrel_jax.evaluation.score_table import stress_table
from barrel_jax.evaluation.stress import KINDS, _record, draws, predict_perturbed, shifts, stress, undo
from barrel_jax.faces.geometry import unit_to_px
from barrel_jax.faces.landmarks import W300_68, Normaliser
from barrel_jax.faces.normalisers import normalised_by
from barrel_jax.input.augment import transform_points
from barrel_jax.input.crops import load_crops, recut
from barrel_jax.input.mixture import select
from data.prepare import prepare
from tests.kit.toy import make_crops, shifted

WIDTH, HEIGHT, SIZE = 160, 120, 256
DOTS = np.array([[0, 0], [14, 0], [6, 13]])  # a channel each


@pytest.fixture(scope="module")
def dots(tmp_path_factory):
    """Four faces of three dots around the middle of their boxes, one of them at the image's corner."""
    folder = tmp_path_factory.mktemp("dots")
    (folder / "images").mkdir()
    images, annotations = [], []
    for number, first in enumerate(((70, 50), (61, 55), (12, 11), (75, 42))):
        points = DOTS + np.array(first)
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        for channel, point in enumerate(points):
            plane = np.zeros((HEIGHT, WIDTH), np.uint8)
            plane[point[1], point[0]] = 255
            picture[..., channel] = 15 * cv2.GaussianBlur(plane, (0, 0), 1.6).astype(np.uint8)
        cv2.imwrite(str(folder / "images" / f"{number}.png"), picture[..., ::-1])
        images.append({"id": number, "file_name": f"{number}.png", "width": WIDTH, "height": HEIGHT})
        box = [int(first[0]) - 10, int(first[1]) - 10, 36, 34]
        keypoints = np.concatenate([points, np.full((3, 1), 2)], axis=1).ravel().tolist()
        annotations.append({"id": number, "image_id": number, "bbox": box, "keypoints": keypoints})
    document = {"images": images, "annotations": annotations, "categories": []}
    (folder / "train.json").write_text(json.dumps(document))
    directory = prepare("coco", str(folder), str(tmp_path_factory.mktemp("sets")))
    return directory, load_crops(
        DataConfig(image_size=SIZE, flip_pairs=((0, 1),), normaliser=(0, 1)), directory, "train"
    )


def brightest(crops):
    """A model that knows where the light of each channel is: points [n, 3, 2] in source pixels."""
    images = np.asarray(crops.images[np.arange(len(crops))], np.float64)
    points = []
    for image in images:
        planes = [cv2.GaussianBlur(image[..., channel], (0, 0), 4) for channel in range(3)]
        points.append([np.unravel_index(plane.argmax(), plane.shape)[::-1] for plane in planes])
    return unit_to_px((np.array(points) + 0.5) / SIZE, crops.windows)


@pytest.mark.parametrize("strength", KINDS["rotation"][0])
def test_a_rotated_dot_comes_back(dots, strength):
    _, crops = dots
    drawn = draws("rotation", len(crops), strength)
    assert np.abs(predict_perturbed(brightest, crops, drawn) - crops.points_px).max() < 0.5
    still = drawn._replace(angle=np.zeros(len(crops)))
    assert np.abs(predict_perturbed(brightest, crops, still) - crops.points_px).max() < 0.5
    # It did turn: the model sees the dots elsewhere, and to either side.
    seen = predict_perturbed(lambda faces: crops.points_px, crops, drawn)
    assert np.abs(seen - crops.points_px).max() > 1
    assert len(set(np.sign(np.asarray(drawn.angle)).tolist())) == 2


@pytest.mark.parametrize("strength", KINDS["box shift"][0])
def test_a_dot_under_a_shifted_box_comes_back(dots, strength):
    directory, crops = dots
    moved = recut(directory, crops, "pipnet", shifts(len(crops), strength))
    assert np.abs(brightest(moved) - crops.points_px).max() < 0.5
    share = (moved.windows[:, :2] - crops.windows[:, :2]) / crops.windows[:, 2:]
    np.testing.assert_allclose(np.linalg.norm(share, axis=1), strength, rtol=1e-3)
    np.testing.assert_array_equal(moved.windows[:, 2:], crops.windows[:, 2:])


def test_faces_of_a_part_of_a_split_are_cut_from_their_own_pictures(dots):
    """`data.holdout` makes parts: their rows are not those of the built set, nor is their split one of it."""
    directory, crops = dots
    held = select(select(crops, np.array([3, 0, 2]), "holdout"), np.array([2, 0]), "holdout")
    moved = recut(directory, held, "pipnet", shifts(2, 0.15))
    assert moved.images[np.arange(2)].shape == (2, SIZE, SIZE, 3)
    np.testing.assert_array_equal(moved.points_px, crops.points_px[[2, 3]])
    assert np.abs(brightest(moved) - moved.points_px).max() < 0.5


def test_the_records_of_a_model_that_is_never_wrong_but_in_the_dark(dots):
    directory, crops = dots
    content = stress(brightest, crops, crops, directory, "pipnet", 7)
    by = {kind: [r for r in content.records if r.kind == kind] for kind in ("none", *KINDS, "large pose")}
    assert {kind: [r.strength for r in block] for kind, block in by.items()} == {
        "none": [0.0], **{kind: list(strengths) for kind, (strengths, _) in KINDS.items()}, "large pose": []
    }  # fmt: skip
    half_a_pixel = 100 * 0.5 * np.sqrt(2) / 14  # of the two eyes' 14
    for kind in ("none", "rotation", "blur", "box shift"):
        assert all(r.nme <= r.worst < half_a_pixel and r.num_images == 4 for r in by[kind]), kind
    assert by["occlusion"][-1].worst > half_a_pixel
    assert content.pose == "not measurable: the nose of custom-3 is not known" and content.clamped is False
    text = stress_table(content)
    assert "train under stress, checkpoint of step 7" in text and "box shift (of the window's width" in text


def test_nothing_drawn_leaves_images_and_points(dots):
    directory, crops = dots
    seen = {}

    def predict(faces):
        seen["images"] = np.asarray(faces.images[np.arange(len(faces))])
        return crops.points_px

    for kind in ("rotation", "blur", "occlusion"):
        points_px = predict_perturbed(predict, crops, draws(kind, len(crops), 0.0))
        np.testing.assert_array_equal(seen["images"], crops.images)
        np.testing.assert_allclose(points_px, crops.points_px, atol=1e-4)
    same = recut(directory, crops, "pipnet", np.zeros((len(crops), 2)))
    np.testing.assert_array_equal(same.images[np.arange(len(crops))], crops.images)
    np.testing.assert_array_equal(same.windows, crops.windows)


def test_predictions_from_elsewhere_cannot_be_put_under_stress(capsys):
    with pytest.raises(SystemExit, match="2"):
        evaluate.main(["--predictions", "mine.npz", "--dataset", "coco", "--stress"])
    assert "takes a model: give --workdir of a run and no --predictions" in capsys.readouterr().err


def test_undo_is_the_inverse_of_what_moves_points():
    points = np.random.default_rng(0).random((6, 5, 2), np.float32)
    drawn = draws("rotation", 6, 37.0)._replace(zoom=np.linspace(0.7, 1.3, 6).astype(np.float32))
    moved = jax.vmap(lambda p, one: transform_points(p, np.arange(5), one))(points, drawn)
    assert np.abs(moved - points).max() > 0.1
    np.testing.assert_allclose(undo(np.asarray(moved), drawn), points, atol=1e-6)


def test_a_face_is_perturbed_alike_in_any_company_and_at_any_strength():
    few, many = draws("occlusion", 3, 0.3), draws("occlusion", 200, 0.3)
    assert few.window is None
    for name in few._fields[:-1]:
        np.testing.assert_array_equal(getattr(few, name), np.asarray(getattr(many, name))[:3], err_msg=name)
    np.testing.assert_array_equal(draws("occlusion", 200, 0.5).colour, many.colour)
    patch = np.asarray(many.patch)
    np.testing.assert_allclose(patch[:, 2:] - patch[:, :2], 0.3, atol=1e-6)
    assert patch.min() >= 0 and patch.max() <= 1 and len(np.unique(patch[:, 0])) > 150
    grey = (np.asarray(many.colour) == 0.5).all(axis=1).mean()
    assert 0.35 < grey < 0.65
    direction = shifts(200, 1.0)
    assert np.abs(direction.mean(axis=0)).max() < 0.2
    np.testing.assert_allclose(shifts(3, 0.5), 0.5 * direction[:3], atol=1e-6)


@pytest.mark.parametrize("kind", ["occlusion", "rotation", "blur"])
def test_what_is_drawn_of_a_kind_leaves_all_else(kind):
    drawn = {name: np.asarray(value) for name, value in draws(kind, 50, 40.0)._asdict().items() if value is not None}
    side = 40 if kind == "occlusion" else 0
    np.testing.assert_allclose(drawn["patch"][:, 2:] - drawn["patch"][:, :2], side, atol=1e-4)
    np.testing.assert_allclose(np.abs(drawn["angle"]), np.radians(40) if kind == "rotation" else 0, rtol=1e-6)
    np.testing.assert_allclose(drawn["sigma"], 40 if kind == "blur" else 0)
    assert not drawn["shift"].any() and (drawn["zoom"] == 1).all() and not drawn["flip"].any() | drawn["grey"].any()


def test_fifths_of_the_unperturbed_faces_from_frontal_to_turned(tmp_path, monkeypatch):
    points = np.zeros((6, 68, 2), np.float32)
    points[:, 42:48, 0], points[:, 30, 0] = 100, 50 + 50 * np.array([0.1, 0.5, 0.3, 0.4, 0.2, 0.6])
    scheme, visible = normalised_by(W300_68, Normaliser("pupils")), np.full((6, 68), 2, np.uint8)
    visible[5, 37] = 0  # without a pupil the most turned one has no score, and is in no fifth
    faces = dataclasses.replace(make_crops(6), scheme=scheme, points_px=points, visible=visible)
    missed = shifted(faces, [1, 5, 3, 4, 2, 9])
    monkeypatch.setattr("barrel_jax.evaluation.stress.KINDS", {})
    truth = dataclasses.replace(faces, clamped=True)
    content = stress(lambda crops: missed, faces, truth, tmp_path, "pipnet")
    assert content.clamped is True
    assert [(r.kind, r.strength, r.num_images) for r in content.records] == [
        ("none", 0.0, 5), *(("large pose", float(number), 1) for number in range(1, 6))
    ]  # fmt: skip
    assert [r.nme for r in content.records[1:]] == pytest.approx([1, 2, 3, 4, 5], abs=1e-4)


def test_a_record_by_hand():
    errors = np.array([[0.1, 0.3], [np.nan, np.nan], [0.2, np.nan]])
    record = _record("blur", 0.01, "unit", errors)
    assert vars(record) == pytest.approx({"kind": "blur", "strength": 0.01, "unit": "unit", "num_images": 2} | {
        "nme": 20.0, "worst": 25.0}, nan_ok=True)  # fmt: skip
