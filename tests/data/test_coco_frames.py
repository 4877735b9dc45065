# SPDX-License-Identifier: Apache-2.0
"""Pictures that viewers turn: which frame their points are in, and the pixels that are stored of them."""

import io
import shutil

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from barrel_jax import pictures
from data.check import check
from data.coco.source import read_source
from data.prepare import main, prepare
from tests.kit.own_faces import FLIP, SIZE, draw, each_image, write_faces
from tests.kit.shared import SHARED, needs_shared

MIRRORED = (2, 4, 5, 7)


def save(pixels, orientation, form="PNG"):
    """A file whose viewers see other pixels than it stores."""
    exif, stream = Image.Exif(), io.BytesIO()
    exif[pictures.TAG] = orientation
    Image.fromarray(pixels[..., ::-1]).save(stream, form, exif=exif)
    return stream.getvalue()


def turned_faces(folder, orientation, frame, form="PNG"):
    """Faces whose files store them turned, annotated in the frame 'upright', as viewers show them, or 'stored'."""

    def store(picture):
        return save(pictures.turned_back(picture, orientation), orientation, form)

    exchange, rows, columns = pictures.TURNS[orientation]

    def to_stored(face):
        points = np.array(face["keypoints"]).reshape(-1, 3)
        x, y, v = points.T
        x, y = (SIZE[0] - 1 - x if columns else x), (SIZE[1] - 1 - y if rows else y)
        points = np.stack([y, x, v] if exchange else [x, y, v], axis=1)
        # Whoever annotates a mirrored face calls left what lies on the left.
        points = points[FLIP] if orientation in MIRRORED else points
        low, high = points[:, :2].min(axis=0) - 4, points[:, :2].max(axis=0) + 4
        face.update(keypoints=points.ravel().tolist(), bbox=[*low.tolist(), *(high - low).tolist()])

    def edit(documents):
        for document in documents.values() if frame == "stored" else ():
            for face in document["annotations"]:
                to_stored(face)
            for image in document["images"] if exchange else ():
                image.update(width=SIZE[1], height=SIZE[0])

    return write_faces(folder, edit, encode=store, suffix=f".{form.lower()}")


@pytest.mark.parametrize("frame", ["upright", "stored"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_the_frame_is_found_and_the_pixels_are_under_the_points(tmp_path, orientation, frame):
    source = read_source(turned_faces(tmp_path / "source", orientation, frame))
    report = check(source, allow_partial=False)
    assert report.status(strict=True) == 0
    assert report.counts[f"pictures_of_EXIF_orientation_{orientation}"] == 12
    taken = "as viewers show them, and are turned" if frame == "upright" else "as stored, and are not turned"
    assert any(f"12 pictures of EXIF orientation {orientation} (" in note and taken in note for note in report.notes)
    for face in source.faces():
        pixels = pictures.turned(source.image(face.file)[1], face.orientation)
        eyes = np.round(face.points[:2]).astype(int)
        assert (pixels[eyes[:, 1], eyes[:, 0]] == 30).all()  # the colour in which eyes are drawn


@pytest.mark.parametrize("form", ["JPEG", "TIFF", "WEBP", "AVIF"])
def test_the_frame_is_found_in_every_format(tmp_path, form):
    source = read_source(turned_faces(tmp_path / "source", 6, "upright", form))
    assert {face.orientation for face in source.faces()} == {6}
    assert check(source, allow_partial=False).status(strict=True) == 0


def test_what_is_stored_of_a_turned_picture_is_turned(tmp_path):
    folder = turned_faces(tmp_path / "source", 8, "upright")
    directory = prepare("coco", str(folder), str(tmp_path / "sets"))
    record = next(iter(tfds.builder_from_directory(str(directory)).as_data_source("train")))
    x, y, w, h = record["region"]
    np.testing.assert_array_equal(record["image"][..., ::-1], draw(0)[0][y : y + h, x : x + w])
    assert record["size"].tolist() == list(SIZE)


def test_an_orientation_that_was_left_behind_by_a_tool_that_turned_the_pixels(tmp_path):
    folder = write_faces(tmp_path / "source", encode=lambda picture: save(picture, 3))
    source = read_source(folder)
    assert {face.orientation for face in source.faces()} == {1}
    assert any("were taken as stored" in note and "by the pixels" in note for note in source.findings.notes)


@pytest.mark.parametrize("frame", ["upright", "stored"])
def test_where_sizes_and_faces_contradict_each_other_the_pixels_decide(tmp_path, frame):
    def encode(picture):
        return save(picture if frame == "stored" else pictures.turned_back(picture, 6), 6)

    def edit(documents):
        for document in documents.values():
            for face in document["annotations"]:
                points = np.array(face["keypoints"]).reshape(-1, 3)
                points[:, 0] -= 80  # inside the picture whichever way it lies
                face["keypoints"], face["bbox"][0] = points.ravel().tolist(), face["bbox"][0] - 80
            # The width and height of what is stored, as an image library says them.
            for image in document["images"] if frame == "upright" else ():
                image.update(width=SIZE[1], height=SIZE[0])

    def moved(picture):
        return encode(np.roll(picture, -80, axis=1))

    source = read_source(write_faces(tmp_path / "source", edit, encode=moved))
    assert {face.orientation for face in source.faces()} == {6 if frame == "upright" else 1}
    assert any("by the pixels" in note for note in source.findings.notes) and not source.findings.doubts
    assert check(source, allow_partial=False).status(strict=True) == 0
    grey = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
    blank = read_source(write_faces(tmp_path / "blank", edit, encode=lambda picture: encode(grey)))
    assert {face.orientation for face in blank.faces()} == {1}  # that of the size, and a doubt
    assert "may have been annotated as viewers show them or as stored" in blank.findings.doubts[0]


def nameless(documents):
    """Points without names in a layout that tells nothing, on empty pictures."""
    for document in documents.values():
        document["categories"] = []


def test_what_nothing_decides_is_a_doubt_and_the_switch_decides_it(tmp_path, capsys):
    grey = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
    folder = write_faces(tmp_path / "source", nameless, encode=lambda picture: save(grey, 3))
    arguments = ["coco", "--source", str(folder), "--check", "--strict", "--data-dir", str(tmp_path)]
    assert main(arguments) == 2
    assert "12 pictures of EXIF orientation 3 (such as train_0.png) may have been annotated" in capsys.readouterr().out
    assert main([*arguments, "--exif", "upright"]) == 0
    assert "were taken as viewers show them, and are turned, by the switch" in capsys.readouterr().out
    assert {face.orientation for face in read_source(folder, {"exif": "upright"}).faces()} == {3}
    assert {face.orientation for face in read_source(folder, {"exif": "stored"}).faces()} == {1}
    with pytest.raises(ValueError, match=r"config\.data\.exif='turned' is none of auto, stored, upright"):
        read_source(folder, {"exif": "turned"})


def test_sizes_that_no_frame_has_are_a_fault(tmp_path):
    folder = write_faces(
        tmp_path / "source", each_image(lambda image: image.update(width=239)), encode=lambda picture: save(picture, 6)
    )
    report = check(read_source(folder), allow_partial=False)
    assert len(report.faults) == 12 and "but the annotations say 239 x 150" in report.faults[0]


@needs_shared
@pytest.mark.parametrize("case", ["01a_exif3", "01b_exif6_upright_size"])
def test_cases_of_real_faces(case):
    source = read_source(SHARED / "cases" / case)
    sound = read_source(SHARED / "cases" / "00" / "base")
    assert check(source, allow_partial=False).status(strict=True) == 0
    for face, plain in zip(source.faces(), sound.faces(), strict=True):
        pixels = pictures.turned(source.image(face.file)[1], face.orientation)
        truth = sound.image(plain.file)[1]
        height, width = truth.shape[:2]
        assert np.abs(cv2.blur(pixels[:height, :width], (5, 5)).astype(int) - cv2.blur(truth, (5, 5))).mean() < 12


@needs_shared
def test_an_orientation_that_was_left_behind_in_square_pictures_too(tmp_path):
    """Faces in the middle of them are as alike when all are turned; what others of that orientation say counts."""
    base, folder = SHARED / "cases" / "00" / "base", tmp_path / "source"
    (folder / "images").mkdir(parents=True)
    square = 0
    for split in ("train", "val"):
        shutil.copyfile(base / f"{split}.json", folder / f"{split}.json")
    for path in sorted((base / "images").iterdir()):
        pixels = pictures.decode(path.read_bytes())
        square += pixels.shape[0] == pixels.shape[1]
        (folder / "images" / path.name).write_bytes(save(pixels, 6))
    assert 5 < square < 20
    source = read_source(folder)
    assert {face.orientation for face in source.faces()} == {1}
    (doubt,) = source.findings.doubts
    assert "22 pictures of EXIF orientation 6" in doubt and "else with --exif stored" in doubt
