# SPDX-License-Identifier: Apache-2.0
"""Faults of one picture, one box, one name or the disk, which cost no other face and are said."""

import csv
import errno
import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from barrel_jax import files
from barrel_jax.evaluation.predictions import read_predictions
from barrel_jax.predict import annotator
from barrel_jax.predict.__main__ import main
from barrel_jax.predict.boxes import read_boxes
from barrel_jax.predict.drawing import draw_faces
from barrel_jax.predict.find_faces import GivenBoxes, detected
from barrel_jax.predict.picture_files import read_picture
from barrel_jax.predict.predictor import Predictor
from barrel_jax.predict.video import Frames, VideoWriter
from tests.kit import small
from tests.kit.saved_run import save_run
from tests.kit.shared import SHARED, needs_shared
from tests.kit.toy import make_crops, make_truth, written

# Names that are patterns, URLs, numbers of frames, protocols and separators to one library or another.
NAMES = ("lr=1e-3 #2", "50% data", "a?b", "[v2]", "a\\b", "x%20y", "a|b", "2024-05-01T10:20:30", "%02d", "gs:", "é\n*")
LATIN = os.fsdecode("é".encode("latin-1"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("deeds") / "run", small.config(), make_crops(2))


@pytest.fixture(scope="module")
def predictor(saved):
    return Predictor.load(saved)


@pytest.fixture
def workdir(saved, predictor, monkeypatch):
    """The run, which is loaded and compiled once for all tests."""
    monkeypatch.setattr(Predictor, "load", lambda *_: predictor)
    return saved


@pytest.fixture
def folder(tmp_path):
    """A picture of each of two names."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(picture())
    return folder


def picture(suffix=".png", height=80, width=100):
    noise = np.random.default_rng(height).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return cv2.imencode(suffix, cv2.resize(noise, (width, height)))[1].tobytes()


def call(capsys, *arguments):
    """Exit status, output, and what was wrong, a line each."""
    status = main([str(argument) for argument in arguments])
    done = capsys.readouterr()
    return status, done.out, [line for line in done.err.splitlines() if line.startswith(("predict:", "doubt:"))]


def records(out):
    """What points.json says, and that points.csv says the same."""
    said = json.loads((out / "points.json").read_text())
    with (out / "points.csv").open(newline="", encoding="utf-8") as stream:
        assert [(row["file"], int(row["face"])) for row in csv.DictReader(stream)] == [
            (r["file"], r["face"]) for r in said
        ]
    return said


BOX = [10, 20, 30, 40]


def test_every_name_that_a_file_system_takes_works(saved, tmp_path, capsys):
    place = tmp_path / "50% a\\b#?[v2]|x%20y" / LATIN
    shutil.copytree(saved, place / "run")
    (place / "in").mkdir()
    names = [name if name != LATIN else "é" for name in (*NAMES, LATIN)]
    for name in (*NAMES, LATIN):
        (place / "in" / f"{name}.png").write_bytes(picture())
    written(place / "boxes.json", {f"{name}.png": [BOX] for name in names})
    common = ("--workdir", place / "run", "--out", place / "out", "--boxes", place / "boxes.json")
    status, _, wrong = call(capsys, place / "in", *common)
    assert (status, wrong) == (0, [])
    assert {r["file"] for r in records(place / "out")} == {f"{name}.png" for name in names}
    for name in (*NAMES, LATIN):
        assert cv2.imdecode(np.fromfile(place / "out" / f"{name}.png", np.uint8), 1).shape == (80, 100, 3)


def test_a_video_of_any_name_is_read_and_written(workdir, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)  # relative names, which FFmpeg would take for protocols
    for name in (*NAMES, LATIN):
        with VideoWriter(Path(f"{name}.mp4"), 10.0) as writer:
            for grey in (0, 99, 200):
                writer.write(np.full((64, 96, 3), grey, np.uint8))
        assert os.path.exists(f"{name}.mp4")
        frames = Frames(f"{name}.mp4")
        assert frames.promised == 3 and len(list(frames)) == 3
    name = "2024-05-01T10:20:30"
    status, said, wrong = call(capsys, f"{name}.mp4", "--workdir", workdir, "--out", f"out:{name}")
    assert (status, wrong) == (0, []) and "faces: 0;" in said
    assert Frames(f"out:{name}/{name}.mp4").promised == 3


def test_one_bad_box_costs_no_other_face(workdir, folder, tmp_path, capsys):
    boxes = {"a.png": [BOX, [500, 20, 30, 40], [10, 20, 0.5, 0.4], "x", [40, 30, 30, 30]], "b.png": [[1, 2, 3]]}
    out = tmp_path / "out"
    common = ("--workdir", workdir, "--out", out, "--boxes", written(tmp_path / "boxes.json", boxes))
    status, said, wrong = call(capsys, folder, *common)
    assert status == 1 and "faces: 2;" in said and "b.png: no box of a face" in said
    assert [r["box"] for r in records(out)] == [BOX, [40, 30, 30, 30]]
    for words in (
        "'a.png', box 2: [10, 20, 0.5, 0.4] is a box below a pixel",
        "'a.png', box 3: x is no box",
        "'b.png', box 0: [1, 2, 3] is no box",
        "a.png: box 1, [500.0, 20.0, 30.0, 40.0]: it lies wholly outside",
    ):
        assert sum(words in line for line in wrong) == 1, wrong
    assert len(wrong) == 4


def test_boxes_of_other_files_are_told_with_what_is_near(workdir, folder, tmp_path, capsys):
    boxes = written(tmp_path / "boxes.json", {"a.png": [BOX], "B.PNG": [BOX]})
    status, said, wrong = call(capsys, folder, "--workdir", workdir, "--out", tmp_path / "out", "--boxes", boxes)
    assert status == 1 and "faces: 1;" in said and "no face found" not in said
    assert f"b.png: no boxes for it in {boxes}; it has B.PNG" in wrong[0]
    assert f"{boxes}: boxes of 1 pictures that are not in {folder}: B.PNG" in wrong[1]


@pytest.mark.parametrize("name", ["points.json", "points.csv"])
def test_predictions_without_a_face_are_boxes_of_no_picture(workdir, folder, tmp_path, capsys, name):
    common = ("--workdir", workdir, "--out", tmp_path / "out")
    status, said, wrong = call(capsys, folder, *common)
    assert (status, wrong) == (0, []) and "faces: 0;" in said
    boxes = tmp_path / "out" / name
    status, _, wrong = call(capsys, folder, *common, "--boxes", boxes)
    assert status == 1 and wrong == [f"predict: {boxes}: no boxes for a.png or any other picture of {folder}"]


def test_every_format_of_a_phone_is_read_or_said(workdir, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for suffix in (".jpg", ".webp", ".avif", ".gif"):
        (folder / f"{suffix[1:]}{suffix}").write_bytes(picture(suffix))
    (folder / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    (folder / "raw.dng").write_bytes(picture(".tiff"))
    (folder / "cut.jpg").write_bytes(picture(".jpg")[:100])
    (folder / "gone.jpg").symlink_to(folder / "nothing.jpg")
    (folder / "named.dat").write_bytes(picture())
    (folder / "notes.txt").write_text("hello")
    status, said, wrong = call(capsys, folder, "--workdir", workdir, "--out", tmp_path / "out")
    assert status == 1 and "1 files that are no pictures were left out (1 .txt)" in said
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {
        f"{n}.png" for n in ("jpg", "webp", "avif", "gif", "named")
    }
    for words in ("photo.heic: this is HEIC, which is not read here; convert", "raw.dng: this is a camera's raw file",
                  "cut.jpg: not a picture", "gone.jpg: a link that leads nowhere"):  # fmt: skip
        assert sum(words in line for line in wrong) == 1, wrong
    assert len(wrong) == 4


def test_boxes_that_look_like_another_unit_are_doubted(workdir, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.png").write_bytes(picture(height=300, width=400))
    boxes = written(tmp_path / "boxes.json", {"a.png": [[250, 120, 380, 250]]})
    common = ("--workdir", workdir, "--out", tmp_path / "out", "--boxes", boxes)
    status, _, wrong = call(capsys, folder, *common)
    assert status == 0 and "as corners x1, y1, x2, y2 100% would lie within" in wrong[0]
    written(boxes, {"a.png": [[0.6, 0.4, 0.3, 0.4]]})
    status, _, wrong = call(capsys, folder, *common)
    assert status == 1 and "a box below a pixel; are these fractions" in wrong[0]


def test_a_picture_that_breaks_costs_itself_alone(workdir, folder, tmp_path, capsys, monkeypatch):
    """cv2.error, which is neither ValueError nor OSError, as a picture of too many pixels raises it."""
    real = annotator.read_picture

    def read(path):
        if path.name == "a.png":
            cv2.resize(np.zeros((0, 0, 3), np.uint8), (1, 1))
        return real(path)

    monkeypatch.setattr(annotator, "read_picture", read)
    boxes = written(tmp_path / "boxes.json", {"a.png": [BOX], "b.png": [BOX]})
    status, said, wrong = call(capsys, folder, "--workdir", workdir, "--out", tmp_path / "out", "--boxes", boxes)
    assert status == 1 and "faces: 1;" in said and len(wrong) == 1 and "a.png: OpenCV" in wrong[0]
    assert [r["file"] for r in records(tmp_path / "out")] == ["b.png"]


@pytest.mark.parametrize(
    "box", [[0, 0, 1e7, 1e7], [-1e9, -1e9, 2e9, 2e9], [5, 5, 1e-3 + 1, 1e12], [0, 0, 1e300, 1e300]]
)
def test_any_box_can_be_drawn(box):
    points = np.array([[[3.0, 4], [1e30, -1e30]]])
    assert draw_faces(np.zeros((60, 80, 3), np.uint8), points, ((0, 1),), np.array([box])).shape == (60, 80, 3)


@pytest.mark.parametrize("room", [0, 1])
def test_on_a_full_disk_the_points_are_written_and_the_drawings_give_way(
    workdir, folder, tmp_path, capsys, monkeypatch, room
):
    """As many writes as there is room for; a file that is removed makes room again."""
    out, real = tmp_path / "out", files.write

    def write(path, fill):
        if len(list(out.glob("*.png"))) >= room and (path.suffix == ".png" or room):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, fill)

    monkeypatch.setattr(annotator.files, "write", write)
    boxes = written(tmp_path / "boxes.json", {"a.png": [BOX], "b.png": [BOX]})
    status, _, wrong = call(capsys, folder, "--workdir", workdir, "--out", out, "--boxes", boxes)
    assert status == 1 and [r["file"] for r in records(out)] == ["a.png", "b.png"]
    assert "this drawing cannot be written: No space left on device" in wrong[0]
    assert not list(out.glob("*.png")) and len(wrong) == 1 + room


def test_ids_of_annotations_are_kept_for_scoring(workdir, folder, tmp_path, capsys):
    """Two faces of one picture whose ids, 1 and 0, are not their places in it."""
    found = [{"id": 1, "image_id": 0, "bbox": BOX}, {"id": 0, "image_id": 0, "bbox": [60, 20, 30, 40]}]
    coco = {"images": [{"id": 0, "file_name": "a.png", "width": 100, "height": 80}], "annotations": found}
    common = ("--workdir", workdir, "--out", tmp_path / "out")
    status, _, _ = call(capsys, folder / "a.png", *common, "--boxes", written(tmp_path / "val.json", coco))
    said = records(tmp_path / "out")
    assert status == 0 and [r["face"] for r in said] == [1, 0]
    points = np.array([r["points"] for r in said])
    truth = make_truth(make_crops(1).scheme, points, files=("a.png",) * 2, faces=np.array([1, 0]))
    np.testing.assert_allclose(
        read_predictions(tmp_path / "out" / "points.json", truth_with(truth, found)), points, atol=1e-3
    )
    # And boxes in another order, whose faces are counted.
    status, _, _ = call(
        capsys, folder / "a.png", *common, "--boxes",
        written(tmp_path / "plain.json", {"a.png": [f["bbox"] for f in reversed(found)]}),
    )  # fmt: skip
    assert [r["face"] for r in records(tmp_path / "out")] == [0, 1]
    np.testing.assert_allclose(
        read_predictions(tmp_path / "out" / "points.json", truth_with(truth, found)), points, atol=1e-3
    )


def truth_with(truth, found):
    truth.boxes[:] = [f["bbox"] for f in found]
    return truth


def test_a_picture_is_turned_as_viewers_do_unless_its_boxes_are_of_the_stored_pixels(tmp_path):
    # Orientation 6: the stored picture has to be turned a quarter clockwise.
    exif = b"\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    jpeg = picture(".jpg", 40, 64)
    (tmp_path / "turned.jpg").write_bytes(jpeg[:2] + exif + jpeg[2:])
    read = read_picture(tmp_path / "turned.jpg")
    assert detected(lambda image: np.zeros((0, 4)))(read).image.shape == (64, 40, 3)
    image = {"id": 0, "file_name": "turned.jpg"}
    face = {"id": 3, "image_id": 0, "bbox": [1, 2, 30, 30]}

    def given(exif, **sides):
        content = {"images": [image | sides], "annotations": [face]}
        boxes = GivenBoxes(read_boxes(written(tmp_path / "val.json", content)), exif)
        return boxes.find(read).image.shape, boxes.turned()

    for shape, exif, sides in (
        ((40, 64, 3), "auto", {"width": 64, "height": 40}),
        ((64, 40, 3), "auto", {"width": 40, "height": 64}),
        ((64, 40, 3), "auto", {}),
        ((64, 40, 3), "upright", {}),
        ((40, 64, 3), "stored", {"width": 40, "height": 64}),
    ):
        found, note = given(exif, **sides)
        assert found == shape
        assert ("(such as 6 in " in note and "give --exif stored" in note) == (exif == "auto" and not sides)
    with pytest.raises(ValueError, match=r"turned\.jpg: it has 64 x 40 pixels, and the boxes of .* are of 80 x 64"):
        given("auto", width=80, height=64)


def test_pictures_whose_size_does_not_tell_are_taken_as_the_others_are(tmp_path):
    exif = b"\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    paths = []
    for name, height, width in (("square.jpg", 64, 64), ("wide.jpg", 40, 64)):
        jpeg = picture(".jpg", height, width)
        jpeg = jpeg[:2] + exif + jpeg[2:]
        paths.append(tmp_path / name)
        paths[-1].write_bytes(jpeg)
    square = read_picture(paths[0])
    for size, pixels, other in (((64, 40), square.stored, "upright"), ((40, 64), square.upright, "stored")):
        images = [
            {"id": 0, "file_name": "square.jpg", "width": 64, "height": 64},
            {"id": 1, "file_name": "wide.jpg", "width": size[0], "height": size[1]},
        ]
        faces = [{"id": number, "image_id": number, "bbox": [1, 2, 30, 30]} for number in (0, 1)]
        file = written(tmp_path / "val.json", {"images": images, "annotations": faces})
        boxes = GivenBoxes(read_boxes(file), "auto", paths)
        np.testing.assert_array_equal(boxes.find(square).image, pixels)
        assert f"give --exif {other}" in boxes.turned()


@needs_shared
def test_the_handed_pictures_and_boxes(workdir, tmp_path, capsys):
    cases = SHARED / "cases"
    common = ("--workdir", workdir, "--out", tmp_path / "out")
    some = cases / "28_some_boxes"
    status, said, wrong = call(capsys, some / "p", *common, "--boxes", some / "boxes.json")
    assert status == 1 and "faces: 1;" in said and "b.jpg: no boxes for it" in wrong[0] and "B.JPG" in wrong[0]
    group = cases / "30_two_faces_order"
    status, _, wrong = call(capsys, group / "only", *common, "--boxes", group / "val.json")
    assert [r["face"] for r in records(tmp_path / "out")] == [1, 0]
    shutil.copy(cases / "25_video" / "ok.mp4", tmp_path / "2024-05-01T10:20:30.mp4")
    status, said, wrong = call(capsys, tmp_path / "2024-05-01T10:20:30.mp4", *common)
    assert (status, wrong) == (0, [])


@pytest.mark.parametrize(("count", "doubts"), [(1, 0), (2, 0), (3, 1)])
def test_boxes_of_one_or_two_pictures_are_not_doubted(workdir, tmp_path, capsys, count, doubts):
    """Such as a face that is cut off by the border."""
    (tmp_path / "in").mkdir()
    names = [f"{number}.png" for number in range(count)]
    for name in names:
        (tmp_path / "in" / name).write_bytes(picture())
    boxes = written(tmp_path / "boxes.json", {name: [[10, 10, 89, 69]] for name in names})
    common = ("--workdir", workdir, "--out", tmp_path / "out", "--boxes", boxes)
    status, _, wrong = call(capsys, tmp_path / "in", *common)
    assert status == 0 and len(wrong) == doubts
    assert not doubts or "100% of the boxes reach to the border of their pictures" in wrong[0]


@pytest.mark.parametrize("unit", ["fraction", "percent"])
def test_boxes_in_parts_of_a_picture_are_taken_when_it_is_said(workdir, folder, tmp_path, capsys, unit):
    whole = 100 if unit == "percent" else 1
    parts = [BOX[0] / 100 * whole, BOX[1] / 80 * whole, BOX[2] / 100 * whole, BOX[3] / 80 * whole]
    boxes = written(tmp_path / "boxes.json", {"a.png": [parts], "b.png": []})
    common = ("--workdir", workdir, "--out", tmp_path / "out", "--boxes", boxes)
    status, said, wrong = call(capsys, folder, *common, "--unit", unit)
    assert (status, wrong) == (0, []) and f"taken as they are (--unit {unit});" in said
    np.testing.assert_allclose(records(tmp_path / "out")[0]["box"], BOX, atol=1e-3)
    status, _, wrong = call(capsys, folder, *common)
    if unit == "fraction":
        assert status == 1 and "are these fractions of the picture's sides? Give --unit fraction" in wrong[0]


def test_a_box_of_corners_is_named_as_the_file_has_it(workdir, folder, tmp_path, capsys):
    table = "file,x1,y1,x2,y2,score\na.png,10,20,40,60,0.9\nb.png,465,130,350,338,0.8\n"
    (tmp_path / "boxes.csv").write_text(table)
    common = ("--workdir", workdir, "--out", tmp_path / "out", "--boxes", tmp_path / "boxes.csv")
    status, _, wrong = call(capsys, folder, *common)
    said = "line 3: x1,y1,x2,y2 = 465,130,350,338 is no box: x2 and y2 must lie beyond x1 and y1"
    assert status == 1 and len(wrong) == 1 and said in wrong[0]
