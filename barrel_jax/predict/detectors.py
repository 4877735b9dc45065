# SPDX-License-Identifier: Apache-2.0
"""Face detectors: OpenCV's own, or any function that gives boxes.

`Detector` is any function of that form. What the two here find is thinned: of finds that overlap one is kept, and tiny
ones are dropped.

Boxes are x, y, w, h float64 [n, 4] in source pixels (the left edge of the first column is 0), like those that models
are trained on: tight around the face from the brows to the chin. A detector's box is laid otherwise, and is fitted.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from barrel_jax.faces.box_fit import BoxFit
from barrel_jax.plain_path import PlainPath

Detector = Callable[[np.ndarray], np.ndarray]  # RGB uint8 [H, W, 3] -> boxes [n, 4], the largest first

# From the box of haarcascade_frontalface_default to the annotated box: the shift of the centre, in widths and heights
# of the detected box, and the size relative to it. Medians over the 3,321 faces that the detector below finds of the
# 3,384 of faces68 (docs/results.md); quartiles: shift -0.06..0.08 and 0.14..0.18, size 0.83..0.92 and 0.80..0.89.
HAAR = BoxFit(shift=(0.0, 0.158), size=(0.872, 0.843))
LONGEST = 1280  # side of the picture that the cascade searches; larger ones are shrunk to it
YUNET_SCORE = 0.7
MOST_OVERLAP = 0.4  # of two finds that are two faces: intersection over union
INSIDE = 0.75  # share of the smaller of two finds that may lie in the other
TINY = 12.0  # pixels: boxes that are narrower or lower show no face that a model could read


def make_detector(name: str) -> Detector:
    """The detector 'haar', or 'yunet:MODEL' with the file of a YuNet model.

    Raises:
        FileNotFoundError: the model file is not there.
        ValueError: another name, OpenCV cannot read the model, or this OpenCV has no Haar cascades (version 5).
    """
    kind, _, model = name.partition(":")
    if kind == "haar" and not model:
        return _haar()
    if kind == "yunet" and model:
        return _yunet(Path(model))
    raise ValueError(f"--detector={name!r} is neither haar nor yunet:MODEL, with the path of an .onnx file")


def stated(name: str) -> str:
    """Whose boxes those of the detector `name` are and how they are fitted, after "boxes of"."""
    kind, _, model = name.partition(":")
    if kind == "yunet":
        return f"YuNet ({model}), taken as they are"
    (x, y), (width, height) = HAAR
    return (
        f"OpenCV's Haar cascade, fitted to those that models are trained on (centre {x:+.2f}, {y:+.2f} of a side, "
        f"sides x {width:.2f}, {height:.2f})"
    )


def overlaps(first: Float[np.ndarray, "n 4"], second: Float[np.ndarray, "m 4"]) -> Float[np.ndarray, "n m"]:
    """Intersection over union of every box x, y, w, h with every other one."""
    common = _common(first, second)
    areas = first[:, 2:].prod(axis=1)[:, None] + second[:, 2:].prod(axis=1)[None] - common
    return common / np.maximum(areas, 1e-12)


def thin(boxes: Float[np.ndarray, "n 4"], scores: Float[np.ndarray, " n"] | None = None) -> Float[np.ndarray, "m 4"]:
    """One box of each face: the others that overlap it (non-maximum suppression), and tiny ones, are left out.

    Args:
        boxes: x, y, w, h in source pixels.
        scores: the higher one of two is kept; without them the larger.

    Returns the kept boxes, the largest first.
    """
    areas = boxes[:, 2:].prod(axis=1)
    order = np.argsort(-(areas if scores is None else scores), kind="stable")
    order = order[(boxes[order, 2:] >= TINY).all(axis=1)]
    within = _common(boxes, boxes) / np.maximum(np.minimum(areas[:, None], areas[None]), 1e-12)
    twins = (overlaps(boxes, boxes) > MOST_OVERLAP) | (within > INSIDE)
    kept: list[int] = []
    for number in order.tolist():
        if not twins[number, kept].any():
            kept.append(number)
    return _largest_first(boxes[kept])


def _common(first: Float[np.ndarray, "n 4"], second: Float[np.ndarray, "m 4"]) -> Float[np.ndarray, "n m"]:
    """Areas that boxes have in common."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, :2] + first[:, None, 2:], second[None, :, :2] + second[None, :, 2:])
    return np.maximum(high - low, 0).prod(axis=2)


def _largest_first(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
    return boxes[np.argsort(-boxes[:, 2] * boxes[:, 3], kind="stable")]


def _haar() -> Detector:
    if not hasattr(cv2, "CascadeClassifier"):  # nor the cascades' files
        raise ValueError(
            f"OpenCV {cv2.__version__} has no Haar cascades; for them pip install 'opencv-python-headless<5', "
            "or give --detector yunet:MODEL or --boxes FILE"
        )
    # Of OpenCV's cascades for whole faces, `default` finds more of every sixth of those faces than `alt2` (556 against
    # 539 of 564), with fewer boxes that are no face (3 against 5), and more small faces of group pictures.
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")  # type: ignore[attr-defined]

    def detect(image: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "n 4"]:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        longest = max(grey.shape)
        shrink = min(LONGEST / longest, 1.0)
        if shrink < 1:
            size = [max(round(side * shrink), 1) for side in grey.shape[::-1]]
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        smallest = max(24, min(grey.shape) // 24)
        found = cascade.detectMultiScale(
            cv2.equalizeHist(grey), scaleFactor=1.1, minNeighbors=5, minSize=(smallest, smallest)
        )
        boxes = np.asarray(found, np.float64).reshape(-1, 4) / shrink
        return thin(HAAR.apply(boxes))

    return detect


def _yunet(model: Path) -> Detector:
    if not model.is_file():
        raise FileNotFoundError(
            f"{model}: no such YuNet model; take face_detection_yunet_2023mar.onnx from OpenCV's model zoo "
            "(opencv_zoo/models/face_detection_yunet), or use --detector haar, which needs no file"
        )
    unfit = f"{model}: OpenCV cannot use this as a YuNet model; is it face_detection_yunet_2023mar.onnx, and whole?"
    try:
        with PlainPath(model) as path:
            network = cv2.FaceDetectorYN.create(str(path), "", (320, 320), score_threshold=YUNET_SCORE)
    except cv2.error as error:
        raise ValueError(f"{unfit} ({error.err})") from error

    def detect(image: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "n 4"]:
        network.setInputSize(image.shape[1::-1])
        try:
            _, found = network.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        except cv2.error as error:
            raise ValueError(f"{unfit} ({error.err})") from error
        # Taken as they are: no model was at hand to measure how they lie about the annotated boxes.
        table = np.asarray([] if found is None else found, np.float64).reshape(-1, 15)
        return thin(table[:, :4], table[:, 14])

    return detect
