# SPDX-License-Identifier: Apache-2.0
"""The model that comes with the package, on drawn faces, and models by name and file."""

import hashlib

import numpy as np
import pytest

from barrel_jax.evaluation.score import face_errors
from barrel_jax.input.source import decode, open_split
from barrel_jax.input.splits import load_split
from barrel_jax.predict.predictor import Predictor
from barrel_jax.pretrained.named_models import NAMED, find_model
from barrel_jax.training.open_model import open_model
from data.prepare import prepare_config
from tests.kit import small


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Drawn faces with the points of 300W."""
    folder = str(tmp_path_factory.mktemp("sets"))
    options = {"synthetic_train": 1, "synthetic_test": 12, "image_size": 128, "data_dir": folder, "scheme": "300w-68"}
    config = small.config(**{f"data__{name}": value for name, value in options.items()})
    directory = prepare_config(config.data)
    return load_split(config.data, directory, "test"), list(open_split(directory, "test"))


@pytest.fixture(scope="module")
def predictor():
    return Predictor.load("small")


@pytest.mark.quick
def test_the_small_model_finds_drawn_faces_and_knows_them_from_walls(predictor, drawn):
    crops, records = drawn
    found = []
    for record in records:
        (face,) = predictor.faces(
            decode(record["image"], "a face"), record["box"][None] - [*record["region"][:2], 0, 0]
        )
        assert face.points.shape == (68, 2) and face.sigma.shape == (68,) and (face.sigma > 0).all()
        found.append(face)
    points = np.stack([face.points + record["region"][:2] for face, record in zip(found, records, strict=True)])
    nmes = face_errors(points.astype(np.float32), crops)
    assert np.median(nmes) < 0.06 and nmes.mean() < 0.1
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    boxes = np.array([[20.0, 20, 100, 100], [60, 60, 120, 120]])
    walls = predictor.faces(noise, boxes) + predictor.faces(np.full_like(noise, 90), boxes)
    assert min(face.score for face in found) > max(face.score for face in walls)
    assert np.median([face.score for face in found]) > 0.5 > np.median([face.score for face in walls])


def test_predict_gives_the_same_points(predictor):
    image = np.random.default_rng(0).integers(0, 256, (100, 120, 3), np.uint8)
    boxes = np.array([[10.0, 10, 60, 70], [40, 20, 50, 50]])
    faces = predictor.faces(image, boxes)
    np.testing.assert_array_equal(predictor.predict(image, boxes), [face.points for face in faces])
    np.testing.assert_array_equal([face.box for face in faces], boxes)
    assert predictor.faces(image, np.zeros((0, 4))) == [] and predictor(np.zeros_like(image)) == []


def test_a_named_model_is_the_file_that_its_sha256_is_of():
    file = find_model("small")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == NAMED["small"].sha256
    assert file.stat().st_size < 10e6


def test_a_folder_that_holds_no_run_does_not_hide_a_model_of_its_name(tmp_path, monkeypatch):
    """As python -m barrel_jax.export small --out small makes it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small" / "export").mkdir(parents=True)
    (tmp_path / "small" / "manifest.json").write_text("{}")
    assert open_model("small").num_landmarks == open_model(find_model("small")).num_landmarks
    for name in ("config.json", "run.json"):
        (tmp_path / "small" / name).write_text("{}")
        with pytest.raises((FileNotFoundError, ValueError), match="small"):  # it is a run, and a broken one
            open_model("small")
        (tmp_path / "small" / name).unlink()


def test_what_has_no_such_name_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"large: no run there, .* has that name \(small\); train first"):
        find_model("large")
    with pytest.raises(FileNotFoundError, match=r"smal: no run there, .* did you mean small\?"):
        open_model("smal")
    with pytest.raises(ValueError, match="small: a packed model is of one checkpoint; leave out --checkpoint best"):
        open_model("small", "best")
    with pytest.raises(ValueError, match="a packed model is of one checkpoint; leave out --checkpoint 12"):
        open_model(find_model("small"), "12")
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path / 'lagre'}: no run there"):
        open_model(tmp_path / "lagre")
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(FileNotFoundError, match=r"notes\.txt: no run there"):
        open_model(tmp_path / "notes.txt")
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        open_model(tmp_path / "none.npz")
