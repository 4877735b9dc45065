# SPDX-License-Identifier: Apache-2.0
"""The predictor of pictures and boxes against evaluate.py, which cuts crops on the host."""

import gc
import json
import shutil
import weakref
from dataclasses import replace

import chex
import cv2
import jax
import numpy as np
import pytest

from barrel_jax.config import MeshConfig, load_run_config, save_run_config
from barrel_jax.devices.sharding import make_mesh
from barrel_jax.evaluation.score import predict_all
from barrel_jax.faces.crop_windows import landmark_box
from barrel_jax.input.source import decode, open_split
from barrel_jax.input.splits import load_split
from barrel_jax.models.build import build_model
from barrel_jax.models.source_points import source_points
from barrel_jax.predict import backend
from barrel_jax.predict import predictor as predictor_module
from barrel_jax.predict.predictor import Predictor
from barrel_jax.training.steps import make_predict_step
from barrel_jax.training.trained import TrainedRun, restore_variables
from data.prepare import prepare_config
from tests.kit import small
from tests.kit.saved_run import save_run, steep


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predictor")
    # Crops as large as the faces: smaller ones are averaged on a grid that begins where the stored region does.
    options = {"synthetic_train": 1, "synthetic_test": 11, "image_size": 128, "data_dir": str(folder / "sets")}
    config = small.config(model__backbone="resnet10", **{f"data__{name}": value for name, value in options.items()})
    crops = load_split(config.data, prepare_config(config.data), "test")
    return save_run(folder / "run", config, crops), config, crops


@pytest.fixture(scope="module")
def predictor(run):
    return Predictor.load(str(run[0]))


@pytest.fixture(scope="module")
def pictures(run):
    """Source images and their boxes [1, 4]."""
    records = [record for record in open_split(prepare_config(run[1].data), "test")]
    assert all((record["region"][:2] == 0).all() for record in records)
    return [decode(r["image"], "face") for r in records], [np.array(r["box"])[None] for r in records]


@pytest.mark.quick
def test_points_are_those_of_the_evaluation(run, predictor, pictures):
    workdir, config, crops = run
    mesh = make_mesh(MeshConfig(data=1))
    variables, step = restore_variables(workdir, config, 29, "latest", mesh)
    expected = predict_all(
        make_predict_step(build_model(config.model, 29), mesh), variables, crops, config.loop.eval_batch, mesh
    )
    points = np.concatenate(predictor.predict_batch(*pictures))
    assert step == 0 and points.shape == (11, 29, 2) and points.dtype == np.float32
    # The points follow the faces, so that equal ones are no accident.
    assert (expected - crops.windows[:, None, :2]).std(axis=0).mean() > 2
    # Not the same to the last digit: host crops are rounded to grey levels twice, and batch norm is folded here.
    assert np.abs(points - expected).mean() < 0.05 and np.abs(points - expected).max() < 0.3


def test_a_face_does_not_depend_on_the_others_in_the_call(predictor, pictures):
    images, boxes = pictures
    together = predictor.predict_batch(images, boxes)
    alone = [predictor.predict(image, box) for image, box in zip(images, boxes, strict=True)]
    np.testing.assert_allclose(np.concatenate(together), np.concatenate(alone), atol=2e-3)
    # Several faces of one picture, in the order of their boxes; more than one call takes.
    boxes = boxes[0] + np.linspace(0, 20, 70)[:, None] * np.array([1, 0.5, 0, 0])
    many = predictor.predict(images[0], boxes)
    assert many.shape == (70, 29, 2)
    for face in (0, 33, 69):
        np.testing.assert_allclose(many[face], predictor.predict(images[0], boxes[face : face + 1])[0], atol=2e-3)


def test_faces_are_cropped_again_around_their_points(run, predictor, pictures):
    again = Predictor.load(run[0], refine=1)
    assert (again.refine, predictor.refine) == (1, 0)
    images, boxes = pictures
    first = predictor.predict_batch(images, boxes)
    fit, seen = TrainedRun.open(run[0]).box_fit, np.ones(29, bool)
    fitted = [fit.apply(np.array([landmark_box(points, seen) for points in found])) for found in first]
    expected = predictor.predict_batch(images, fitted)
    np.testing.assert_allclose(np.concatenate(again.predict_batch(images, boxes)), np.concatenate(expected), atol=2e-3)
    assert np.abs(np.concatenate(expected) - np.concatenate(first)).max() > 1
    assert again.predict(images[0], np.zeros((0, 4))).shape == (0, 29, 2)


def test_a_run_that_does_not_know_its_boxes_trusts_those_it_is_given(run, tmp_path):
    workdir = shutil.copytree(run[0], tmp_path / "old")
    facts = json.loads((workdir / "run.json").read_text())
    del facts["box_fit"]
    (workdir / "run.json").write_text(json.dumps(facts))
    assert Predictor.load(workdir, refine=1).refine == 0
    (workdir / "run.json").write_text(json.dumps(facts | {"box_fit": [[0.0], [1.0]]}))
    with pytest.raises(ValueError, match=r"run\.json: box_fit is not what a run writes there"):
        Predictor.load(workdir)


def test_a_picture_moved_into_a_larger_one_moves_its_points(predictor, pictures):
    image, boxes = pictures[0][0], pictures[1][0]
    frame = np.zeros((900, 1200, 3), np.uint8)
    frame[300 : 300 + image.shape[0], 700 : 700 + image.shape[1]] = image
    moved = predictor.predict(frame, boxes + [700, 300, 0, 0])
    np.testing.assert_allclose(moved - [700, 300], predictor.predict(image, boxes), atol=2e-3)


def test_no_boxes_and_one_pixel(predictor):
    image = np.full((40, 50, 3), 9, np.uint8)
    for none in ([], np.zeros((0, 4))):
        assert predictor.predict(image, none).shape == (0, 29, 2)
    first, second, third = predictor.predict_batch([image] * 3, [[], [[3, 4, 20, 20], [0, 0, 5, 5]], []])
    assert (len(first), len(second), len(third)) == (0, 2, 0)
    assert predictor.predict_batch([], []) == []
    points = predictor.predict(np.full((1, 1, 3), 200, np.uint8), [[0, 0, 1, 1]])
    assert points.shape == (1, 29, 2) and (np.abs(points) <= 0.5).all()  # the crop's window is that pixel


@pytest.mark.parametrize(
    ("image", "boxes", "message"),
    [
        (np.zeros((4, 5, 3)), [[0, 0, 2, 2]], r"uint8 \[H, W, 3\] in RGB, this one is float64 \[4, 5, 3\]"),
        (np.zeros((4, 5), np.uint8), [[0, 0, 2, 2]], r"this one is uint8 \[4, 5\]"),
        ("face.png", [[0, 0, 2, 2]], "this one is str"),
        (np.zeros((0, 5, 3), np.uint8), [], r"an image has a row and a column or more, this one is \[0, 5, 3\]"),
        (np.zeros((4, 0, 3), np.uint8), [], r"a row and a column or more, this one is \[4, 0, 3\]"),
        (np.zeros((4, 5, 3), np.uint8), [0, 0, 2, 2], r"\[n, 4\], these are \[4\]"),
        (np.zeros((4, 5, 3), np.uint8), [[0, 0, 2, 2], [0, np.nan, 2, 2]], "box 1, .* must be finite"),
        (np.zeros((4, 5, 3), np.uint8), [[0, 0, 2, 0]], "box 0, .* above 0"),
        (np.zeros((4, 5, 3), np.uint8), [[0, 0, 2, 2], [5, 0, 2, 2]], "box 1, .* outside the image of 5x4"),
        (np.zeros((4, 5, 3), np.uint8), [[-3, 0, 2, 2]], "box 0, .* outside the image of 5x4"),
    ],
)
def test_what_cannot_be_predicted_is_named(predictor, image, boxes, message):
    with pytest.raises(ValueError, match=message):
        predictor.predict(image, boxes)
    if "this one is" in message:  # the image, which no detector is shown then
        with pytest.raises(ValueError, match=message):
            predictor(image)
    good = np.zeros((9, 9, 3), np.uint8)
    with pytest.raises(ValueError, match=f"^image 1, .*{message}"):
        predictor.predict_batch([good, image], [[[1, 1, 5, 5]], boxes])
    with pytest.raises(ValueError, match="2 images, but boxes for 1"):
        predictor.predict_batch([good, good], [[[1, 1, 5, 5]]])


def test_a_folder_that_is_not_one_run_is_named(run, tmp_path):
    workdir, config, _ = run
    with pytest.raises(FileNotFoundError, match="no run there"):
        Predictor.load(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"no checkpoint 'best' in this run; .* latest at step 0"):
        Predictor.load(workdir, "best")
    with pytest.raises(ValueError, match=r"model\.dtype='float8' is unknown"):
        Predictor.load(workdir, dtype="float8")
    other = tmp_path / "other"
    shutil.copytree(workdir, other)
    save_run_config(small.config(data__image_size=128, model__decoder_layers=2), other)
    with pytest.raises(ValueError, match="this checkpoint is of another model"):
        Predictor.load(other)
    save_run_config(config, other)
    (other / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"run\.json: .* JSON"):
        Predictor.load(other)
    (other / "run.json").write_text("{}")
    with pytest.raises(ValueError, match=r"run\.json: .*scheme and num_landmarks"):
        Predictor.load(other)


def test_bfloat16_is_near(run, predictor, pictures):
    coarse = Predictor.load(run[0], dtype="bfloat16").predict(pictures[0][0], pictures[1][0])
    fine = predictor.predict(pictures[0][0], pictures[1][0])
    assert 0 < np.abs(coarse - fine).max() < 4


def test_loading_again_gives_memory_back(run, pictures, monkeypatch):
    """A program is compiled once for all predictors of a model, and nothing else keeps one that is gone."""
    image, boxes = pictures[0][0], pictures[1][0]

    def load_and_predict():
        predictor = Predictor.load(run[0], backend="jax")
        predictor.predict(image, boxes)
        return weakref.ref(predictor), predictor._program

    first = load_and_predict()[1]
    # What the program calls may not be traced any more.
    monkeypatch.setattr(predictor_module, "source_points", chex.assert_max_traces(source_points, n=0))
    gc.collect()
    arrays = len(jax.live_arrays())
    for _ in range(3):
        gone, program = load_and_predict()
        gc.collect()
        assert gone() is None and program is first
        assert len(jax.live_arrays()) == arrays


@pytest.fixture(scope="module")
def strange(pictures):
    """A picture from a detector's view: large, and boxes over its border, thin, shrunk and enlarged."""
    rng = np.random.default_rng(1)
    image = cv2.resize(rng.integers(0, 256, (170, 230, 3), np.uint8), (1380, 1020), interpolation=cv2.INTER_CUBIC)
    image[: pictures[0][0].shape[0], : pictures[0][0].shape[1]] = pictures[0][0]
    boxes = [pictures[1][0][0], [-50, 300, 400, 500], [900.3, 20.7, 700, 300], [640, 700, 64, 80], [20, 10, 1300, 990]]
    return image, np.array(boxes, np.float64)


@pytest.mark.parametrize("changes", [{}, {"data__crop": "hrnet", "model__uncertainty": True}])
def test_onnx_runtime_gives_the_points_of_xla(strange, changes):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    config = small.config(data__image_size=128, data__dataset="faces", model__dtype="float32", **changes)
    variables = steep(config, 29)
    found = {}
    for name in ("jax", "onnxruntime"):
        predictor = Predictor(config, "custom-29", 29, variables, backend=name)
        found[name] = predictor.faces(*strange)
        assert predictor.predict(strange[0], []).shape == (0, 29, 2)
    for one, other in zip(found["jax"], found["onnxruntime"], strict=True):
        # Of drawn weights, which magnify rounding, on a face larger than a screen: a ten-thousandth of its side.
        np.testing.assert_allclose(other.points, one.points, rtol=0, atol=max(0.05, 1e-4 * one.box[2:].max()))
        if config.model.uncertainty:
            np.testing.assert_allclose(other.sigma, one.sigma, rtol=1e-3, atol=0)
            assert np.ptp(one.sigma) > 0
    assert np.std([face.points - face.points.mean(axis=0) for face in found["jax"]], axis=0).mean() > 5


def test_the_fastest_backend_is_taken_and_said_once(run, capsys, monkeypatch):
    pytest.importorskip("onnx")
    config = load_run_config(run[0]).model
    backend._say.cache_clear()
    assert [backend.choose("auto", config) for _ in range(2)] == ["onnxruntime"] * 2
    assert capsys.readouterr().err.count("note: points by ONNX Runtime, which is faster on a CPU than XLA") == 1
    monkeypatch.setattr(backend, "find_spec", lambda name: None)
    assert backend.choose("auto", config) == "jax"
    assert "on a CPU ONNX Runtime is faster (ONNX needs onnx" in capsys.readouterr().err
    coarse = replace(config, dtype="bfloat16")
    assert backend.choose("auto", coarse) == "jax"
    with pytest.raises(ValueError, match="backend='onnxruntime' computes in float32: give dtype='float32'"):
        backend.choose("onnxruntime", coarse)
    with pytest.raises(ValueError, match="backend='torch' is none of auto, jax, onnxruntime"):
        backend.choose("torch", config)
