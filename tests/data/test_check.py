# SPDX-License-Identifier: Apache-2.0
"""The check of a source: faults of a kind in one line, pictures that are there twice, the contact sheet, the report."""

import json

import cv2
import numpy as np
import pytest

from barrel_jax.faces.landmarks import LandmarkScheme, Normaliser
from barrel_jax.faces.symmetry import mean_shape
from data.check import check
from data.coco.source import read_source
from data.contact_sheet import COLUMNS, GAP, HEADER, TILE, choose, draw_mean, draw_tile
from data.duplicates import content_of
from data.grouping import grouped, printable
from data.prepare import main
from data.report import Report
from tests.kit.own_faces import FLIP, SIZE, each_face, write_faces

pytestmark = pytest.mark.quick


def test_sentences_on_one_fault_are_one_line():
    sentences = [
        f"/d/train.json: annotation {number} (a b{number}.png) has a box {[number, 0]}; correct bbox"
        for number in range(5)
    ]
    other = "/d/train.json: annotation 9 (x.png) has no point; add one"
    images = [f"/d/images/b {letter}.png: image is missing; put it there" for letter in "xy"]
    assert grouped([*sentences, other, *images]) == [
        "/d/train.json: annotation 0 (a b0.png) has a box [0, 0] | annotation 1 (a b1.png) has a box [1, 0] | "
        "annotation 2 (a b2.png) has a box [2, 0] | and 2 more (5 of a kind); correct bbox",
        other,
        "/d/images/b x.png: image is missing | b y.png: image is missing (2 of a kind); put it there",
    ]
    assert grouped(["a: one thing; do this", "a: one thing; do that", "b"]) == [
        "a: one thing; do this",
        "a: one thing; do that",
        "b",
    ]
    assert grouped(["/d/two\nlines.png: image is missing"]) == ["/d/two\\nlines.png: image is missing"]
    assert printable("M\udcfcller") == "M\\udcfcller"


def test_the_status_of_a_report():
    assert Report("coco", []).status(strict=True) == 0
    doubtful = Report("coco", [], doubts=["perhaps"])
    assert (doubtful.status(strict=False), doubtful.status(strict=True)) == (0, 2)
    assert Report("coco", [], faults=["no"], doubts=["perhaps"]).status(strict=True) == 1
    gaps = Report("w300", [], gaps=["half of it"])
    assert gaps.status(strict=False) == 1 and gaps.lines() == ["gap: half of it", "1 fault(s)"]
    gaps.partial_allowed = True
    assert gaps.status(strict=False) == 0 and gaps.lines() == ["gap: half of it", "0 fault(s)"]


def test_the_command_writes_the_report_and_the_sheet(tmp_path, capsys):
    folder = write_faces(tmp_path / "source", each_face(lambda face: face.update(bbox=[0, 0, 30, 30])))
    told, sheet = tmp_path / "told.json", tmp_path / "sheets" / "sheet.png"
    arguments = ["coco", "--source", str(folder), "--check", "--json", str(told), "--sheet", str(sheet)]
    assert main(arguments) == 0 and main([*arguments, "--strict"]) == 2
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2:] == [f"contact sheet: {sheet}", "0 fault(s), 12 doubt(s)"]
    report = json.loads(told.read_text())
    assert (report["verdict"], report["splits"], report["num_points"]) == ("doubts", {"train": 8, "val": 4}, 5)
    assert report["counts"]["boxes_missing_points"] == 12 == len(report["doubts"]) and report["sheet"] == str(sheet)
    picture = cv2.imread(str(sheet))
    assert picture.shape[1] == COLUMNS * (TILE + GAP) + GAP + 2 * (TILE + GAP)
    said = "12 faces look unlike the others (such as train_0.png: box misses 100 % of the points); see the sheet"
    assert any(note.endswith(said) for note in report["notes"]), report["notes"]
    tile = picture[HEADER : HEADER + TILE, GAP : GAP + TILE]
    assert ((tile[..., 0] < 90) & (tile[..., 1:] > 150).all(axis=2)).sum() > 100  # the yellow box


def test_a_source_that_is_not_there_is_a_report_too(tmp_path, capsys):
    told = tmp_path / "told.json"
    assert main(["coco", "--source", str(tmp_path / "nowhere"), "--check", "--json", str(told)]) == 1
    (fault,) = json.loads(told.read_text())["faults"]
    assert "nowhere: no such folder" in fault and fault in capsys.readouterr().err


def test_a_sheet_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    report = check(
        read_source(write_faces(tmp_path / "source")), allow_partial=False, sheet=tmp_path / "file" / "a.png"
    )
    assert "file/a.png: the contact sheet cannot be written (File exists); name one with --sheet" in report.notes[-1]


def test_doubtful_faces_come_first_and_the_others_are_spread(tmp_path):
    def edit(documents):
        train = documents["train"]["annotations"]
        train[5]["bbox"] = [0, 0, 20, 20]
        points = np.array(train[3]["keypoints"]).reshape(-1, 3)
        points[:, :2] = points[[4, 2, 0, 3, 1], :2]
        train[3]["keypoints"] = points.ravel().tolist()

    source = read_source(write_faces(tmp_path / "source", edit))
    faces = [(split, face) for split, group in source.splits.items() for face in group]
    points = np.stack([face.points for _, face in faces])
    chosen = choose(faces, mean_shape(points, np.ones(points.shape[:2], bool)), 5)
    assert [choice.face.face for choice in chosen[:2]] == [5, 3]
    assert chosen[0].why == "box misses 100 % of the points" and "times as far from the mean" in chosen[1].why
    assert [(choice.split, choice.face.face) for choice in chosen[2:]] == [("train", 0), ("train", 6), ("val", 3)]


def test_a_tile_shows_the_points_where_they_are(tmp_path):
    source = read_source(write_faces(tmp_path / "source"))
    face = source.splits["train"][0]
    tile = draw_tile(source, face)
    # The tile spans 1.3 times the longer side of the box, whose middle is its own.
    span = 1.3 * max(face.box[2:])
    places = (face.points + 0.5 - (face.box[:2] + face.box[2:] / 2)) / span * TILE + TILE / 2
    for x, y in np.floor(places).astype(int):
        assert (tile[y, x] == (60, 220, 60)).all()


@pytest.mark.parametrize("whole", [False, True])
def test_a_panorama_longer_than_opencv_warps_is_checked_and_shown(tmp_path, whole):
    width = 32_766 + 1000

    def edit(documents):
        image, face = (documents["train"][name][0] for name in ("images", "annotations"))
        image["width"] = width
        if whole:
            face["bbox"] = [0, 0, width, SIZE[1]]

    source = write_faces(tmp_path / "source", edit)
    file = source / "images" / "train_0.png"
    before = draw_tile(read_source(write_faces(tmp_path / "narrow")), read_source(source).splits["train"][0])
    picture = cv2.imread(str(file))
    cv2.imwrite(str(file), np.pad(picture, ((0, 0), (0, width - SIZE[0]), (0, 0))))
    report = check(read_source(source), allow_partial=False, sheet=tmp_path / "sheet.png")
    assert report.faults == [] and (tmp_path / "sheet.png").is_file()
    if not whole:
        after = draw_tile(read_source(source), read_source(source).splits["train"][0])
        np.testing.assert_array_equal(after, before)


def test_the_mean_shape_is_drawn_with_its_pairs():
    shape = np.array([[-1, -1], [1, -1], [0, 0], [-0.8, 1], [0.8, 1]])
    drawn = draw_mean(shape, LandmarkScheme("custom-5", 5, tuple(FLIP), Normaliser(points=(0, 1)), ()), 200)
    assert (drawn[14, 40:160] < 225).all(axis=1).sum() > 60  # the line between the eyes
    alone = draw_mean(shape, LandmarkScheme("custom-5", 5, (), Normaliser(), ()), 200)
    assert (alone[14, 40:160] == 255).all()


def test_contents_are_told_by_pixels():
    picture = np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8)
    other = picture.copy()
    other[8, 4, 1] ^= 1
    assert content_of(picture) == content_of(picture.copy())
    assert len({content_of(picture), content_of(other), content_of(picture.reshape(30, 40, 3))}) == 3


def test_a_validation_split_of_training_pictures_is_noted_whatever_they_are_called(tmp_path):
    folder = write_faces(tmp_path / "source")
    for number in range(3):
        picture = cv2.imread(str(folder / "images" / f"train_{number}.png"))
        cv2.imwrite(str(folder / "images" / f"val_{number}.png"), picture, (cv2.IMWRITE_PNG_COMPRESSION, 9))
    report = check(read_source(folder), allow_partial=False)
    assert report.status(strict=True) == 0 and report.counts["pictures_in_train_and_val"] == 3
    assert report.notes == [
        f"{folder}: 3 of 4 pictures of val are in train too, by their pixels (such as val_0.png, there train_0.png): a "
        "score on val flatters; keep each picture, and each person, in one split"
    ]


def test_faces_and_pictures_that_are_there_twice_are_noted(tmp_path):
    def twice(documents):
        train = documents["train"]
        train["annotations"] += [face | {"id": face["id"] + 50} for face in train["annotations"]]

    def two_ids(documents):
        twice(documents)
        for face in documents["train"]["annotations"][8:]:
            face["image_id"] += 50
        documents["train"]["images"] += [image | {"id": image["id"] + 50} for image in documents["train"]["images"]]

    repeated = "8 of 16 faces of train have the points of another annotation of the same picture"
    for name, edit in {"twice": twice, "two_ids": two_ids}.items():
        report = check(read_source(write_faces(tmp_path / name, edit)), allow_partial=False)
        assert report.counts["faces_repeated_in_train"] == 8 and repeated in report.notes[-1]
    assert "8 files stand under two image ids or more, such as train_0.png" in report.notes[0]
