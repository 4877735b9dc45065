# SPDX-License-Identifier: Apache-2.0
"""Tracking, smoothing, thinning and coding, against what is worked out by hand or drawn."""

import dataclasses
import os
import shutil

import cv2
import numpy as np
import pytest

from barrel_jax.predict import codecs
from barrel_jax.predict.detectors import overlaps, thin
from barrel_jax.predict.face import Face
from barrel_jax.predict.flow import motion, moved_box, view
from barrel_jax.predict.records import Records
from barrel_jax.predict.smoothing import Kalman, OneEuro, make_smoother
from barrel_jax.predict.tracking import Tracker
from barrel_jax.predict.tracks import bent
from barrel_jax.training.stopwatch import Stopwatch


def test_one_euro_is_the_papers_formula():
    """alpha = 1 / (1 + tau / T), tau = 1 / (2 pi f), of the speed first and then of the place (algorithm 1)."""
    smooth = OneEuro(10.0, cutoff=1.0, slope=0.5, speed_cutoff=2.0)
    first, second = np.array([[0.0, 0.0]]), np.array([[5.0, 0.0]])
    assert smooth(first, None, 10.0)[0, 0] == 0
    speed = 50.0 / (1 + 10 / (2 * np.pi * 2))
    share = 1 / (1 + 10 / (2 * np.pi * (1 + 0.5 * speed / 10)))
    assert smooth(second, None, 10.0)[0] == pytest.approx([5 * share, 0])


def test_one_euro_takes_a_frame_that_is_skipped_for_a_longer_one():
    points = np.array([[[0.0, 0]], [[3.0, 1]], [[5.0, -2]]])
    fast, slow = OneEuro(20.0), OneEuro(10.0)
    for given in points:
        expected = slow(given, None, 10.0)
        assert fast(given, None, 10.0) == pytest.approx(expected)
        fast.skip(10.0)


def test_kalman_weighs_as_the_covariances_say():
    smooth = Kalman(1.0, noise=0.1, acceleration=0.0, velocity=1.0)  # a side of 10: sd 1 px, and 10 px a frame
    smooth(np.array([[0.0, 0.0]]), None, 10.0)
    # The predicted variance is 1 + 100 and that of the measurement 1.
    assert smooth(np.array([[6.0, 0.0]]), None, 10.0)[0, 0] == pytest.approx(6 * 101 / 102)
    sure, unsure = Kalman(1.0), Kalman(1.0)
    for filter_, sigma in ((sure, 0.5), (unsure, 50.0)):
        filter_(np.zeros((1, 2)), np.full(1, sigma), 10.0)
        filter_.last = filter_(np.full((1, 2), 3.0), np.full(1, sigma), 10.0)
    assert sure.last[0, 0] > 2.5 > unsure.last[0, 0]


def test_kalman_goes_on_through_a_frame_that_is_skipped():
    """Two steps of place and covariance by hand, of a second each, without acceleration."""
    smooth = Kalman(1.0, noise=0.1, acceleration=0.0, velocity=1.0)
    smooth.skip(10.0)  # nothing is there yet
    smooth(np.array([[0.0, 0.0]]), None, 10.0)
    smooth.skip(10.0)
    assert smooth(np.array([[6.0, 0.0]]), None, 10.0)[0, 0] == pytest.approx(6 * (1 + 4 * 100) / (2 + 4 * 100))


@pytest.mark.parametrize("kind", [OneEuro, Kalman])
def test_frames_are_smoothed_by_their_own_times_whatever_the_rate(kind):
    points = np.array([[[0.0, 0]], [[3.0, 1]], [[5.0, -2]], [[4.0, 0]]])
    timed, even = kind(1000.0), kind(20.0)
    for given in points[:3]:
        assert timed(given, None, 10.0, 0.05) == pytest.approx(even(given, None, 10.0))
    timed.skip(10.0, 0.02)
    timed.skip(10.0, 0.03)
    assert timed(points[3], None, 10.0, 0.05)[0, 0] != pytest.approx(even(points[3], None, 10.0)[0, 0], abs=1e-3)


def test_a_smoother_takes_a_longer_step_for_what_it_is():
    """A quarter of a second after the first frame, whatever the rate says, by hand."""
    euro = OneEuro(100.0, cutoff=1.0, slope=0.0)
    euro(np.zeros((1, 2)), None, 10.0, 0.01)
    euro.skip(10.0, 0.2)
    assert euro(np.array([[5.0, 0]]), None, 10.0, 0.05)[0, 0] == pytest.approx(5 / (1 + 1 / (2 * np.pi * 0.25)))
    kalman = Kalman(100.0, noise=0.1, acceleration=0.0, velocity=1.0)  # sd 1 px, and 10 px a second
    kalman(np.zeros((1, 2)), None, 10.0, 0.01)
    kalman.skip(10.0, 0.2)
    variance = 1 + (10 * 0.25) ** 2
    assert kalman(np.array([[6.0, 0]]), None, 10.0, 0.05)[0, 0] == pytest.approx(6 * variance / (variance + 1))


@pytest.mark.parametrize("name", ["one-euro", "kalman"])
def test_noise_is_taken_away_and_an_even_motion_is_followed(name):
    rng, smooth = np.random.default_rng(0), make_smoother(name, 30.0)()
    truth = np.arange(200.0)[:, None, None] + np.zeros((1, 4, 2))
    noisy = truth + rng.normal(0, 1, truth.shape)
    found = np.stack([smooth(points, None, 100.0) for points in noisy])[60:]
    assert (found - truth[60:]).std() < 0.7
    assert abs((truth[60:] - found).mean()) < 2  # pixels at one a frame: frames of lag
    with pytest.raises(ValueError, match="'median' is none of none, one-euro, kalman"):
        make_smoother("median", 30.0)


def test_overlapping_and_tiny_finds_are_thinned():
    boxes = np.array([[0, 0, 40, 40], [4, 0, 40, 40], [10, 10, 20, 20], [100, 0, 30, 30], [200, 0, 11, 11.0]])
    assert overlaps(boxes, boxes)[0, 1] == pytest.approx(36 * 40 / (44 * 40))
    assert thin(boxes).tolist() == [[0, 0, 40, 40], [100, 0, 30, 30]]
    assert thin(boxes, np.array([0.1, 0.9, 0.2, 0.3, 1.0])).tolist() == [[4, 0, 40, 40], [100, 0, 30, 30]]
    assert thin(np.zeros((0, 4))).shape == (0, 4)


def test_a_face_is_followed_by_its_pixels():
    rng = np.random.default_rng(0)
    texture = cv2.resize(rng.integers(0, 256, (60, 80, 3), np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC)
    matrix = np.array([[1.02, 0, 3.25], [0, 1.02, -2.5]])
    after = cv2.warpAffine(texture, matrix, (640, 480), flags=cv2.INTER_CUBIC)
    box, points = np.array([200.0, 150, 120, 140]), rng.uniform([200, 150], [320, 290], (68, 2))
    found, share = motion(view(texture, box), after, points)
    middle = np.array([260.0, 220, 1])
    assert share > 0.8 and found @ middle == pytest.approx(matrix @ middle, abs=0.1)
    expected = matrix @ [259.5, 219.5, 1] + 0.5
    moved = moved_box(matrix, box)
    assert moved[:2] + moved[2:] / 2 == pytest.approx(expected) and moved[2:] == pytest.approx(1.02 * box[2:])
    assert motion(view(texture, box), after[:100], points) is None  # a frame of another size


def test_a_shape_that_is_moved_turned_and_scaled_is_not_bent():
    points = np.random.default_rng(0).uniform(0, 100, (20, 2))
    turn = 1.3 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    assert bent(points, points @ turn.T + 7) == pytest.approx(0, abs=1e-9)
    assert bent(points, points[::-1]) > 0.2


def test_records_do_not_stay_in_memory(tmp_path):
    import tracemalloc

    records = Records(tmp_path, 68, lambda: False)
    record = {"file": "a.mp4", "frame": 0, "face": 0, "box": [1.0] * 4, "points": [[1.0, 2.0]] * 68}
    records.add(record)
    tracemalloc.start()
    for _ in range(2000):
        records.add(record)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 50_000 and records.count == 2001  # they would take 1.3 MB as text
    assert [path.name for path in records.write()] == ["points.json", "points.csv"]
    assert next(iter(records)) == record and len((tmp_path / "points.csv").read_text().splitlines()) == 2002
    assert sorted(os.listdir(tmp_path)) == ["points.csv", "points.json"]


def test_what_browsers_play_is_written_where_ffmpeg_is(tmp_path):
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg on the path")
    coder = codecs.FFmpegCoder(tmp_path / "a:b.mp4", 30.0, (101, 61), codecs._listed()[0])
    for level in (50, 100, 200):
        coder.write(np.full((61, 101, 3), level, np.uint8))
    coder.close()
    capture = cv2.VideoCapture(str(tmp_path / "a:b.mp4"), cv2.CAP_FFMPEG)
    assert int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little") in (b"avc1", b"h264")
    levels = [frame.mean() for there, frame in (capture.read() for _ in range(3))]
    assert levels == pytest.approx([50, 100, 200], abs=4)
    broken = codecs.FFmpegCoder(tmp_path / "none" / "a.mp4", 30.0, (100, 60), codecs._listed()[0])
    with pytest.raises(OSError, match=r"ffmpeg: .*|Broken pipe"):
        broken.close()


def test_an_ffmpeg_that_does_not_start_is_none(tmp_path, monkeypatch):
    (tmp_path / "ffmpeg").write_bytes(b"\x7fELF of another processor")
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert codecs._listed() == []
    begin, words = codecs.choose.__wrapped__()
    assert words.startswith(("Motion JPEG", "H.264, which browsers play (OpenCV)"))
    begin(tmp_path / "a.mp4", 30.0, (100, 60)).close()


def test_without_an_encoder_frames_are_coded_as_motion_jpeg_and_it_is_said(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(codecs, "_works", lambda begin: False)
    begin, words = codecs.choose.__wrapped__()
    assert words.startswith("Motion JPEG, which players play and browsers do not; for H.264 put ffmpeg on the path")
    coder = begin(tmp_path / "a.mp4", 30.0, (100, 60))
    for level in (50, 100, 200):
        coder.write(np.full((60, 100, 3), level, np.uint8))
    coder.close()
    capture = cv2.VideoCapture(str(tmp_path / "a.mp4"), cv2.CAP_FFMPEG)
    assert int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little") == b"MJPG"
    assert [frame.mean() for _, frame in (capture.read() for _ in range(3))] == pytest.approx([50, 100, 200], abs=4)
    assert capfd.readouterr() == ("", "")


class Marks:
    """Finds the points of coloured discs in boxes: a predictor whose faces nobody has to train."""

    def __init__(self):
        self.stopwatch = Stopwatch("other")

    def boxes_around(self, points):
        low, high = points.min(axis=1), points.max(axis=1)
        return np.concatenate([low, high - low], axis=1)

    def faces(self, image, boxes):
        found = []
        for box in boxes:
            x, y, w, h = np.round(box).astype(int)
            part = image[max(y, 0) : y + h, max(x, 0) : x + w]
            ys, xs = np.nonzero(part.max(axis=2) - part.min(axis=2).astype(int) > 80)
            centre = (xs.mean() + max(x, 0), ys.mean() + max(y, 0)) if len(xs) else (x + w / 2, y + h / 2)
            ring = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [0, 0.3]]) * 24
            found.append(Face(box, (np.array(centre) + ring).astype(np.float32)))
        return found


def discs(places):
    """A frame with a textured disc of its own colour at each place, the last in front."""
    frame = np.full((200, 400, 3), 128, np.uint8)
    texture = cv2.resize(np.random.default_rng(0).integers(0, 70, (12, 12), np.uint8), (60, 60))
    ys, xs = np.mgrid[:60, :60] - 29.5
    for number, (x, y) in enumerate(places):
        patch = frame[y - 30 : y + 30, x - 30 : x + 30]
        colour = np.stack([texture] * 3, axis=2)
        colour[..., number] += 180
        patch[np.hypot(xs, ys) < 30] = colour[np.hypot(xs, ys) < 30]
    return frame


def find_discs(image):
    boxes = []
    for channel in range(3):
        others = np.delete(image.astype(int), channel, axis=2).max(axis=2)
        mask = image[..., channel] > others + 80
        if mask.sum() > 1500:  # of 2,827: most of it is seen
            ys, xs = np.nonzero(mask)
            boxes.append([xs.mean() - 24, ys.mean() - 24, 48, 48])
    return np.array(boxes, np.float64).reshape(-1, 4)


def test_faces_that_cross_keep_their_numbers_and_new_ones_get_new_ones():
    tracker, numbers = Tracker(Marks(), find_discs, 30.0), []
    for frame in range(46):
        places = [(60 + 6 * frame, 100), (340 - 6 * frame, 104)]
        tracked = tracker(discs(places))
        middles = {t.number: t.face.points[:4].mean(axis=0) for t in tracked}
        numbers.append(
            [min(middles, key=lambda n: np.linalg.norm(middles[n] - place), default=None) for place in places]
        )
    assert numbers[0] == numbers[-1] and sorted(numbers[0]) == [0, 1]
    assert tracker.count == 2 and tracker.detections < 46
    assert all(tracker(discs([])) == [] for _ in range(60))  # all are gone for two seconds
    assert [t.number for t in tracker(discs([(100, 60)]))] in ([], [2])
    assert [[t.number for t in tracker(discs([(100, 60)]))] for _ in range(10)][-1] == [2]


class Sighted(Marks):
    """Finds the only disc of a frame exactly, whatever the box."""

    def faces(self, image, boxes):
        found = super().faces(image, np.tile([0.0, 0, 400, 200], (len(boxes), 1)))
        return [dataclasses.replace(face, box=box) for face, box in zip(found, boxes, strict=True)]


def test_a_face_that_a_frame_does_not_show_goes_on_as_evenly_as_before():
    tracker, errors = Tracker(Sighted(), find_discs, 30.0, make_smoother("kalman", 30.0)), []
    for frame in range(40):
        x = 50 + 8 * frame
        tracked = tracker(discs([] if frame == 30 else [(x, 100)]))
        errors.append([t.face.points[0, 0] - (x - 0.5 - 24) for t in tracked])
    assert errors.pop(30) == [] and tracker.count == 1
    assert np.ravel(errors[25:]) == pytest.approx(np.zeros(14), abs=0.05)


@pytest.mark.parametrize("name", ["one-euro", "kalman"])
def test_times_of_frames_take_the_place_of_a_wrong_rate(name):
    """As of a Matroska file whose head says 1000 frames a second; times may count from anywhere."""
    places = [[(int(200 + 60 * np.sin(frame / 9)), 100)] if not 20 <= frame < 24 else [] for frame in range(40)]
    timed = Tracker(Sighted(), find_discs, 1000.0, make_smoother(name, 1000.0))
    even = Tracker(Sighted(), find_discs, 30.0, make_smoother(name, 30.0))
    for number, place in enumerate(places):
        found, expected = timed(discs(place), 7 + number / 30), even(discs(place))
        assert [face.number for face in found] == [face.number for face in expected]
        for one, other in zip(found, expected, strict=True):
            assert one.face.points == pytest.approx(other.face.points, abs=1e-3)
    assert even.count == 1


@pytest.mark.parametrize(("gap", "number"), [(0.1, 1), (0.01, 0)])
def test_a_face_is_waited_for_so_many_seconds_not_frames(gap, number):
    """Forty frames without it are four seconds of ten frames, and 0.4 of a hundred."""
    tracker = Tracker(Sighted(), find_discs, 30.0, every=1)
    time = iter(np.arange(100) * gap).__next__
    for _ in range(4):
        tracker(discs([(100, 100)]), time())
    for _ in range(40):
        tracker(discs([]), time())
    assert [[t.number for t in tracker(discs([(100, 100)]), time())] for _ in range(4)][-1] == [number]


def test_a_time_that_goes_back_counts_as_one_frame_and_none_that_is_no_number():
    tracker = Tracker(Sighted(), find_discs, 30.0, make_smoother("kalman", 30.0))
    even = Tracker(Sighted(), find_discs, 30.0, make_smoother("kalman", 30.0))
    for number, time in enumerate((0.0, 1 / 30, 2 / 30, 0.0, 0.0, 1 / 30)):
        (found,), (expected,) = (one(discs([(100 + 5 * number, 100)]), *given) for one, given in (
            (tracker, (time,)), (even, ()),
        ))  # fmt: skip
        assert found.face.points == pytest.approx(expected.face.points, abs=1e-3)
    with pytest.raises(ValueError, match="frame 6: time=nan is no number of seconds; leave it out where it is open"):
        tracker(discs([(100, 100)]), float("nan"))


def test_a_find_that_no_detection_confirms_is_dropped_at_once():
    calls = iter([np.array([[50.0, 50, 48, 48]])])
    tracker = Tracker(Marks(), lambda image: next(calls, np.zeros((0, 4))), 30.0)
    assert [len(tracker(discs([(100, 100)]))) for _ in range(4)] == [1, 0, 0, 0]


@pytest.mark.parametrize(
    "frame, message",
    [
        (
            np.zeros((120, 160), np.uint8),
            r"frame 1: an image is uint8 \[H, W, 3\] in RGB, this one is uint8 \[120, 160\]",
        ),
        (np.zeros((120, 80, 3), np.uint8), "frame 1: 80x120, those before it 160x120; begin another Tracker"),
    ],
)
def test_a_frame_unlike_those_before_is_refused(frame, message):
    tracker = Tracker(Marks(), find_discs, 30.0)
    tracker(np.zeros((120, 160, 3), np.uint8))
    with pytest.raises(ValueError, match=message):
        tracker(frame)


def test_a_detector_of_any_form_is_heard():
    """Lists of boxes too, none among them; what is no box is told in the words of `predict`."""
    for boxes in ([[76, 76, 48, 48]], [(76, 76, 48, 48), (900, 900, 5, 5)]):
        tracker = Tracker(Marks(), lambda image, boxes=boxes: boxes, 30.0)
        assert len(tracker(discs([(100, 100)]))) == 1
    assert Tracker(Marks(), lambda image: [], 30.0)(discs([(100, 100)])) == []
    for wrong, shape in ((None, r"\[\]"), ([[1, 2, 3, 4, 0.9]], r"\[1, 5\]")):
        with pytest.raises(ValueError, match=f"frame 0: the detector's boxes are x, y, w, h .* these are {shape}"):
            Tracker(Marks(), lambda image, wrong=wrong: wrong, 30.0)(discs([(100, 100)]))
    for given in ({"rate": 0.0}, {"rate": 30.0, "every": 0}, {"rate": float("nan")}):
        with pytest.raises(ValueError, match=r"must be above 0 frames per second, and every=.* at least 1"):
            Tracker(Marks(), find_discs, **given)
