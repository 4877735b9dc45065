# SPDX-License-Identifier: Apache-2.0
"""python -m barrel_jax.predict as a user calls it."""

import contextlib
import csv
import json
import shutil
import struct
import time

import cv2
import numpy as np
import pytest
from PIL import Image

from barrel_jax.predict.__main__ import main
from barrel_jax.predict.annotator import Annotator, drawing_names
from barrel_jax.predict.detectors import make_detector, stated
from barrel_jax.predict.drawing import draw_faces
from barrel_jax.predict.find_faces import Faces
from barrel_jax.predict.picture_files import read_picture
from barrel_jax.predict.predictor import Predictor
from barrel_jax.predict.tracking import Tracker
from barrel_jax.predict.video import Frames, VideoWriter, rate_of
from tests.kit import small
from tests.kit.saved_run import save_run
from tests.kit.toy import make_crops, written


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("predict") / "run", small.config(), make_crops(2))


def noise(height, width, seed=0):
    small_noise = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return cv2.resize(small_noise, (width, height))


@pytest.fixture
def folder(tmp_path):
    """Two pictures, a file that is none, one that says so, and boxes for the first."""
    folder = tmp_path / "in"
    folder.mkdir()
    cv2.imwrite(str(folder / "b.png"), noise(80, 100))
    cv2.imwrite(str(folder / "a b.jpg"), noise(60, 90, 1))
    (folder / "notes.txt").write_text("no picture")
    written(tmp_path / "boxes.json", {"b.png": [[10, 20, 30, 40], [50, 10, 30, 30]], "a b.jpg": []})
    return folder


def video(path, frames=10, code="mp4v", rate=12.5):
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*code), rate, (96, 64))
    for number in range(frames):
        writer.write(noise(64, 96, number))
    writer.release()
    return path


def call(capsys, *arguments):
    """Exit status, output, errors without the progress bar."""
    status = main([str(argument) for argument in arguments])
    done = capsys.readouterr()
    return status, done.out, "\n".join(line for line in done.err.splitlines() if line.startswith("predict:"))


def test_a_folder_gives_drawings_and_points_that_agree(workdir, folder, tmp_path, capsys):
    out = tmp_path / "out"
    status, said, wrong = call(capsys, folder, "--workdir", workdir, "--boxes", tmp_path / "boxes.json", "--out", out)
    assert (status, wrong) == (0, "")
    assert f"{folder / 'a b.jpg'}: no box of a face" in said and "faces: 2;" in said and "b.png: no" not in said
    assert {path.name for path in out.iterdir()} == {"a b.png", "b.png", "points.json", "points.csv"}
    records = json.loads((out / "points.json").read_text())
    assert [(r["file"], r["frame"], r["face"]) for r in records] == [("b.png", None, 0), ("b.png", None, 1)]
    assert [r["box"] for r in records] == [[10, 20, 30, 40], [50, 10, 30, 30]]
    image = cv2.imread(str(folder / "b.png"))[..., ::-1].copy()
    points = Predictor.load(workdir).predict(image, [r["box"] for r in records])
    np.testing.assert_allclose([r["points"] for r in records], points, atol=1e-3)
    with (out / "points.csv").open(newline="") as stream:
        heading, *rows = csv.reader(stream)
    of_box = ["box_x", "box_y", "box_w", "box_h", "score"]
    assert heading == ["file", "frame", "time", "face", *of_box, "x0", "y0", "x1", "y1", "x2", "y2"]
    assert [row[:4] + row[8:9] for row in rows] == [["b.png", "", "", "0", ""], ["b.png", "", "", "1", ""]]
    np.testing.assert_allclose(np.array(rows)[:, 9:].astype(float).reshape(2, 3, 2), points, atol=1e-3)
    drawing = cv2.imread(str(out / "b.png"))[..., ::-1]
    np.testing.assert_array_equal(drawing, draw_faces(image, points, (), np.array([r["box"] for r in records])))
    # Without a face it is the picture.
    np.testing.assert_array_equal(cv2.imread(str(out / "a b.png")), cv2.imread(str(folder / "a b.jpg")))
    assert f"boxes of {tmp_path / 'boxes.json'}, taken as they are; faces are cropped once\n" in said


def test_the_detector_and_how_its_boxes_are_fitted_are_said(folder, tmp_path, capsys):
    status, said, _ = call(capsys, folder / "b.png", "--out", tmp_path / "out")
    assert status == 0
    with (tmp_path / "out" / "points.csv").open(newline="") as stream:
        scores = [float(row["score"]) for row in csv.DictReader(stream)]
    assert scores == [record["score"] for record in json.loads((tmp_path / "out" / "points.json").read_text())]
    unlikely = sum(score < 0.5 for score in scores)
    assert f"faces: {len(scores)} ({unlikely} of them unlikely, with a score below 0.5);" in said or not unlikely
    fit = "fitted to those that models are trained on (centre +0.00, +0.16 of a side, sides x 0.87, 0.84)"
    again = "faces are cropped again around the points found (refine 1)"
    assert f"boxes of OpenCV's Haar cascade, {fit}; {again}\n" in said
    assert stated("yunet:models/yunet.onnx") == "YuNet (models/yunet.onnx), taken as they are"


def test_a_file_that_is_no_picture_is_listed_and_the_rest_goes_on(workdir, folder, tmp_path, capsys):
    (folder / "a.png").write_bytes(b"\x89PNG nothing")
    (folder / "empty.jpg").write_bytes(b"")
    located = {"a.png": [], "b.png": [[10, 20, 30, 40]], "a b.jpg": [[200, 20, 30, 40]], "empty.jpg": []}
    boxes = written(tmp_path / "boxes.json", located)
    common = ("--workdir", workdir, "--boxes", boxes, "--out", tmp_path / "out")
    status, said, wrong = call(capsys, folder, *common)
    assert status == 1 and "faces: 1;" in said and (tmp_path / "out" / "b.png").exists()
    assert f"{folder / 'a.png'}: not a picture" in wrong and "empty.jpg: not a picture" in wrong
    assert "a b.jpg: box 0" in wrong and "outside the image of 90x60" in wrong and len(wrong.splitlines()) == 3
    written(boxes, {"a.png": [[1, 2, 3, 4]]})
    status, said, wrong = call(capsys, folder / "a.png", *common)
    assert status == 1 and "a.png: not a picture" in wrong


@pytest.mark.parametrize(
    ("source", "extra", "message"),
    [
        ("none.png", (), "no such picture, folder or video"),
        ("in/notes.txt", (), "neither a picture nor a video that OpenCV can read; convert it, or fetch it again"),
        ("in/sub", (), "no pictures in this folder"),
        ("in", ("--out", "in"), "drawings could replace them"),
        ("in/b.png", ("--out", "in"), "drawings could replace them"),
        ("in", ("--detector", "hog"), "neither haar nor yunet"),
        ("in", ("--boxes", "other.json"), "no boxes for a b.jpg or any other picture"),
        ("in/notes.txt", ("--boxes", "other.json"), "are of pictures"),
        ("in", ("--workdir", "in"), "no run there"),
        ("in", ("--smooth", "none"), "--smooth is of videos, and in is of pictures; leave it out"),
        (
            "in/b.png",
            ("--detect-every", "10"),
            "--detect-every is of videos, and in/b.png is of pictures; leave it out",
        ),
        ("91", (), "camera 91 cannot be opened"),
        ("20231105123456", (), "20231105123456: no such picture, folder or video, nor the number of a camera"),
        ("9" * 99, (), "99: no such picture, folder or video, nor the number of a camera"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    workdir, folder, tmp_path, capsys, monkeypatch, source, extra, message
):
    monkeypatch.chdir(tmp_path)
    (folder / "sub").mkdir()
    written(tmp_path / "other.json", {"c.png": [[1, 2, 3, 4]]})
    status, _, wrong = call(capsys, source, "--workdir", workdir, "--out", "out", *extra)
    assert status == 1 and message in wrong and len(wrong.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_told_before_the_model_is_loaded(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Predictor, "load", lambda *_: pytest.fail("loaded"))
    (tmp_path / "file").write_text("no folder")
    for out, why in ((tmp_path / "file", "Not a directory"), (tmp_path / "file" / "a" / "b", "Not a directory")):
        status, _, wrong = call(capsys, folder, "--out", out)
        assert (status, wrong) == (1, f"predict: --out={out}: this folder cannot be written ({why}); choose another")

    def refuse(dir):
        asked.append(dir)
        raise PermissionError(13, "Permission denied", str(dir / "tmp1x"))

    asked = []
    monkeypatch.setattr("barrel_jax.predict.annotator.tempfile.TemporaryFile", refuse)
    status, _, wrong = call(capsys, folder, "--out", tmp_path / "new" / "out")
    said = (
        f"predict: --out={tmp_path / 'new' / 'out'}: this folder cannot be written (Permission denied); choose another"
    )
    assert (status, wrong, asked) == (1, said, [tmp_path]) and not (tmp_path / "new").exists()


def test_a_compute_type_is_one_of_those_that_there_are(folder, capsys):
    with pytest.raises(SystemExit) as ended:
        main([str(folder), "--dtype", "float16"])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and "argument --dtype: invalid choice: 'float16'" in said and "bfloat16" in said


@pytest.mark.parametrize(("name", "value"), [("--unit", "pixel"), ("--category", "face")])
def test_what_is_of_a_file_of_boxes_is_refused_without_one(folder, capsys, name, value):
    with pytest.raises(SystemExit) as ended:
        main([str(folder), name, value])
    assert (
        ended.value.code == 2 and f"{name} is of the boxes of a file; give it with --boxes" in capsys.readouterr().err
    )


def test_a_video_keeps_its_frames_and_their_rate(workdir, tmp_path, capsys):
    source = video(tmp_path / "clip.mp4")
    status, said, wrong = call(capsys, source, "--workdir", workdir, "--out", tmp_path / "out")
    assert (status, wrong) == (0, "") and "clip.mp4: no face found in 10 of 10 frames" in said
    written_video = Frames(str(tmp_path / "out" / "clip.mp4"))
    assert (written_video.rate, written_video.promised) == (12.5, 10)
    first = next(iter(written_video)).astype(float)
    assert np.abs(first - noise(64, 96, 0)[..., ::-1]).mean() < 20  # coded twice, and still red is red
    assert json.loads((tmp_path / "out" / "points.json").read_text()) == []


def test_a_video_that_ends_early_is_written_as_far_as_it_goes(workdir, tmp_path, capsys):
    source = video(tmp_path / "cut.avi", frames=20, code="MJPG")
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    status, said, wrong = call(capsys, source, "--workdir", workdir, "--out", tmp_path / "out")
    there = Frames(str(tmp_path / "out" / "cut.mp4")).promised
    assert status == 1 and 5 <= there <= 12
    assert f"cut.avi: ends early: frame {there} of 20 cannot be decoded" in wrong and f"{there} frames" in said


def stretched(path, seconds):
    """The video, a Matroska file of JPEGs, with its last frame shown so many seconds later."""
    data = bytearray(path.read_bytes())
    duration = data.index(b"\x44\x89\x88") + 3
    (milliseconds,) = struct.unpack(">d", data[duration : duration + 8])
    data[duration : duration + 8] = struct.pack(">d", milliseconds + 1000 * seconds)
    # A frame of its own group (cluster): the group's time, an id E7 of a number of bytes.
    last = data.rindex(b"\x1f\x43\xb6\x75")
    time = data.index(b"\xe7", last)
    size = data[time + 1] & 0x7F
    now = int.from_bytes(data[time + 2 : time + 2 + size])
    data[time + 2 : time + 2 + size] = (now + round(1000 * seconds)).to_bytes(size)
    path.write_bytes(data)
    return path


def test_a_video_whose_frames_do_not_come_evenly_is_whole_and_it_is_said(workdir, tmp_path, capsys):
    """As of a recorded screen: its head says 12.5 frames a second of 30.8 s, and it has ten."""
    source = stretched(video(tmp_path / "screen.mkv", code="MJPG"), 30)
    frames = Frames(str(source))
    assert frames.promised > 300
    status, said, wrong = call(capsys, source, "--workdir", workdir, "--out", tmp_path / "out")
    assert (status, wrong) == (0, "")
    assert "screen.mkv: its frames do not come evenly (10 in 30.7 s, where the file says 12.5 a second)" in said
    times = [frames.time() for _ in frames]
    np.testing.assert_allclose(times, [*np.arange(8) * 0.08, 30.64, 30.72], atol=1e-3)


def matroska(path, times):
    """A file of JPEGs shown at these milliseconds, whose track says no duration of a frame."""

    def element(name, data):
        return bytes.fromhex(name) + (len(data) | 1 << 56).to_bytes(8) + data

    def number(name, value):
        return element(name, value.to_bytes(4))

    head = element("1A45DFA3", element("4282", b"matroska") + number("4287", 2) + number("4285", 2))
    track = number("D7", 1) + number("73C5", 1) + number("83", 1) + element("86", b"V_MJPEG")
    track += element("E0", number("B0", 96) + number("BA", 64))
    body = element("1549A966", number("2AD7B1", 1_000_000) + element("4489", struct.pack(">d", times[-1] + 33.0)))
    body += element("1654AE6B", element("AE", track))
    for count, milliseconds in enumerate(times):
        frame = cv2.imencode(".jpg", noise(64, 96, count))[1].tobytes()
        body += element("1F43B675", number("E7", milliseconds) + element("A3", b"\x81\0\0\x80" + frame))
    path.write_bytes(head + element("18538067", body))
    return path


def test_a_video_that_says_no_rate_has_that_of_its_frames(workdir, tmp_path, capsys):
    """OpenCV gives a thousand frames a second for it."""
    times = np.cumsum([0, *np.random.default_rng(1).integers(28, 39, 59)]).tolist()
    rate = 59_000 / times[-1]
    source = matroska(tmp_path / "screen.mkv", times)
    assert cv2.VideoCapture(str(source), cv2.CAP_FFMPEG).get(cv2.CAP_PROP_FPS) == 1000
    frames = Frames(str(source))
    assert frames.rate == pytest.approx(rate)
    np.testing.assert_allclose([frames.time() for _ in frames], np.array(times) / 1000, atol=1e-6)
    status, said, wrong = call(capsys, source, "--workdir", workdir, "--out", tmp_path / "out")
    assert (status, wrong) == (0, "")
    assert f"{source}: 1000 frames a second, as its head says, is not the rate of its frames; the drawn" in said
    fast = Frames(str(video(tmp_path / "fast.mp4", rate=480)))  # a rate that is true is kept
    assert (len(list(fast)), fast.rate, fast.promised, fast.note()) == (10, pytest.approx(480), 10, "")
    drawn = Frames(str(tmp_path / "out" / "screen.mp4"))
    assert (drawn.rate, drawn.promised) == (pytest.approx(rate, abs=0.01), 60)


@pytest.mark.parametrize("count", [6, 40])
def test_a_cameras_video_has_the_rate_at_which_frames_came(tmp_path, count):
    """Whose first one waited for the network to be compiled."""
    with VideoWriter(tmp_path / "camera-0.mp4", None) as writer:
        for number in range(count):
            writer.write(noise(64, 96, number), 3.0 * (number > 0) + number / 8)
    drawn = Frames(str(tmp_path / "camera-0.mp4"))
    assert (drawn.rate, drawn.promised) == (pytest.approx(8), count)
    assert (rate_of([]), rate_of([0.0]), rate_of([0.0, 0.0]), rate_of([0.0, 0.5])) == (30, 30, 30, 2)
    uneven = [0.0, 9.0, 9.1, 9.2, 9.3, 9.4, 9.5, 9.8, 9.9]  # a detection among the later four
    assert rate_of(uneven) == pytest.approx(4 / 0.6)


def test_a_camera_has_the_times_at_which_its_frames_came(tmp_path, monkeypatch):
    frames = Frames(str(video(tmp_path / "clip.mp4", frames=3)))
    assert [round(frames.time(), 3) for _ in frames] == [0, 0.08, 0.16]
    frames, clock = Frames(str(tmp_path / "clip.mp4")), iter([100.0, 100.25, 101.5])
    frames.is_camera = True
    monkeypatch.setattr("barrel_jax.predict.video.time.monotonic", clock.__next__)
    assert [frames.time() for _ in frames] == [0, 0.25, 1.5]


def test_pictures_without_boxes_are_left_out_and_counted(workdir, folder, tmp_path, capsys):
    """A name with other digits is of another picture; one that is nearly there is a fault."""
    for number in range(4):
        shutil.copy(folder / "b.png", folder / f"frame_{number:03}.png")
    boxes = written(tmp_path / "boxes.json", {"b.png": [[10, 20, 30, 40]], "frame_002.png": [[10, 20, 30, 40]]})
    status, said, wrong = call(capsys, folder, "--workdir", workdir, "--boxes", boxes, "--out", tmp_path / "out")
    assert (status, wrong) == (0, "") and "faces: 2;" in said
    left_out = "a b.jpg, frame_000.png, frame_001.png, ..."
    assert f"note: {boxes} has no boxes of 4 pictures of {folder}, which are left out: {left_out}\n" in said
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"b.png", "frame_002.png"}


def test_no_drawing_takes_the_place_of_a_file_that_is_there(workdir, folder, tmp_path, capsys):
    originals, links, other = (tmp_path / name for name in ("originals", "links", "other"))
    for path in (originals, links, other):
        path.mkdir()
    shutil.copy(folder / "b.png", originals / "b.png")
    (links / "b.png").symlink_to(originals / "b.png")
    (links / "clip.mp4").symlink_to(video(originals / "clip.mp4"))
    shutil.copy(folder / "a b.jpg", other / "b.png")  # somebody's of that name
    before = {path: path.read_bytes() for path in (originals / "b.png", originals / "clip.mp4", other / "b.png")}
    boxes = ("--boxes", tmp_path / "boxes.json", "--workdir", workdir)
    for source, out, more in (
        (links / "b.png", originals, boxes), (links / "clip.mp4", originals, ("--workdir", workdir)),
        (folder / "b.png", other, boxes),
    ):  # fmt: skip
        status, _, wrong = call(capsys, source, "--out", out, *more)
        name = "clip.mp4" if source.suffix == ".mp4" else "b.png"
        assert status == 1 and f"the drawing would replace {out / name}, which is there already" in wrong
    (originals / "points.json").write_text("[]")  # of an earlier call, that is
    assert call(capsys, links / "b.png", "--out", originals, *boxes)[0] == 1
    assert {path: path.read_bytes() for path in before} == before
    for _ in range(2):  # drawings of an earlier call are made anew
        assert call(capsys, folder / "b.png", "--out", tmp_path / "out", *boxes)[0] == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("points.json", '{"a.png": [[1, 2]]}'),
        ("points.json", '[{"x": 1, "y": 2}]'),
        ("points.json", "[1, 2"),
        ("points.csv", "name,east,north\nhill,1,2\n"),
    ],
)
def test_points_of_somebodys_own_are_not_replaced(workdir, folder, tmp_path, capsys, name, content):
    """Nor is a folder with them one of an earlier call, whose drawings may be made anew."""
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text(content)
    shutil.copy(folder / "a b.jpg", out / "b.png")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    common = ("--workdir", workdir, "--boxes", tmp_path / "boxes.json", "--out", out)
    status, _, wrong = call(capsys, folder / "b.png", *common)
    assert status == 1 and f"--out={out}: the points would replace {out / name}, which is there already" in wrong
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize("name", ["points.json", "points.csv"])
def test_boxes_are_not_replaced_by_the_points_found_in_them(workdir, folder, tmp_path, capsys, name):
    out = tmp_path / "out"
    common = (folder, "--workdir", workdir, "--out", out)
    assert call(capsys, *common, "--boxes", tmp_path / "boxes.json")[0] == 0
    before = (out / name).read_bytes()
    (tmp_path / "link").symlink_to(out)
    for path in (out / name, tmp_path / "link" / name):
        status, _, wrong = call(capsys, *common, "--boxes", path)
        assert status == 1 and f"the points would replace {out / name}, which --boxes reads; choose another" in wrong
    assert (out / name).read_bytes() == before
    assert call(capsys, *common, "--boxes", tmp_path / "boxes.json")[0] == 0  # of an earlier call


def test_faces_of_frames_are_recorded_until_the_user_stops(workdir, tmp_path):
    predictor = Predictor.load(workdir)
    annotator = Annotator(predictor, tmp_path)
    frame = noise(61, 93)

    def camera():
        yield from (frame for _ in range(3))
        raise KeyboardInterrupt

    class Timed(Tracker):
        def __call__(self, image, time=None):
            given.append(time)
            return super().__call__(image, time)

    given = []
    tracker = Timed(predictor, lambda image: np.array([[5.0, 6, 30, 30], [50, 20, 30, 30]]), 10.0)
    with pytest.raises(KeyboardInterrupt):
        annotator.video(camera(), 10.0, 0, "camera-0", tracker, iter([0.0, 0.1, 0.35]).__next__)
    annotator.write()
    records = json.loads((tmp_path / "points.json").read_text())
    assert [(r["frame"], r["face"]) for r in records] == [(n, face) for n in range(3) for face in range(2)]
    assert [r["time"] for r in records[::2]] == given == [0.0, 0.1, 0.35]
    with (tmp_path / "points.csv").open(newline="") as stream:
        assert [row["time"] for row in csv.DictReader(stream)][::2] == ["0.0", "0.1", "0.35"]
    assert Frames(str(tmp_path / "camera-0.mp4")).promised == 3


@pytest.mark.parametrize(("is_camera", "expected"), [(True, 0), (False, 130)])
def test_ctrl_c_ends_a_camera_as_usual_and_breaks_a_video_off(
    workdir, tmp_path, capsys, monkeypatch, is_camera, expected
):
    class Interrupted(Frames):
        def __init__(self, source):
            super().__init__(str(video(tmp_path / "clip.mp4")))
            self.source, self.is_camera = source, is_camera

        def __iter__(self):
            yield from (noise(64, 96) for _ in range(3))
            raise KeyboardInterrupt

    monkeypatch.setattr("barrel_jax.predict.__main__.Frames", Interrupted)
    source = "0" if is_camera else video(tmp_path / "clip.mp4")
    status, said, wrong = call(capsys, source, "--workdir", workdir, "--out", tmp_path / "out")
    assert (status, wrong) == (expected, "") and "stopped; what was done until now is written\n" in said
    assert Frames(str(tmp_path / "out" / ("camera-0.mp4" if is_camera else "clip.mp4"))).promised == 3
    assert json.loads((tmp_path / "out" / "points.json").read_text()) == []


def test_ctrl_c_breaks_a_folder_off(workdir, folder, tmp_path, capsys, monkeypatch):
    first, read = [], read_picture

    def read_one(path):
        if first:
            raise KeyboardInterrupt
        first.append(path)
        return read(path)

    monkeypatch.setattr("barrel_jax.predict.annotator.read_picture", read_one)
    boxes = written(tmp_path / "boxes.json", {"b.png": [[10, 20, 30, 40]], "a b.jpg": [[10, 20, 30, 30]]})
    status, said, wrong = call(capsys, folder, "--workdir", workdir, "--boxes", boxes, "--out", tmp_path / "out")
    assert (status, wrong) == (130, "") and "stopped; what was done until now is written\n" in said
    assert [r["file"] for r in json.loads((tmp_path / "out" / "points.json").read_text())] == [first[0].name]


class Broken:
    """A coder whose program ends at a frame, or at the end of all, and then says why."""

    def __init__(self, left):
        self.left = left

    def write(self, frame):
        self.left -= 1
        if self.left < 0:
            raise BrokenPipeError(32, "Broken pipe")

    def close(self):
        raise OSError("ffmpeg: No space left on device")


@pytest.mark.parametrize("rate", [10.0, None])
@pytest.mark.parametrize("left", [0, 2, 9])
@pytest.mark.parametrize("stopped", [False, True])
def test_a_drawing_that_breaks_costs_no_points(workdir, tmp_path, capsys, monkeypatch, left, rate, stopped):
    monkeypatch.setattr("barrel_jax.predict.video.choose", lambda: (lambda *_: Broken(left), "a code"))
    predictor = Predictor.load(workdir)
    annotator = Annotator(predictor, tmp_path)
    tracker = Tracker(predictor, lambda image: np.array([[5.0, 6, 30, 30]]), 10.0, every=1)

    def frames():
        yield from (noise(61, 93) for _ in range(4))
        if stopped:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) if stopped else contextlib.nullcontext():
        annotator.video(frames(), rate, 0, "clip.mp4", tracker, iter([0.0, 0.1, 0.2, 0.3]).__next__)
    annotator.write()
    assert [record["frame"] for record in json.loads((tmp_path / "points.json").read_text())] == [0, 1, 2, 3]
    (fault,) = annotator.faults
    how = "cannot be" if left < 4 else "was not"
    assert fault.startswith(f"{tmp_path / 'clip.mp4'}: this video {how} written")
    assert "(ffmpeg: No space left on device)" in fault and fault.endswith("and no more of the drawing")
    said = capsys.readouterr().out
    assert "clip.mp4: 4 frames, " in said and "coded as" not in said


def test_a_video_that_cannot_be_written_is_an_error(tmp_path):
    with (
        pytest.raises(OSError, match="cannot be written"),
        VideoWriter(tmp_path / "none" / "a.mp4", 10.0) as writer,
    ):
        writer.write(noise(64, 96))


def test_points_are_drawn_where_they_are():
    image = np.zeros((120, 160, 3), np.uint8)
    points = np.array([[[40.25, 30.5], [100.75, 80.0]]])
    dots = draw_faces(image, points, (), np.array([[0, 0, 600, 600]]))
    assert image.max() == 0
    for x, y in points[0]:
        orange = np.argwhere(dots[int(y) - 8 : int(y) + 10, int(x) - 8 : int(x) + 10, 0] > 100)
        # Whole pixels of a dot of 10 across: their mean is its centre to a quarter of a pixel.
        assert orange.mean(axis=0) + [int(y) - 8, int(x) - 8] == pytest.approx((y, x), abs=0.25)
    lines = draw_faces(image, points, ((0, 1),), np.array([[0, 0, 600, 600]]))
    assert lines[55, 70].max() > 100 and dots[55, 70].max() == 0
    far = draw_faces(image, points + 1e9, ((0, 1),), np.array([[1e9, 1e9, 30, 30]]))
    assert far.max() == 0


def test_drawings_of_pictures_of_one_name_are_kept_apart(tmp_path):
    names = drawing_names([tmp_path / name for name in ("a.jpg", "a.png", "b.png")])
    assert names == ["a.jpg.png", "a.png.png", "b.png"]
    names = drawing_names([tmp_path / name for name in ("a.jpg", "a.jpg.jpg", "a.png")])
    assert names == ["a.jpg.png", "a.jpg-2.png", "a.png.png"]
    paths = [tmp_path / f"{number:05}.jpg" for number in range(20_000)]
    began = time.process_time()
    assert drawing_names(paths)[-1] == "19999.png"
    assert time.process_time() - began < 1  # 0.1 s, and four if every name were compared with every other one
    assert make_detector("haar")(noise(64, 96)).shape == (0, 4)


def test_what_is_doubtful_of_a_search_is_said(workdir, folder, tmp_path, capsys):
    """Spots in which the cascade sees a face are counted by their scores; its boxes are not those of any points."""
    noisy = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    annotator = Annotator(Predictor.load("small"), tmp_path / "spots")
    annotator.annotate(Faces(cv2.resize(noisy, (400, 400)), np.array([[50.0, 60, 200, 200]])), "spots.png", None)
    assert annotator.unlikely == 1
    assert main([str(folder), "--workdir", str(workdir), "--out", str(tmp_path / "out")]) == 0
    assert "note: the cascade's boxes go from the brows to the chin, and this run's lie about 3 points of its own" in (
        capsys.readouterr().err
    )


def test_what_a_mac_leaves_beside_a_picture_is_no_picture(workdir, folder, tmp_path, capsys):
    (folder / "._b.png").write_bytes(b"\x00\x05\x16\x07" + bytes(100))  # AppleDouble
    (folder / ".a.jpg").write_bytes((folder / "a b.jpg").read_bytes())
    status, said, wrong = call(capsys, folder, "--workdir", workdir, "--out", tmp_path / "out")
    assert (status, wrong) == (0, "") and "3 files that are no pictures were left out (2 hidden, 1 .txt)" in said


def test_of_an_animation_the_first_picture_is_taken_and_it_is_said(workdir, folder, tmp_path, capsys):
    frames = [Image.fromarray(noise(60, 90, number)) for number in range(3)]
    for name in ("moving.gif", "moving.webp", "pages.tif"):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
    frames[0].save(folder / "still.gif")
    status, said, wrong = call(capsys, folder, "--workdir", workdir, "--out", tmp_path / "out")
    assert (status, wrong) == (0, "")
    for name in ("moving.gif", "moving.webp", "pages.tif"):
        assert f"note: {folder / name}: it holds 3 pictures, and the first alone is taken" in said
    assert said.count("it holds") == 3
