# SPDX-License-Identifier: Apache-2.0
"""Boxes and points in other layouts and units: told over the whole set, with the switch that reads them right."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from data.coco.source import read_source
from data.coco.units import BOXES, POINTS, Numbers, doubts_on
from data.prepare import main
from tests.kit.own_faces import FIVE, SIZE, only_the_nose, write_faces
from tests.kit.shared import SHARED, needs_shared

pytestmark = pytest.mark.quick
WIDTH, HEIGHT = SIZE
PER = {"": None, "fraction": 1, "percent": 100}


def write_box(box, layout):
    """A box x, y, w, h in pixels as a tool writes it in a layout."""
    order, _, unit = layout.partition("-")
    x, y, w, h = box
    values = {
        "xywh": (x, y, w, h), "xyxy": (x, y, x + w, y + h), "cxcywh": (x + w / 2, y + h / 2, w, h),
        "yxhw": (y, x, h, w), "yxyx": (y, x, y + h, x + w),
    }[order]  # fmt: skip
    sides = (HEIGHT, WIDTH) * 2 if order.startswith("y") else (WIDTH, HEIGHT) * 2
    return list(values) if not unit else [PER[unit] * value / side for value, side in zip(values, sides, strict=True)]


def write_points(keypoints, layout):
    order, _, unit = layout.partition("-")
    values = np.array(keypoints).reshape(-1, 3)
    if unit:
        values[:, :2] *= PER[unit] / np.array(SIZE)
    values[:, :2] = values[:, 1::-1] if order == "yx" else values[:, :2]
    return values.ravel().tolist()


def written(folder, boxes, points, splits=("train", "val")):
    def edit(documents):
        for split in splits:
            for face in documents[split]["annotations"]:
                face.update(bbox=write_box(face["bbox"], boxes), keypoints=write_points(face["keypoints"], points))

    return write_faces(folder, edit, val=6)


def switches(doubt):
    """What a doubt advises, by name."""
    return dict(re.findall(r"--(boxes|points) (\S+)", doubt))


PAIRS = [(boxes, "xy") for boxes in BOXES] + [("xywh", points) for points in POINTS[1:]]
PAIRS += [("cxcywh-fraction", "xy-fraction"), ("xyxy-percent", "xy-percent"), ("yxyx", "yx")]


@pytest.mark.parametrize(("boxes", "points"), PAIRS)
def test_every_layout_is_told_and_read(tmp_path, boxes, points):
    sound = read_source(write_faces(tmp_path / "sound", val=6)).faces()
    folder = written(tmp_path / "source", boxes, points)
    advised = {name: value for name, value in (("boxes", boxes), ("points", points)) if value not in ("xywh", "xy")}
    doubts = read_source(folder).findings.doubts
    assert [switches(doubt) for doubt in doubts] == ([advised] * 2 if advised else [])
    source = read_source(folder, {"boxes": boxes, "points": points})
    assert not source.findings.doubts + source.findings.faults
    for face, truth in zip(source.faces(), sound, strict=True):
        np.testing.assert_allclose(face.points, truth.points, atol=1e-3)
        np.testing.assert_allclose(face.box, truth.box, atol=1e-3)


def test_boxes_around_single_points_are_in_any_layout(tmp_path):
    assert read_source(write_faces(tmp_path, only_the_nose, val=6)).findings.doubts == []


def test_one_split_alone_is_named(tmp_path):
    (doubt,) = read_source(written(tmp_path / "source", "xyxy", "xy", ["val"])).findings.doubts
    assert doubt.startswith(
        f"{tmp_path}/source/val.json: the boxes look like x1, y1, x2, y2 in pixels rather than x, y"
    )


def test_the_command_doubts_and_the_switch_mends(tmp_path, capsys):
    folder = written(tmp_path / "source", "xyxy", "xy")
    arguments = ["coco", "--source", str(folder), "--check", "--data-dir", str(tmp_path)]
    assert main(arguments) == 0 and main([*arguments, "--strict"]) == 2
    assert "--boxes xyxy (training: --config.data.boxes=xyxy)" in capsys.readouterr().out
    assert main([*arguments, "--strict", "--boxes", "xyxy"]) == 0
    assert main([*arguments, "--boxes", "xyxz"]) == 1
    assert "config.data.boxes='xyxz' is none of xywh, xyxy" in capsys.readouterr().err
    assert main(["synthetic", "--check", "--boxes", "xyxy"]) == 1
    assert "--boxes says how own faces are read (coco); synthetic has one way alone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda points: np.stack([points[:, 0], HEIGHT - 1 - points[:, 1]], axis=1), "the mean face is upside down"),
        (lambda points: (points - points[2])[:, ::-1] * (-1, 1) + points[2], "the mean face is sideways"),
    ],
)
def test_a_mean_face_that_is_not_upright_is_a_doubt(tmp_path, change, words):
    def edit(documents):
        for document in documents.values():
            for face in document["annotations"]:
                keypoints = np.array(face["keypoints"]).reshape(-1, 3)
                keypoints[:, :2] = change(keypoints[:, :2])
                low, high = keypoints[:, :2].min(axis=0), keypoints[:, :2].max(axis=0)
                face.update(keypoints=keypoints.ravel().tolist(), bbox=[*low.tolist(), *(high - low).tolist()])

    doubts = read_source(write_faces(tmp_path / "source", edit)).findings.doubts
    assert len(doubts) == 2 and all(words in doubt for doubt in doubts)


def test_points_without_names_are_transposed_when_they_mirror_about_a_level_line(tmp_path):
    def edit(documents):
        for document in documents.values():
            document["categories"] = []
            for face in document["annotations"]:
                face["keypoints"] = write_points(face["keypoints"], "yx")

    doubts = read_source(write_faces(tmp_path / "source", edit)).findings.doubts
    assert [switches(doubt) for doubt in doubts] == [{"points": "yx"}] * 2


def loose(corner, sizes, margin):
    """The numbers of twelve faces of 40 pixels at random corners, in boxes with a margin around their points."""
    rng = np.random.default_rng(3)
    points = FIVE + rng.uniform(*corner, (12, 1, 2))
    low, high = points.min(axis=1), points.max(axis=1)
    edges = np.concatenate([np.maximum(low - margin, 0), high + margin], axis=1) + rng.normal(0, 1, (12, 4))
    return Numbers(points, np.abs(edges), np.tile(sizes, (12, 1)).astype(float)), edges


@pytest.mark.parametrize(
    ("corner", "size", "margin"),
    [((20, 90), (400, 300), 25), ((5, 15), (70, 60), 8)],
    ids=["all faces are boxed alike then", "the boxes stay in the pictures then"],
)
def test_loose_boxes_are_told_too(corner, size, margin):
    numbers, edges = loose(corner, size, margin)
    (doubt,) = doubts_on(Path("train.json"), numbers, "xywh", "xy", False)
    assert switches(doubt) == {"boxes": "xyxy"}
    sound = dataclasses.replace(numbers, boxes=np.concatenate([edges[:, :2], edges[:, 2:] - edges[:, :2]], axis=1))
    assert not doubts_on(Path("train.json"), sound, "xywh", "xy", False)


@needs_shared
def test_case_of_real_faces():
    folder = SHARED / "cases" / "03_xyxy"
    assert [switches(doubt) for doubt in read_source(folder).findings.doubts] == [{"boxes": "xyxy"}] * 2
    assert not read_source(folder, {"boxes": "xyxy"}).findings.doubts
    assert not read_source(SHARED / "cases" / "00" / "base").findings.doubts


@pytest.mark.parametrize("boxes", BOXES)
def test_loose_boxes_have_their_faces_in_the_middle(boxes):
    """A fifth wider on every side, and twice as wide about five points as about a face: told with the right layout."""
    rng = np.random.default_rng(5)
    points = FIVE - FIVE.mean(axis=0) + np.array(SIZE) / 2 + rng.uniform(-6, 6, (16, 1, 2))
    low, size = points.min(axis=1), np.ptp(points, axis=1)
    given = np.concatenate([low - 0.2 * size, 1.4 * size], axis=1)
    numbers = Numbers(points, np.array([write_box(box, boxes) for box in given]), np.tile(SIZE, (16, 1)).astype(float))
    doubts = doubts_on(Path("train.json"), numbers, "xywh", "xy", False)
    assert [switches(doubt) for doubt in doubts] == ([] if boxes == "xywh" else [{"boxes": boxes}])


@needs_shared
@pytest.mark.parametrize("boxes", ["xyxy", "xywh-percent", "xyxy-fraction"])
def test_loose_boxes_of_real_faces(tmp_path, boxes):
    folder = real_faces(tmp_path / "source")
    for file in folder.glob("*.json"):
        document = json.loads(file.read_text())
        sizes = {image["id"]: (image["width"], image["height"]) for image in document["images"]}
        for face in document["annotations"]:
            x, y, w, h = face["bbox"]
            box = np.array([[x - 0.2 * w, y - 0.2 * h, 1.4 * w, 1.4 * h]])
            unit = {"": 1.0, "fraction": 1.0, "percent": 100.0}[boxes.partition("-")[2]]
            box = box / np.tile(sizes[face["image_id"]], 2) * unit if "-" in boxes else box
            if boxes.startswith("xyxy"):
                box[:, 2:] += box[:, :2]
            face["bbox"] = box[0].tolist()
        file.write_text(json.dumps(document))
    assert [switches(doubt) for doubt in read_source(folder).findings.doubts] == [{"boxes": boxes}] * 2
    assert not read_source(folder, {"boxes": boxes}).findings.doubts


@needs_shared
def test_points_of_pictures_of_twice_the_size_are_a_doubt(tmp_path):
    folder = real_faces(tmp_path / "source")
    for file in folder.glob("*.json"):
        document = json.loads(file.read_text())
        for face in document["annotations"]:
            face["bbox"] = [2 * value for value in face["bbox"]]
            face["keypoints"] = (np.array(face["keypoints"]).reshape(-1, 3) * (2, 2, 1)).ravel().tolist()
        file.write_text(json.dumps(document))
    doubts = read_source(folder).findings.doubts
    assert len(doubts) == 2
    assert "train.json: 16 of 16 faces have most of their points outside of their pictures" in doubts[0]


def real_faces(folder):
    """A copy of the handed faces that may be changed."""
    shutil.copytree(SHARED / "cases" / "00" / "base", folder, copy_function=shutil.copyfile)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    return folder
