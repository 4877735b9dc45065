# SPDX-License-Identifier: Apache-2.0
"""A trained run as a function: an image and boxes in, points in source pixels out.

    predictor = Predictor.load("runs/demo")
    points = predictor.predict(image, boxes)  # uint8 [H, W, 3] RGB, [n, 4] x, y, w, h -> [n, K, 2]

Crop, network and the way back are one jitted program. It is compiled once for every number of faces (1, 2, 4, ... 64)
and side of the padded regions (256, 512, ...) that come up, whatever the size of the images.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from barrel_jax.config import Config, validate
from barrel_jax.faces.box_fit import BoxFit
from barrel_jax.faces.crop_windows import crop_window, landmark_box, protocol_of
from barrel_jax.faces.geometry import unit_to_px
from barrel_jax.input.device_crop import crop_regions, region_side, take_region
from barrel_jax.models.inference import folded_model, make_inference, predict_points
from barrel_jax.training.trained import TrainedRun

REFINE = 0  # by default
PROGRAMS = 4  # of different models that are kept at once
MOST_FACES = 64  # in one call of the program
MOST_PIXELS = 64 * 512 * 512  # of the regions in one call: 50 MB, and four times that as float32


class _Face(NamedTuple):
    region: np.ndarray  # uint8 [h, w, 3]
    inside: np.ndarray  # its window [4] in the region's edge coordinates
    window: np.ndarray  # and in the image's


class Predictor:
    """The landmarks of faces, by the model of one run, on the first device.

    A box is what the run's crop protocol starts from: a box like those of the run's set. Where the protocol starts from
    the landmarks (300W under pipnet, all sets under hrnet), which are not known here, the box is taken for theirs: give
    the tight box of the face from the brows to the chin. A detector's boxes are fitted to that in detectors.py.
    `refine` crops again: the box that belongs to the first points takes the place of the one that was given.
    """

    def __init__(
        self,
        config: Config,
        scheme: str,
        num_landmarks: int,
        variables: Mapping[str, Any],
        *,
        refine: int = REFINE,
        box_fit: BoxFit | None = None,
    ) -> None:
        """Folds `variables` {params, batch_stats} of the model of `config`, which has K landmarks named by `scheme`.

        Args:
            config: of the run.
            scheme: name of the landmarks.
            num_landmarks: K.
            variables: of the model.
            refine: how often faces are cropped again around their points.
            box_fit: how the boxes of the run's set lie about its landmarks. Where the crop protocol starts from a box
                and this is not known, faces are not cropped again.
        """
        self.scheme, self.num_landmarks = scheme, num_landmarks
        self._protocol = protocol_of(config.data.crop, config.data.dataset)
        self._size, padded = config.data.image_size, self._protocol.padded
        self._box_fit = box_fit
        self.refine = refine if box_fit or self._protocol.around == "landmarks" else 0
        _, self._weights = make_inference(config.model, num_landmarks, variables)
        self._program = _program(folded_model(config.model, num_landmarks), self._size, padded)

    @classmethod
    def load(
        cls, workdir: str | Path, checkpoint: str = "latest", dtype: str = "", refine: int = REFINE
    ) -> "Predictor":
        """The model of the run in `workdir`.

        Args:
            checkpoint: 'latest', 'best' (lowest error on the test split), or a saved step.
            dtype: compute type, 'float32' or 'bfloat16'; the run's by default, where 'auto' is bfloat16 on accelerators
                and float32 on CPU.
            refine: how often faces are cropped again around their points; 0 trusts the boxes.

        Raises:
            FileNotFoundError: no run or no such checkpoint there; says which there are.
            ValueError: its files are damaged, of another version or not of one run, or the dtype is unknown.
        """
        run = TrainedRun.open(workdir, checkpoint)
        config = run.config
        if dtype:
            config = dataclasses.replace(config, model=dataclasses.replace(config.model, dtype=dtype))
        validate(config, trained=True)
        return cls(config, run.scheme, run.num_landmarks, run.variables, refine=refine, box_fit=run.box_fit)

    def predict(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Points of the faces in an image: float32 [n, K, 2] in source pixels, the top-left pixel's centre is (0, 0).

        Args:
            image: uint8 [H, W, 3], RGB.
            boxes: x, y, w, h [n, 4] in source pixels (the left edge of the first column is 0); none give [0, K, 2].

        Raises:
            ValueError: the image is no such array, a box is not finite, empty or wholly outside the image (names it),
                or the model's points are not finite.
        """
        return self._refined([image], [check(image, boxes)])[0]

    def predict_batch(self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """`predict` of several images, of any sizes, with the faces of all of them in the same calls of the program.

        Args: `boxes` [n_i, 4] for each image. Raises ValueError as `predict`, naming the image too.
        """
        if len(images) != len(boxes):
            raise ValueError(f"{len(images)} images, but boxes for {len(boxes)}")
        pairs = enumerate(zip(images, boxes, strict=True))
        checked = [check(image, given, f"image {number}, ") for number, (image, given) in pairs]
        return self._refined(images, checked)

    def _refined(self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> list[np.ndarray]:
        pairs = list(zip(images, boxes, strict=True))
        points = self._predict([self._faces(image, given) for image, given in pairs])
        for _ in range(self.refine):
            again = [self._boxes_of(image, found, given) for (image, given), found in zip(pairs, points, strict=True)]
            points = self._predict([self._faces(image, given) for image, given in zip(images, again, strict=True)])
        return points

    def _boxes_of(self, image: np.ndarray, points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """The boxes [n, 4] that belong to points [n, K, 2]; the given ones where there is no face in those."""
        seen = np.ones(self.num_landmarks, bool)
        tight = np.array([landmark_box(face, seen) for face in points]).reshape(-1, 4)
        fitted = tight if self._protocol.around == "landmarks" or self._box_fit is None else self._box_fit.apply(tight)
        lost = np.array([bool(box_fault(box, image)) for box in fitted], bool)
        return np.where(lost[:, None], boxes, fitted)

    def _faces(self, image: np.ndarray, boxes: np.ndarray) -> list[_Face]:
        extent = np.array([image.shape[1], image.shape[0]])
        unknown, unlabelled = np.zeros((self.num_landmarks, 2)), np.zeros(self.num_landmarks, bool)
        windows = [crop_window(self._protocol, box, unknown, unlabelled, extent) for box in boxes]
        return [_Face(*take_region(image, window, self._size), window) for window in windows]

    def _predict(self, groups: list[list[_Face]]) -> list[np.ndarray]:
        faces = [face for group in groups for face in group]
        points = np.empty((len(faces), self.num_landmarks, 2), np.float32)
        sides = np.array([region_side(face.region) for face in faces], int)
        running = []
        for side in np.unique(sides).tolist():
            alike = np.flatnonzero(sides == side)
            most = min(MOST_FACES, max(MOST_PIXELS // side**2, 1))
            for start in range(0, len(alike), most):
                index = alike[start : start + most]
                running.append((index, self._dispatch([faces[number] for number in index], side)))
        for index, result in running:
            points[index] = jax.device_get(result)[: len(index)]
        if not np.isfinite(points).all():
            raise ValueError("the model's points are not finite; use an earlier checkpoint of the run")
        ends = np.cumsum([len(group) for group in groups])
        return [points[end - len(group) : end] for group, end in zip(groups, ends, strict=True)]

    def _dispatch(self, faces: list[_Face], side: int) -> jax.Array:
        """Starts the program on faces of one side, padded to the next power of two with black faces."""
        count = 1 << (len(faces) - 1).bit_length()
        regions = np.zeros((count, side, side, 3), np.uint8)
        extents = np.ones((count, 2), np.float32)
        insides, windows = np.ones((2, count, 4), np.float32)
        for number, (region, inside, window) in enumerate(faces):
            height, width = region.shape[:2]
            regions[number, :height, :width] = region
            extents[number], insides[number], windows[number] = (width, height), inside, window
        return self._program(self._weights, regions, extents, insides, windows)


@lru_cache(maxsize=PROGRAMS)
def _program(model: Any, size: int, padded: bool) -> jax.stages.Wrapped:
    """Crop, network and the way back, jitted: one for all predictors of a model, since JAX keeps what it compiles."""

    def program(weights: Any, regions: Any, extents: Any, insides: Any, windows: Any) -> jax.Array:
        crops = crop_regions(regions, extents, insides, size, padded)
        return unit_to_px(predict_points(model, weights, crops), windows)

    # The arguments come from the host, so nothing keeps their buffers. Donating them would save nothing more: no output
    # has the shape of the regions, and JAX only warns about such donations.
    return jax.jit(program)


def check(image: np.ndarray, boxes: np.ndarray, name: str = "") -> np.ndarray:
    """The boxes as float64 [n, 4]; ValueError, whose message starts with `name`, says what `predict` cannot take."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        seen = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"{name}an image is uint8 [H, W, 3] in RGB, this one is {seen}")
    boxes = np.asarray(boxes, np.float64)
    boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{name}boxes are x, y, w, h [n, 4], these are {list(boxes.shape)}")
    for number, box in enumerate(boxes):
        if fault := box_fault(box, image):
            raise ValueError(f"{name}box {number}, {box.tolist()}: {fault}")
    return boxes


def box_fault(box: np.ndarray, image: np.ndarray) -> str:
    """Why there can be no face in a box x, y, w, h [4] of an image [H, W, 3]; '' where there can."""
    (x, y, w, h), (height, width) = box, image.shape[:2]
    if not np.isfinite(box).all() or w <= 0 or h <= 0:
        return "x, y, w, h must be finite, w and h above 0"
    if w < 1 or h < 1:
        fractions = "; it may be in fractions of the image's sides, and is wanted in pixels" * (max(box) <= 1.5)
        return f"w and h must be a pixel or more{fractions}"
    if max(w, h) > 100 * max(width, height):
        return f"it is more than a hundred times as large as the image of {width}x{height}"
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        return f"it lies wholly outside the image of {width}x{height}"
    return ""
