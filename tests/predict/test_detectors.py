# SPDX-License-Identifier: Apache-2.0
"""Detectors: boxes that are laid like annotated ones, and detectors that are not there."""

import json

import cv2
import numpy as np
import pytest

from barrel_jax.predict.detectors import make_detector
from tests.kit.shared import SHARED, needs_shared

pytestmark = pytest.mark.quick


def overlap(first, second):
    low = np.maximum(first[:2], second[:2])
    high = np.minimum(first[:2] + first[2:], second[:2] + second[2:])
    common = np.prod(np.maximum(high - low, 0))
    return common / (np.prod(first[2:]) + np.prod(second[2:]) - common)


@needs_shared
def test_haar_finds_real_faces_where_they_are_annotated():
    document = json.loads((SHARED / "faces68" / "val.json").read_text())
    names = {image["id"]: image["file_name"] for image in document["images"]}
    detect, overlaps, offsets = make_detector("haar"), [], []
    for annotation in document["annotations"][::17]:
        image = cv2.imread(str(SHARED / "faces68" / "images" / names[annotation["image_id"]]))[..., ::-1]
        box, found = np.array(annotation["bbox"]), detect(np.ascontiguousarray(image))
        if len(found):
            overlaps.append(overlap(found[0], box))
            offsets.append(
                [*((found[0] - box)[:2] + (found[0] - box)[2:] / 2), *(found[0] - box)[2:]] / box[[2, 3, 2, 3]]
            )
    assert len(overlaps) >= 24  # of 25
    # Unfitted, the median overlap is 0.59 and the centres lie 0.18 of a height too high.
    assert np.median(overlaps) > 0.75
    assert (np.abs(np.median(offsets, axis=0)) < 0.06).all()


def test_an_opencv_without_cascades_is_named_with_the_remedy(monkeypatch):
    monkeypatch.delattr(cv2, "CascadeClassifier", raising=False)  # as in OpenCV 5
    with pytest.raises(ValueError, match=r"OpenCV \d\S+ has no Haar cascades; for them pip install"):
        make_detector("haar")


def test_haar_finds_nothing_where_nothing_is():
    detect = make_detector("haar")
    for shape in ((1, 1), (100, 3), (2000, 1500)):
        assert detect(np.full((*shape, 3), 128, np.uint8)).shape == (0, 4)


@needs_shared
def test_haar_finds_a_face_of_a_large_picture_in_its_own_pixels():
    image = cv2.imread(str(SHARED / "samples" / "300W" / "helen" / "trainset" / "232194_1.jpg"))[..., ::-1].copy()
    (box,), (large,) = (make_detector("haar")(cv2.resize(image, None, fx=k, fy=k)) for k in (1, 3))
    assert overlap(box, large / 3) > 0.8


def test_a_detector_that_is_not_there_is_named(tmp_path):
    for name in ("hog", "haar:x", "yunet", "yunet:"):
        with pytest.raises(ValueError, match="neither haar nor yunet:MODEL"):
            make_detector(name)
    with pytest.raises(FileNotFoundError, match=r"none\.onnx: no such YuNet model; take .* or use --detector haar"):
        make_detector(f"yunet:{tmp_path / 'none.onnx'}")
    (tmp_path / "noise.onnx").write_bytes(b"not a network")
    with pytest.raises(ValueError, match=r"noise\.onnx: OpenCV cannot use this as a YuNet model"):
        make_detector(f"yunet:{tmp_path / 'noise.onnx'}")
