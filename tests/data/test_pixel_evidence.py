# SPDX-License-Identifier: Apache-2.0
"""Pixels that were turned under their points, without a word in the file."""

import cv2
import numpy as np
import pytest

from barrel_jax import pictures
from data.check import check
from data.coco.source import read_source
from data.pixel_evidence import SIDE, patch_of, patches_of, turn_of_pixels
from tests.kit.own_faces import FIVE, SIZE, write_faces
from tests.kit.shared import SHARED, needs_shared

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_pictures_that_were_turned_after_they_were_annotated_are_a_doubt(tmp_path, orientation):
    def turn(picture):
        return cv2.imencode(".png", pictures.turned_back(picture, orientation))[1].tobytes()

    report = check(read_source(write_faces(tmp_path / "turned", encode=turn, val=8)), allow_partial=False)
    assert len(report.doubts) == 2 and not report.faults
    words = (
        f"of train look alike under their points when the pictures are turned as EXIF orientation {orientation} says"
    )
    assert words in report.doubts[0]
    assert check(read_source(write_faces(tmp_path / "sound", val=8)), allow_partial=False).doubts == []


def test_square_pictures_may_lie_on_their_side(tmp_path):
    def square(picture):
        return np.pad(picture, ((0, SIZE[0] - SIZE[1]), (0, 0), (0, 0)), mode="reflect")

    def edit(documents):
        for document in documents.values():
            for image in document["images"]:
                image["height"] = SIZE[0]

    folder = write_faces(
        tmp_path / "source",
        edit,
        encode=lambda picture: cv2.imencode(".png", pictures.turned_back(square(picture), 6))[1].tobytes(),
    )
    (doubt,) = check(read_source(folder), allow_partial=False).doubts  # four faces of val are too few to tell
    assert "the faces of train" in doubt and "EXIF orientation 6" in doubt


class Face:
    def __init__(self, points):
        self.points, self.labelled = points, np.ones(len(points), bool)


def test_a_patch_is_laid_on_the_mean_shape():
    shape = (FIVE - FIVE.mean(axis=0)) / 10
    picture = np.zeros((200, 200, 3), np.uint8)
    # Twice the size, turned by a right angle and moved: the patch undoes it.
    points = 2 * FIVE[:, ::-1] * (-1, 1) + (150, 60)
    cv2.circle(picture, np.round(points[0]).astype(int).tolist(), 5, (255, 255, 255), -1)
    patch = patch_of(picture, Face(points), shape).reshape(SIDE, SIDE)
    middle = np.argwhere(patch > patch.max() / 2).mean(axis=0)[::-1]
    np.testing.assert_allclose(middle, shape[0] * SIDE / 3 + (SIDE / 2 - 0.5), atol=0.5)
    assert patch_of(np.full((200, 200, 3), 7, np.uint8), Face(points), shape) is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_patch_of_turned_pixels_is_that_of_the_turned_picture(orientation):
    picture = np.random.default_rng(1).integers(0, 255, (70, 90, 3), np.uint8)
    face, shape = Face(FIVE + 15), (FIVE - FIVE.mean(axis=0)) / 10
    np.testing.assert_allclose(
        patches_of(picture, face, shape, [orientation])[0],
        patch_of(pictures.turned(picture, orientation), face, shape),
        atol=2e-3,
    )


def test_noise_tells_nothing():
    rng = np.random.default_rng(0)
    faces = [Face(FIVE + rng.normal(0, 1, (5, 2)) + 10) for _ in range(12)]
    noise = [rng.integers(0, 255, (60, 60, 3), np.uint8) for _ in faces]
    assert turn_of_pixels(noise, faces, FIVE - FIVE.mean(axis=0)) == 1
    assert turn_of_pixels(noise[:5], faces[:5], FIVE - FIVE.mean(axis=0)) == 1


@needs_shared
def test_real_faces_turned_upside_down_and_mirrored(tmp_path):
    source = read_source(SHARED / "cases" / "00" / "base")
    assert check(source, allow_partial=False).doubts == []
    (tmp_path / "images").mkdir()
    for file, path in source.paths.items():
        cv2.imwrite(str(tmp_path / "images" / file), cv2.imread(str(path))[::-1], (cv2.IMWRITE_JPEG_QUALITY, 98))
    for split in ("train", "val"):
        (tmp_path / f"{split}.json").write_bytes((source.directory / f"{split}.json").read_bytes())
    assert all("EXIF orientation 4" in doubt for doubt in check(read_source(tmp_path), allow_partial=False).doubts)
    assert len(check(read_source(tmp_path), allow_partial=False).doubts) == 2
