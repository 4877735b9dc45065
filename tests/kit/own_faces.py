# SPDX-License-Identifier: Apache-2.0
"""Folders of drawn faces in COCO keypoints JSON, as people bring them, to be spoilt by the tests in one way each."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

NAMES = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
FLIP = [1, 0, 2, 4, 3]
FIVE = np.array([[10, 12], [30, 12], [20, 22], [12, 30], [28, 30]], float)  # in a box of 40 x 40 pixels
SIZE = (240, 150)  # width and height of a picture

Documents = dict[str, dict]


def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture uint8 [150, 240, 3] BGR of a face on a noisy ground, and its points float64 [5, 2] in pixels."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(60, 200, (SIZE[1], SIZE[0], 3), np.uint8)
    # To the right of the middle and above it, so that turned pictures have nothing where the points are.
    corner = rng.integers((110, 12), (150, 50)).astype(float)
    points = np.round(FIVE + corner + rng.normal(0, 0.7, (5, 2)), 2)
    x, y = np.round(corner + (20, 21)).astype(int).tolist()
    cv2.ellipse(picture, (x, y), (19, 20), 0, 0, 360, (150, 180, 220), -1)
    for name, (px, py) in zip(NAMES, np.round(points).astype(int).tolist(), strict=True):
        cv2.circle(picture, (px, py), 3, (20, 20, 160) if "mouth" in name else (30, 30, 30), -1)
    return picture, points


def annotation(number: int, image: int, points: np.ndarray) -> dict:
    """A face as COCO has it, with the tight box of its points grown by four pixels."""
    low, high = points.min(axis=0) - 4, points.max(axis=0) + 4
    keypoints = np.concatenate([points, np.full((len(points), 1), 2)], axis=1)
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "bbox": [*low.tolist(), *(high - low).tolist()],
        "keypoints": keypoints.ravel().tolist(),
    }


def write_faces(
    folder: Path,
    edit: Callable[[Documents], object] = lambda documents: None,
    *,
    train: int = 8,
    val: int = 4,
    encode: Callable[[np.ndarray], bytes] = lambda picture: cv2.imencode(".png", picture)[1].tobytes(),
    suffix: str = ".png",
) -> Path:
    """Writes `train` and `val` faces, one a picture, with documents that `edit` has changed; returns the folder."""
    (folder / "images").mkdir(parents=True)
    documents: Documents = {}
    for split, count in (("train", train), ("val", val)):
        images, annotations = [], []
        for number in range(count):
            picture, points = draw(number if split == "train" else 1000 + number)
            file = f"{split}_{number}{suffix}"
            (folder / "images" / file).write_bytes(encode(picture))
            images.append({"id": number, "file_name": file, "width": SIZE[0], "height": SIZE[1]})
            annotations.append(annotation(number, number, points))
        categories = [{"id": 1, "name": "face", "keypoints": list(NAMES)}]
        documents[split] = {"images": images, "annotations": annotations, "categories": categories}
    edit(documents)
    for split, document in documents.items():
        (folder / f"{split}.json").write_text(json.dumps(document))
    return folder


def each_face(change: Callable[[dict], object]) -> Callable[[Documents], object]:
    """An edit of every annotation."""
    return lambda documents: [change(face) for document in documents.values() for face in document["annotations"]]


def only_the_nose(documents: Documents) -> None:
    """An edit that leaves every face one point."""
    for document in documents.values():
        document["categories"][0]["keypoints"] = ["nose"]
        for face in document["annotations"]:
            face.update(keypoints=face["keypoints"][6:9], num_keypoints=1)


def each_image(change: Callable[[dict], object]) -> Callable[[Documents], object]:
    """An edit of every image's record."""
    return lambda documents: [change(image) for document in documents.values() for image in document["images"]]
