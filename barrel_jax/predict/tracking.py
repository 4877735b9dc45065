# SPDX-License-Identifier: Apache-2.0
"""The faces of a video from frame to frame: each keeps its number, and most frames need no detector.

A frame's faces are looked for where the frames before say that they are: around the last points, moved on by a Kalman
filter of the box around them. The detector runs in every n-th frame, while a face is new or lost, and when there are
none. What is found is given to the faces by the cheapest assignment (Kuhn 1955), so that two that cross keep theirs:
one that is hidden by the other goes on as it moved before, until a detector finds it again.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from barrel_jax.faces.box_fit import BoxFit, fit_of_landmarks
from barrel_jax.predict.detectors import Detector, overlaps
from barrel_jax.predict.face import Face
from barrel_jax.predict.smoothing import Kalman, Smoother
from barrel_jax.training.stopwatch import Stopwatch

EVERY = 10  # frames from one detection to the next, by default (docs/video.md)
# Lengths are in sides of the face, the root of width times height of the tight box around its points.
GATE = 0.5  # how far the corners of a face may be from where they were expected
GROWN = 1.5  # how much larger or smaller a face may be than expected
BENT = 0.12  # how far points may lie, in the root mean square, from those before, moved, turned and scaled
SAME = 0.25  # mean distance of the points of two finds that are one face
AGREES = 0.3  # overlap of a detector's box with that of a face that it confirms
TRIAL = 2  # detections that have to confirm a new face, unless its score does
LIKELY = 0.5  # score of a face
LOST = 1.5  # seconds until a face that is not found is given up, and one that no detector confirms
CROSSING = 10.0  # how much less exact the box of a face is that overlaps another one


class Looks(Protocol):
    """What tracking wants of a predictor."""

    stopwatch: Stopwatch

    def faces(self, image: np.ndarray, boxes: np.ndarray) -> list[Face]:
        """The faces in boxes [n, 4] of an image [H, W, 3]."""
        ...

    def boxes_around(self, points: np.ndarray) -> np.ndarray | None:
        """The boxes [n, 4] that belong to points [n, K, 2], None where that is not known."""
        ...


class Tracked(NamedTuple):
    """A face in a frame."""

    number: int  # the same in all frames, counted from 0 in the order in which faces come up
    face: Face  # with points that are smoothed


@dataclasses.dataclass
class _Track:
    number: int
    motion: Kalman  # of the corners of the tight box around the points
    smoother: Smoother | None
    fit: BoxFit | None  # from the tight box to the one that the model wants, where the predictor does not know
    points: np.ndarray  # [K, 2] in the last frame that shows it, as predicted
    confirmed: int  # the last frame in which a detector, or its score, said that it is a face
    trials: int = 0  # detections that still have to agree
    lost: int = 0  # frames since it was seen

    def expected(self) -> np.ndarray:
        """The corners [2, 2] of the tight box in the next frame."""
        return self.motion.predicted()


class _Find(NamedTuple):
    face: Face
    detected: bool  # by the detector, not where a track is

    @property
    def corners(self) -> np.ndarray:
        return _corners(self.face.points)


class Tracker:
    """Finds, numbers and smooths the faces of frame after frame."""

    def __init__(
        self,
        predictor: Looks,
        detect: Detector,
        rate: float,
        smoother: Callable[[], Smoother | None] = lambda: None,
        every: int = EVERY,
    ) -> None:
        """Begins before the first frame.

        Args:
            rate: frames per second.
            smoother: makes what smooths the points of one face (`smoothing.make_smoother`).
            every: frames from one detection to the next, 1 or more.
        """
        self._predictor, self._detect, self._smoother = predictor, detect, smoother
        self._rate, self._every = rate, every
        self._patience = max(round(LOST * rate), 2 * every)
        self._tracks: list[_Track] = []
        self._frame = self._count = 0
        self.detections = 0  # frames in which the detector ran

    def __call__(self, image: np.ndarray) -> list[Tracked]:
        """The faces of the next frame, RGB uint8 [H, W, 3], the oldest first."""
        self._tracks = [track for track in self._tracks if _in_sight(track, image)]
        finds = self._known(image)
        due = self._frame % self._every == 0 or any(track.trials or track.lost for track in self._tracks)
        missing = len(finds) < len(self._tracks)
        if due or missing:
            finds = self._detected(image, finds)
        seen = self._assign(finds)
        if due or missing:
            self._tracks = [track for track in self._tracks if not track.trials or track.confirmed == self._frame]
        limit = self._frame - self._patience
        self._tracks = [track for track in self._tracks if track.confirmed >= limit]
        self._frame += 1
        return [Tracked(track.number, seen[track.number]) for track in self._tracks if track.number in seen]

    def _known(self, image: np.ndarray) -> list[_Find]:
        """What is where the tracks of the last frame are expected: faces, each once."""
        tracks = [track for track in self._tracks if not track.lost]
        boxes = np.array([self._box(track) for track in tracks]).reshape(-1, 4)
        found = self._predictor.faces(image, boxes)
        finds: list[_Find] = []
        for track, face in zip(tracks, found, strict=True):
            find = _Find(face, False)
            if _plausible(track, find) and not any(_same(face, other.face) for other in finds):
                finds.append(find)
        return finds

    def _detected(self, image: np.ndarray, finds: list[_Find]) -> list[_Find]:
        """The finds, those that a detector finds too as such, and more of its own."""
        self.detections += 1
        with self._predictor.stopwatch.during("detect"):
            boxes = self._detect(image)
        agreed = overlaps(boxes, np.array([find.face.box for find in finds]).reshape(-1, 4)) > AGREES
        finds = [
            find._replace(detected=bool(agrees)) for find, agrees in zip(finds, agreed.any(axis=0), strict=True)
        ]
        for face in self._predictor.faces(image, boxes[~agreed.any(axis=1)]):
            doubtful = face.score is not None and face.score < LIKELY
            twin = next((number for number, find in enumerate(finds) if _same(face, find.face)), None)
            if twin is not None:
                finds[twin] = finds[twin]._replace(detected=True)
            elif not doubtful:
                finds.append(_Find(face, True))
        return finds

    def _assign(self, finds: Sequence[_Find]) -> dict[int, Face]:
        """Gives the finds to the tracks, and new tracks to those that are left; the faces by their tracks' numbers."""
        expected = [track.expected() for track in self._tracks]
        costs = np.array([[_distance(corners, find.corners) for find in finds] for corners in expected])
        costs = costs.reshape(len(expected), len(finds))
        reach = np.array([[GATE * (1 + track.lost / self._rate)] for track in self._tracks]).reshape(-1, 1)
        far = costs > reach
        rows, columns = linear_sum_assignment(np.where(far, 1e3, costs))
        given = {row: column for row, column in zip(rows, columns, strict=True) if not far[row, column]}
        crowded = _crowded(expected)
        seen = {}
        for row, track in enumerate(self._tracks):
            if row in given:
                seen[track.number] = self._go_on(track, finds[given[row]], crowded[row])
            else:
                track.lost += 1
                track.motion.advance(_side(track.expected()))
        for column in sorted(set(range(len(finds))) - set(given.values())):
            if finds[column].detected:
                track = self._begin(finds[column].face)
                seen[track.number] = self._go_on(track, finds[column], False)
        return seen

    def _begin(self, face: Face) -> _Track:
        fit = None
        if self._predictor.boxes_around(face.points[None]) is None:
            fit = fit_of_landmarks(face.box[None], face.points[None], np.ones((1, len(face.points)), bool))
        trials = TRIAL + 1 if face.score is None else 0
        motion = Kalman(self._rate, noise=0.02, acceleration=6.0)
        track = _Track(self._count, motion, self._smoother(), fit, face.points, self._frame, trials)
        self._tracks.append(track)
        self._count += 1
        return track

    def _go_on(self, track: _Track, find: _Find, crowded: bool) -> Face:
        """A track's face in this frame."""
        face = find.face
        if track.lost > 1:  # where it comes back has nothing to do with where it went
            track.smoother = self._smoother()
        track.lost, track.points = 0, face.points
        if find.detected or face.score is not None:
            track.confirmed, track.trials = self._frame, max(track.trials - 1, 0)
        side = _side(find.corners)
        track.motion(find.corners, np.full(2, 0.02 * side * (CROSSING if crowded else 1)), side)
        if track.smoother is None:
            return face
        points = track.smoother(face.points, face.sigma, side)
        return dataclasses.replace(face, points=points.astype(np.float32))

    def _box(self, track: _Track) -> np.ndarray:
        """The box [4] in which a track's face is expected."""
        corners = track.expected()
        # The tight box of two points at its corners, whose pixels it includes by half.
        tight = np.concatenate([corners[0] + 0.5, np.maximum(corners[1] - corners[0], 1.0)])
        if track.fit is not None:
            return track.fit.apply(tight[None])[0]
        moved = track.points - _corners(track.points).mean(axis=0)
        scale = (corners[1] - corners[0]) / np.maximum(np.ptp(track.points, axis=0), 1e-6)
        boxes = self._predictor.boxes_around((moved * scale + corners.mean(axis=0))[None])
        return tight if boxes is None else boxes[0]


def _corners(points: Float[np.ndarray, "K 2"]) -> Float[np.ndarray, "2 2"]:
    """The first and the last corner of the points' box."""
    return np.stack([points.min(axis=0), points.max(axis=0)]).astype(np.float64)


def _side(corners: np.ndarray) -> float:
    """Of a box by its corners, a pixel or more."""
    return float(np.sqrt(np.maximum(corners[1] - corners[0], 1.0).prod()))


def _distance(expected: np.ndarray, found: np.ndarray) -> float:
    """Mean distance of the corners of two boxes, in sides of the first."""
    return float(np.linalg.norm(expected - found, axis=1).mean()) / _side(expected)


def _same(first: Face, second: Face) -> bool:
    """Whether two finds are one face."""
    distance = np.linalg.norm(first.points - second.points, axis=1).mean()
    return bool(distance < SAME * _side(_corners(first.points)))


def _plausible(track: _Track, find: _Find) -> bool:
    """Whether a find can be the track's face, one frame on."""
    face = find.face
    if face.score is not None and face.score < LIKELY:
        return False
    expected = track.expected()
    grown = _side(find.corners) / _side(expected)
    near = _distance(expected, find.corners) <= GATE and 1 / GROWN < grown < GROWN
    return near and bent(track.points, face.points) <= BENT


def bent(before: Float[np.ndarray, "K 2"], after: Float[np.ndarray, "K 2"]) -> float:
    """How far points lie from those before, when these are moved, turned and scaled to fit best (Procrustes).

    Root mean square distance in sides of the face. Complex numbers: the best turn and scale is one of them.
    """
    old, new = (points.astype(np.float64) @ np.array([1, 1j]) for points in (before, after))
    old, new = old - old.mean(), new - new.mean()
    turn = np.vdot(old, new) / max(float(np.vdot(old, old).real), 1e-12)
    return float(np.sqrt((np.abs(new - turn * old) ** 2).mean())) / _side(_corners(after))


def _crowded(expected: Sequence[np.ndarray]) -> np.ndarray:
    """Which of the boxes, by their corners, overlap another one."""
    boxes = np.array([[*corners[0], *(corners[1] - corners[0])] for corners in expected]).reshape(-1, 4)
    overlapping = overlaps(boxes, boxes) > 0
    np.fill_diagonal(overlapping, False)
    return overlapping.any(axis=1)


def _in_sight(track: _Track, image: np.ndarray) -> bool:
    """Whether the middle of a track's face is expected in the image, and its box is one."""
    corners = track.expected()
    middle = corners.mean(axis=0)
    height, width = image.shape[:2]
    return bool((corners[1] - corners[0] >= 1).all() and (middle >= 0).all() and (middle < [width, height]).all())
