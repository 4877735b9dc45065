# SPDX-License-Identifier: Apache-2.0
"""Drawn video clips whose points are known in every frame: a panned face, a swinging one, two that cross.

Frames are RGB uint8 [H, W, 3]; points are in their pixels, the centre of the top-left one is (0, 0).
"""

import dataclasses
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from data.synthetic.sample import Drawing, draw_scene, face_rng, sample_scene

WIDTH, HEIGHT, RATE = 640, 480, 30.0
EYES = 94.0  # pixels between the outer corners of the eyes
BLUR, NOISE = 0.7, 3.0  # of the camera: pixels, and grey levels of each frame
Path = Callable[[int], tuple[float, float]]  # from the frame to where the face's middle is


@dataclasses.dataclass(frozen=True)
class DrawnFace:
    """A frontal face in a picture that is larger than a frame."""

    picture: np.ndarray  # float32 [S, S, 3]
    points: np.ndarray  # [68, 2] in its pixels

    @property
    def middle(self) -> np.ndarray:
        """The middle of the points' box [2]."""
        return (self.points.min(axis=0) + self.points.max(axis=0)) / 2


def draw_face(index: int, eyes: float = EYES) -> DrawnFace:
    """Person `index`, near frontal and without a thing before the face, with `eyes` pixels between the eyes."""
    rng = face_rng(0, "clip", index)
    while True:
        scene = sample_scene(rng)
        pose = scene.pose
        if not scene.flags[[0, 1, 2, 4]].any() and max(abs(pose.yaw), abs(pose.pitch), abs(pose.roll)) < 0.25:
            break
    size = 1200
    state = rng.bit_generator.state

    def drawn(fill: float) -> tuple[Drawing, np.ndarray]:
        rng.bit_generator.state = state
        drawing = draw_scene(dataclasses.replace(scene, size=size, fill=fill, offset=(0.0, 0.0)), rng)
        return drawing, drawing.annotate("300w-68")[0]

    _, first = drawn(0.2)
    drawing, points = drawn(0.2 * eyes / float(np.linalg.norm(first[36] - first[45])))
    return DrawnFace(cv2.GaussianBlur(drawing.canvas.astype(np.float32), (0, 0), BLUR), points)


def panned(face: DrawnFace, path: Path, count: int, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Frames of a camera that moves over a still picture, so that the face's middle is where `path` says.

    Yields each frame with the points [68, 2] of the face in it.
    """
    rng = np.random.default_rng(seed)
    for number in range(count):
        shift = np.array(path(number)) - face.middle
        matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
        frame = cv2.warpAffine(
            face.picture, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )
        yield _seen(frame, rng), face.points + shift


def crossing(
    faces: list[DrawnFace], paths: list[Path], count: int, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Frames in which heads move before a plain wall, the last one nearest to the camera.

    Yields each frame with the points [faces, 68, 2].
    """
    rng = np.random.default_rng(seed)
    wall = np.zeros((HEIGHT, WIDTH, 3), np.float32) + np.linspace(90, 150, WIDTH, dtype=np.float32)[None, :, None]
    masks = [_head_mask(face) for face in faces]
    for number in range(count):
        frame, points = wall, []
        for face, mask, path in zip(faces, masks, paths, strict=True):
            shift = np.array(path(number)) - face.middle
            matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
            head, share = (
                cv2.warpAffine(layer, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR) for layer in (face.picture, mask)
            )
            frame = frame + share[..., None] * (head - frame)
            points.append(face.points + shift)
        yield _seen(frame, rng), np.stack(points)


def _head_mask(face: DrawnFace) -> np.ndarray:
    """What of a picture is head: an ellipse around the points and the hair, soft at its edge: float32 [S, S]."""
    low, high = face.points.min(axis=0), face.points.max(axis=0)
    sides = high - low
    centre = (low + high) / 2 - [0, 0.16 * sides[1]]
    mask = np.zeros(face.picture.shape[:2], np.float32)
    axes = (int(0.62 * sides[0]), int(0.78 * sides[1]))
    cv2.ellipse(mask, (int(centre[0]), int(centre[1])), axes, 0, 0, 360, 1.0, -1)
    return cv2.GaussianBlur(mask, (0, 0), 2)


def _seen(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal(frame.shape, np.float32)
    return np.clip(np.rint(frame + NOISE * noise), 0, 255).astype(np.uint8)
