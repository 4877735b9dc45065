# SPDX-License-Identifier: Apache-2.0
"""The faces of a video from frame to frame: each keeps its number, and most frames need no detector.

A frame's faces are looked for where those of the last one are expected: the box of a face moves with its pixels
(flow.py) and is drawn to that of its points. The detector runs in every n-th frame, while a face is lost or in doubt,
and while one is new whose model has no score. What is found is given to the faces by the cheapest assignment (Kuhn
1955), so that two that cross keep their numbers: one that is hidden by the other goes on as it moved before, until a
detector finds it again.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.optimize import linear_sum_assignment

from barrel_jax.faces.box_fit import fit_of_landmarks
from barrel_jax.predict.detectors import Detector, overlaps
from barrel_jax.predict.face import Face
from barrel_jax.predict.predictor import AnyImage, as_boxes, box_fault, check
from barrel_jax.predict.smoothing import Smoother
from barrel_jax.predict.tracks import GATE, LIKELY, Track, distance, same, side, tight
from barrel_jax.training.stopwatch import Stopwatch

EVERY = 10  # frames from one detection to the next, by default (docs/video.md)
AGREES = 0.3  # overlap of a detector's box with that of a face that it confirms
CLOSE = 0.1  # overlap of the boxes of two faces one of which may hide the other
TRIAL = 2  # detections that have to confirm a new face, unless its score does
LOST = 1.5  # seconds until a face is given up that is not found, or that no detector confirms


@runtime_checkable
class Looks(Protocol):
    """What tracking wants of a predictor."""

    stopwatch: Stopwatch

    def faces(self, image: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "n 4"]) -> list[Face]:
        """The faces in boxes of an image."""
        ...

    def boxes_around(self, points: Float[np.ndarray, "n K 2"]) -> Float[np.ndarray, "n 4"] | None:
        """The boxes that belong to points, None where that is not known."""
        ...


class Tracked(NamedTuple):
    """A face in a frame."""

    number: int  # the same in all frames, counted from 0 in the order in which faces come up
    face: Face  # with points that are smoothed


class _Find(NamedTuple):
    face: Face
    box: Float[np.ndarray, " 4"]  # around its points
    detected: Float[np.ndarray, " 4"] | None = None  # the detector's box, where it finds the face too
    sure: bool = True  # whether it is where the pixels of the last frame say


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
            predictor: a `Predictor`.
            detect: finds the faces of a frame.
            rate: frames per second, which gives the time between frames where they come without times of their own.
            smoother: makes what smooths the points of one face (`smoothing.make_smoother`).
            every: frames from one detection to the next, 1 or more.

        Raises:
            ValueError: the rate is not above 0, or `every` below 1.
        """
        if not (rate > 0 and every >= 1):
            raise ValueError(f"rate={rate} must be above 0 frames per second, and every={every} at least 1")
        self._predictor, self._detect, self._smoother = predictor, detect, smoother
        self._every, self._rate = every, rate
        self._tracks: list[Track] = []
        self._frame = 0
        self._shown: float | None = None  # the time that was given with the last frame
        self._elapsed = self._clock = 0.0  # seconds since the frame before, and of all frames
        self._shape: tuple[int, ...] = ()  # of the frames
        self.count = 0  # faces that came up
        self.detections = 0  # frames in which the detector ran

    def __call__(self, image: AnyImage, time: float | None = None) -> list[Tracked]:
        """The faces of the next frame, the oldest first.

        Args:
            image: RGB uint8 [H, W, 3].
            time: when the frame is shown, in seconds from any moment on. None is 1 / rate after the one before, which
                is also taken for a frame that is not later than that, as where two recordings are joined.

        Raises:
            ValueError: it is no such image, or of another size than the frames before, or its time is not finite.
        """
        check(image, np.empty((0, 4)), f"frame {self._frame}: ")
        if self._shape not in ((), image.shape):
            height, width, _ = image.shape
            was = f"{self._shape[1]}x{self._shape[0]}"
            raise ValueError(f"frame {self._frame}: {width}x{height}, those before it {was}; begin another Tracker")
        if time is not None and not math.isfinite(time):
            raise ValueError(f"frame {self._frame}: time={time} is no number of seconds; leave it out where it is open")
        self._shape = image.shape
        elapsed = 0.0 if time is None or self._shown is None else float(time - self._shown)
        self._elapsed, self._shown = elapsed if elapsed > 0 else 1 / self._rate, time
        self._clock += self._elapsed
        with self._predictor.stopwatch.during("track"):
            return self._next(image)

    def _next(self, image: UInt8[np.ndarray, "H W 3"]) -> list[Tracked]:
        for track, crowded in zip(self._tracks, self._crowded().tolist(), strict=True):
            track.expect(image, crowded, self._elapsed)
        self._tracks = [track for track in self._tracks if track.in_sight(image)]
        finds = self._known(image)
        doubts = any(track.trials or track.lost or not track.sure for track in self._tracks)
        detects = self._frame % self._every == 0 or doubts or len(finds) < len(self._tracks)
        if detects:
            finds = self._detected(image, finds)
        shown = self._assign(image, finds)
        self._tracks = [
            track
            for track in self._tracks
            if self._awaited(track) and not (detects and track.trials and track.confirmed[0] < self._frame)
        ]
        self._frame += 1
        return [Tracked(track.number, shown[track.number]) for track in self._tracks if track.number in shown]

    def _awaited(self, track: Track) -> bool:
        """Whether the last word of a face is not older than `LOST`, to a frame, or three detections."""
        frame, time = track.confirmed
        return self._clock - time <= LOST + 0.5 / self._rate or self._frame - frame <= 3 * self._every

    def _known(self, image: UInt8[np.ndarray, "H W 3"]) -> list[_Find]:
        """What is where the faces of the last frame are expected, each face once."""
        tracks = [track for track in self._tracks if not track.lost]
        faces = self._predictor.faces(image, np.array([track.box for track in tracks]).reshape(-1, 4))
        finds: list[_Find] = []
        for track, face in zip(tracks, faces, strict=True):
            box = self._around(face, track)
            if track.plausible(face, box) and not any(same(face, other.face) for other in finds):
                finds.append(_Find(face, box, sure=track.sure))
        return finds

    def _detected(self, image: UInt8[np.ndarray, "H W 3"], finds: list[_Find]) -> list[_Find]:
        """The same finds, those that the detector finds too marked so, and what it finds besides."""
        self.detections += 1
        with self._predictor.stopwatch.during("detect"):
            boxes = as_boxes(self._detect(image), f"frame {self._frame}: the detector's ")
        boxes = boxes[[not box_fault(box, image) for box in boxes]]
        common = overlaps(boxes, np.array([find.face.box for find in finds]).reshape(-1, 4))
        for number in np.flatnonzero((common > AGREES).any(axis=0)).tolist():
            finds[number] = finds[number]._replace(detected=boxes[common[:, number].argmax()])
        for face in self._predictor.faces(image, boxes[~(common > AGREES).any(axis=1)]):
            twin = next((number for number, find in enumerate(finds) if same(face, find.face)), None)
            if twin is not None:
                finds[twin] = finds[twin]._replace(detected=face.box)
            elif face.score is None or face.score >= LIKELY:
                finds.append(_Find(face, self._around(face, None), face.box))
        # Points are found in a wall, too: where the pixels changed, somebody else has to see a face.
        return [find for find in finds if find.sure or find.detected is not None or find.face.score is not None]

    def _assign(self, image: UInt8[np.ndarray, "H W 3"], finds: Sequence[_Find]) -> dict[int, Face]:
        """Gives the finds to the tracks, and those that are left to new ones; the faces by their tracks' numbers."""
        known = list(self._tracks)
        costs = np.array([[distance(track.box, find.box) for find in finds] for track in known])
        costs = costs.reshape(len(known), len(finds))
        reach = np.array([GATE * (1 + track.unseen) for track in known])[:, None]
        rows, columns = linear_sum_assignment(np.where(costs > reach, 1e3, costs))
        matched = {row: column for row, column in zip(rows, columns, strict=True) if costs[row, column] <= reach[row]}
        shown = {}
        for row, track in enumerate(known):
            if row in matched:
                shown[track.number] = self._show(image, track, finds[matched[row]])
            else:
                track.miss(self._elapsed)
        for column in sorted(set(range(len(finds))) - set(matched.values())):
            if finds[column].detected is not None:
                track = self._begin(finds[column])
                shown[track.number] = self._show(image, track, finds[column])
        return shown

    def _begin(self, find: _Find) -> Track:
        face, trials = find.face, TRIAL + 1 if find.face.score is None else 0
        fit = None
        if self._predictor.boxes_around(face.points[None]) is None:
            fit = fit_of_landmarks(face.box[None], face.points[None], np.ones((1, len(face.points)), bool))
        track = Track(self.count, find.box, face.points, fit, self._smoother(), (self._frame, self._clock), trials)
        self._tracks.append(track)
        self.count += 1
        return track

    def _show(self, image: UInt8[np.ndarray, "H W 3"], track: Track, find: _Find) -> Face:
        """A track's face in this frame."""
        face = find.face
        if track.lost > 1:  # where it comes back has nothing to do with where it went
            track.smoother = self._smoother()
        track.show(image, face.points, find.box, find.detected)
        if find.detected is not None or face.score is not None:
            track.confirmed, track.trials = (self._frame, self._clock), max(track.trials - 1, 0)
        if track.smoother is None:
            return face
        points = track.smoother(face.points, face.sigma, side(tight(face.points)), self._elapsed)
        return dataclasses.replace(face, points=points.astype(np.float32))

    def _around(self, face: Face, track: Track | None) -> Float[np.ndarray, " 4"]:
        """The box that belongs to the points of a face."""
        boxes = self._predictor.boxes_around(face.points[None])
        if boxes is not None:
            return boxes[0]
        return face.box if track is None or track.fit is None else track.fit.apply(tight(face.points)[None])[0]

    def _crowded(self) -> Bool[np.ndarray, " n"]:
        """Which of the faces are near another one."""
        boxes = np.array([track.box for track in self._tracks]).reshape(-1, 4)
        near = overlaps(boxes, boxes) > CLOSE
        np.fill_diagonal(near, False)
        return np.asarray(near.any(axis=1))
