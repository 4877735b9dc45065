# SPDX-License-Identifier: Apache-2.0
"""One face of a video: where it is expected in the next frame, and whether what is found there can be it.

Lengths without a unit are in sides of the face (`face.square_side` of its box).
"""

import dataclasses

import numpy as np
from jaxtyping import Float, UInt8

from barrel_jax.faces.box_fit import BoxFit
from barrel_jax.predict.face import Face, square_side
from barrel_jax.predict.flow import View, motion, moved_box, view
from barrel_jax.predict.smoothing import Smoother

GATE = 0.5  # how far a face may be from where it was expected
GROWN = 1.5  # how much larger or smaller it may be than expected
BENT = 0.12  # how far points may lie, in the root mean square, from those before, moved, turned and scaled
SAME = 0.25  # mean distance of the points of two finds that are one face
LIKELY = 0.5  # score of a face
STEADY, STEADY_CROWDED = 0.5, 0.8  # share of a face's pixels that has to move alike, and beside another face
# Shares of the way from the expected box to that of the points, and to the detector's, which the box goes. A model
# whose points follow its box would lead the box astray, and the detector brings it back.
DRAWN, BROUGHT = 0.03, 0.1
INERTIA = 0.7  # share of a velocity that is kept


@dataclasses.dataclass
class Track:
    """What is known of a face until now; boxes are x, y, w, h [4], such as the model wants them."""

    number: int
    box: Float[np.ndarray, " 4"]
    points: Float[np.ndarray, "K 2"]  # in the last frame that shows it, as predicted
    fit: BoxFit | None  # from the tight box of the points to its box, where the predictor does not know it
    smoother: Smoother | None
    confirmed: tuple[int, float]  # the last frame in which a detector, or its score, called it a face, and its second
    trials: int  # detections that still have to agree
    velocity: Float[np.ndarray, " 2"] = dataclasses.field(default_factory=lambda: np.zeros(2))  # pixels per second
    lost: int = 0  # frames since it was seen
    unseen: float = 0.0  # and seconds
    sure: bool = True  # whether its pixels say where it is expected
    seen: View | None = None  # its pixels in the last frame that shows it

    def expect(self, image: UInt8[np.ndarray, "H W 3"], crowded: bool, elapsed: float) -> None:
        """Moves the box to where the face is expected in a new frame: with its pixels, or as it moved before.

        Args:
            image: the frame.
            crowded: whether another face is near.
            elapsed: seconds since the frame before.
        """
        found = motion(self.seen, image, self.points) if self.seen is not None and not self.lost else None
        self.sure = found is not None and found[1] >= (STEADY_CROWDED if crowded else STEADY)
        if found is None or not self.sure:
            self.box = self.box + np.concatenate([self.velocity * elapsed, [0, 0]])
            return
        before, self.box = middle(self.box), moved_box(found[0], self.box)
        if not crowded:
            speed = (middle(self.box) - before) / elapsed
            self.velocity = INERTIA * self.velocity + (1 - INERTIA) * speed

    def show(
        self,
        image: UInt8[np.ndarray, "H W 3"],
        points: Float[np.ndarray, "K 2"],
        box: Float[np.ndarray, " 4"],
        detected: Float[np.ndarray, " 4"] | None,
    ) -> None:
        """Its points in a frame, the box [4] around them, and the detector's box, where it finds the face too."""
        self.box = self.box + (1.0 if self.lost else DRAWN) * (box - self.box)
        if detected is not None:
            self.box = self.box + BROUGHT * (detected - self.box)
        self.lost, self.unseen, self.points = 0, 0.0, points
        self.seen = view(image, self.box)

    def miss(self, elapsed: float) -> None:
        """A frame does not show it, so many seconds after the frame before."""
        self.lost += 1
        self.unseen += elapsed
        if self.smoother is not None:
            self.smoother.skip(side(tight(self.points)), elapsed)

    def plausible(self, face: Face, box: Float[np.ndarray, " 4"]) -> bool:
        """Whether a face with a box around its points can be this one, where it is expected."""
        if face.score is not None and face.score < LIKELY:
            return False
        near = distance(self.box, box) <= GATE and 1 / GROWN < side(box) / side(self.box) < GROWN
        return near and bent(self.points, face.points) <= BENT

    def in_sight(self, image: UInt8[np.ndarray, "H W 3"]) -> bool:
        """Whether the middle of the face is expected in an image."""
        x, y = middle(self.box)
        return bool(0 <= x < image.shape[1] and 0 <= y < image.shape[0])


def middle(box: Float[np.ndarray, " 4"]) -> Float[np.ndarray, " 2"]:
    """Of a box."""
    return box[:2] + box[2:] / 2


def side(box: Float[np.ndarray, " 4"]) -> float:
    """Of a square as large as a box (`square_side`), a pixel or more."""
    return max(square_side(float(box[2]), float(box[3])), 1.0)


def distance(first: Float[np.ndarray, " 4"], second: Float[np.ndarray, " 4"]) -> float:
    """Of two boxes' middles, in sides of the first."""
    return float(np.linalg.norm(middle(first) - middle(second))) / side(first)


def tight(points: Float[np.ndarray, "K 2"]) -> Float[np.ndarray, " 4"]:
    """The box from the first point to the last one."""
    low, high = points.min(axis=0), points.max(axis=0)
    return np.concatenate([low, high - low]).astype(np.float64)


def same(first: Face, second: Face) -> bool:
    """Whether two finds are one face."""
    apart = np.linalg.norm(first.points - second.points, axis=1).mean()
    return bool(apart < SAME * side(tight(first.points)))


def bent(before: Float[np.ndarray, "K 2"], after: Float[np.ndarray, "K 2"]) -> float:
    """How far points lie from those before, when these are moved, turned and scaled to fit best (Procrustes).

    Root mean square distance in sides of the points' box. As complex numbers, the best turn and scale is one of them.
    """
    old, new = (points.astype(np.float64) @ np.array([1, 1j]) for points in (before, after))
    old, new = old - old.mean(), new - new.mean()
    turn = np.vdot(old, new) / max(float(np.vdot(old, old).real), 1e-12)
    return float(np.sqrt((np.abs(new - turn * old) ** 2).mean())) / side(tight(after))
