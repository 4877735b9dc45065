# SPDX-License-Identifier: Apache-2.0
"""A trained model as a function: an image in, faces out; or boxes too, and points in source pixels out.

    predictor = Predictor.load("small")  # or a run's folder, or a packed model's file
    faces = predictor(image)  # uint8 [H, W, 3] RGB -> a list of Face: box, points, sigma, score
    points = predictor.predict(image, boxes)  # [n, 4] x, y, w, h -> [n, K, 2]

Crop, network and the way back are one program. On a CPU ONNX Runtime runs it where that is installed (backend.py);
otherwise it is jitted, and compiled once for every number of faces (1, 2, 4, ... 64) and side of the padded regions
(256, 512, ...) that come up, whatever the size of the images.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree, UInt8
from numpy.typing import ArrayLike

from barrel_jax.config import Config
from barrel_jax.config_checks import validate
from barrel_jax.devices.xla import graph_options
from barrel_jax.faces.box_fit import BoxFit
from barrel_jax.faces.crop_windows import crop_window, landmark_box, protocol_of
from barrel_jax.input.device_crop import crop_regions, region_side, take_region
from barrel_jax.models.barrelnet import BarrelNet
from barrel_jax.models.inference import folded_model, inference_weights
from barrel_jax.models.source_points import source_points
from barrel_jax.predict.backend import choose, onnx_network
from barrel_jax.predict.detectors import Detector, make_detector
from barrel_jax.predict.face import Face, face_score
from barrel_jax.training.open_model import open_model
from barrel_jax.training.stopwatch import Stopwatch

PROGRAMS = 4  # of different models that are kept at once
MOST_FACES = 64  # in one call of the program
MOST_PIXELS = 64 * 512 * 512  # of the regions in one call: 50 MB, and four times that as float32


# What people give. `check` says in its own words what of it is no image or no box, which is why nothing else looks.
if TYPE_CHECKING:
    AnyImage = UInt8[np.ndarray, "H W 3"]
    AnyBoxes = ArrayLike
else:
    AnyImage = AnyBoxes = Any


class _Face(NamedTuple):
    region: UInt8[np.ndarray, "h w 3"]
    inside: Float[np.ndarray, " 4"]  # its window in the region's edge coordinates
    window: Float[np.ndarray, " 4"]  # and in the image's


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
        variables: Mapping[str, PyTree],
        *,
        refine: int = 0,
        box_fit: BoxFit | None = None,
        backend: str = "auto",
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
            backend: 'jax', 'onnxruntime' (on the CPU), or 'auto', the fastest that is installed (backend.py).
        """
        self.scheme, self.num_landmarks = scheme, num_landmarks
        self._detect: Detector | None = None
        self.uncertain = config.model.uncertainty
        self._protocol = protocol_of(config.data.crop, config.data.dataset)
        self._size, padded = config.data.image_size, self._protocol.padded
        self._box_fit = box_fit
        self.refine = refine if box_fit or self._protocol.around == "landmarks" else 0
        self.stopwatch = Stopwatch("other")  # what predictions take: crop, network, and compile, the first calls
        self._called: set[tuple[int, int]] = set()
        self.backend = choose(backend, config.model)
        if self.backend == "onnxruntime":
            self._network = onnx_network(config, num_landmarks, variables)
        else:
            network = folded_model(config.model, num_landmarks)
            self._weights = inference_weights(network, variables)
            self._program = _program(network, self._size, padded)

    @classmethod
    def load(
        cls,
        model: str | Path,
        checkpoint: str = "latest",
        dtype: str = "",
        refine: int | None = None,
        backend: str = "auto",
    ) -> "Predictor":
        """A trained model.

        Args:
            model: a run's folder, a packed model's file, or the name of one of `named_models.NAMED`, such as 'small'.
            checkpoint: of a run: 'latest', 'best' (on the split that training scores), or a saved step.
            dtype: compute type, 'float32' or 'bfloat16'; the run's by default, where 'auto' is bfloat16 on accelerators
                and float32 on CPU.
            refine: how often faces are cropped again around their points; 0 trusts the boxes. By default as the model's
                file says, which was measured (1 for 'small'); 0 for a run.
            backend: 'jax', 'onnxruntime' (on the CPU), or 'auto', the fastest that is installed.

        Raises:
            FileNotFoundError: no run, no file, no model of that name or no such checkpoint; says which there are.
            ValueError: its files are damaged, of another version or not of one run, or the dtype is unknown.
        """
        run = open_model(model, checkpoint)
        config = run.config
        if dtype:
            config = dataclasses.replace(config, model=dataclasses.replace(config.model, dtype=dtype))
        validate(config, trained=True)
        refine = run.facts.get("refine", 0) if refine is None else refine
        described = (config, run.scheme, run.num_landmarks, run.variables)
        return cls(*described, refine=refine, box_fit=run.box_fit, backend=backend)

    def __call__(self, image: AnyImage) -> list[Face]:
        """The faces of an image uint8 [H, W, 3], RGB, where OpenCV's Haar cascade finds them, the largest first.

        Raises ValueError when it is no such array, or an empty one.
        """
        check(image, np.zeros((0, 4)))  # before the detector, whose error would not say what an image is
        self._detect = self._detect or make_detector("haar")
        return self.faces(image, self._detect(image))

    def faces(self, image: AnyImage, boxes: AnyBoxes) -> list[Face]:
        """The faces in boxes of an image, with points, and how sure they are where the model says so; as `predict`."""
        boxes = check(image, boxes)
        found = []
        for box, numbers in zip(boxes, self._refined([image], [boxes])[0], strict=True):
            points, sigma = numbers[:, :2], numbers[:, 2] if self.uncertain else None
            found.append(Face(box, points, sigma, None if sigma is None else face_score(points, sigma)))
        return found

    def predict(self, image: AnyImage, boxes: AnyBoxes) -> Float[np.ndarray, "n K 2"]:
        """Points of the faces in an image: float32 [n, K, 2] in source pixels, the top-left pixel's centre is (0, 0).

        Args:
            image: uint8 [H, W, 3], RGB.
            boxes: x, y, w, h [n, 4] in source pixels (the left edge of the first column is 0); none give [0, K, 2].

        Raises:
            ValueError: the image is no such array or an empty one, a box is not finite, empty or wholly outside the
                image (names it), or the model's points are not finite.
        """
        return self._refined([image], [check(image, boxes)])[0][..., :2]

    def predict_batch(self, images: Sequence[AnyImage], boxes: Sequence[AnyBoxes]) -> list[Float[np.ndarray, "_ K 2"]]:
        """`predict` of several images, of any sizes, with the faces of all of them in the same calls of the program.

        Args: `boxes` [n_i, 4] for each image. Raises ValueError as `predict`, naming the image too.
        """
        if len(images) != len(boxes):
            raise ValueError(f"{len(images)} images, but boxes for {len(boxes)}")
        pairs = enumerate(zip(images, boxes, strict=True))
        checked = [check(image, image_boxes, f"image {number}, ") for number, (image, image_boxes) in pairs]
        return [found[..., :2] for found in self._refined(images, checked)]

    def _refined(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], boxes: Sequence[Float[np.ndarray, "_ 4"]]
    ) -> list[Float[np.ndarray, "_ K C"]]:
        """x and y, and sigma where the model says it, of each image's faces."""
        pairs = list(zip(images, boxes, strict=True))
        points = self._located(pairs)
        for _ in range(self.refine):
            again = [
                self._boxes_of(image, found[..., :2], image_boxes)
                for (image, image_boxes), found in zip(pairs, points, strict=True)
            ]
            points = self._located(list(zip(images, again, strict=True)))
        return points

    def _located(
        self, pairs: list[tuple[UInt8[np.ndarray, "_ _ 3"], Float[np.ndarray, "_ 4"]]]
    ) -> list[Float[np.ndarray, "_ K C"]]:
        """x, y and sigma of the faces in boxes of images. Raises ValueError when one is not finite."""
        if self.backend == "onnxruntime":
            with self.stopwatch.during("network"):  # the crop is in it
                points = [self._network(image, boxes) for image, boxes in pairs]
        else:
            points = self._predict([self._faces(image, boxes) for image, boxes in pairs])
        if not all(np.isfinite(found).all() for found in points):
            raise ValueError("the model's points are not finite; use an earlier checkpoint of the run")
        return points

    def boxes_around(self, points: Float[np.ndarray, "n K 2"]) -> Float[np.ndarray, "n 4"] | None:
        """The boxes that belong to points, such as those of the frame before.

        None where the crop protocol starts from the set's boxes and the run does not say how they lie.
        """
        seen = np.ones(self.num_landmarks, bool)
        tight = np.array([landmark_box(face, seen) for face in points]).reshape(-1, 4)
        if self._protocol.around == "landmarks":
            return tight
        return None if self._box_fit is None else self._box_fit.apply(tight)

    def _boxes_of(
        self, image: UInt8[np.ndarray, "H W 3"], points: Float[np.ndarray, "n K 2"], boxes: Float[np.ndarray, "n 4"]
    ) -> Float[np.ndarray, "n 4"]:
        """The boxes that belong to points; the given ones where there is no face in those."""
        fitted = self.boxes_around(points)
        if fitted is None:
            return boxes
        lost = np.array([bool(box_fault(box, image)) for box in fitted], bool)
        return np.where(lost[:, None], boxes, fitted)

    def _faces(self, image: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "n 4"]) -> list[_Face]:
        with self.stopwatch.during("crop"):
            extent = np.array([image.shape[1], image.shape[0]])
            unknown, unlabelled = np.zeros((self.num_landmarks, 2)), np.zeros(self.num_landmarks, bool)
            windows = [crop_window(self._protocol, box, unknown, unlabelled, extent) for box in boxes]
            return [_Face(*take_region(image, window, self._size), window) for window in windows]

    def _predict(self, groups: list[list[_Face]]) -> list[Float[np.ndarray, "_ K C"]]:
        faces = [face for group in groups for face in group]
        points = np.empty((len(faces), self.num_landmarks, 2 + self.uncertain), np.float32)
        sides = np.array([region_side(face.region) for face in faces], int)
        running = []
        for side in np.unique(sides).tolist():
            alike = np.flatnonzero(sides == side)
            most = min(MOST_FACES, max(MOST_PIXELS // side**2, 1))
            for start in range(0, len(alike), most):
                index = alike[start : start + most]
                running.append((index, self._dispatch([faces[number] for number in index], side)))
        with self.stopwatch.during("network"):
            for index, result in running:
                points[index] = jax.device_get(result)[: len(index)]
        ends = np.cumsum([len(group) for group in groups])
        return [points[end - len(group) : end] for group, end in zip(groups, ends, strict=True)]

    def _dispatch(self, faces: list[_Face], side: int) -> Float[jax.Array, "m K C"]:
        """Starts the program on faces of one side, padded to the next power of two with black faces."""
        count = 1 << (len(faces) - 1).bit_length()
        regions = np.zeros((count, side, side, 3), np.uint8)
        extents = np.ones((count, 2), np.float32)
        insides, windows = np.ones((2, count, 4), np.float32)
        for number, (region, inside, window) in enumerate(faces):
            height, width = region.shape[:2]
            regions[number, :height, :width] = region
            extents[number], insides[number], windows[number] = (width, height), inside, window
        first = (count, side) not in self._called
        self._called.add((count, side))
        with self.stopwatch.during("compile" if first else "network"):
            return self._program(self._weights, regions, extents, insides, windows)


@lru_cache(maxsize=PROGRAMS)
def _program(model: BarrelNet, size: int, padded: bool) -> jax.stages.Wrapped:
    """Crop, network and the way back, jitted: one for all predictors of a model, since JAX keeps what it compiles."""

    def program(
        weights: PyTree,
        regions: UInt8[jax.Array, "n R R 3"],
        extents: Float[jax.Array, "n 2"],
        insides: Float[jax.Array, "n 4"],
        windows: Float[jax.Array, "n 4"],
    ) -> Float[jax.Array, "n K C"]:
        crops = crop_regions(regions, extents, insides, size, padded)
        points, sigma = source_points(model, weights, crops, windows)
        return points if sigma is None else jnp.concatenate([points, sigma[..., None]], axis=-1)

    # The arguments come from the host, so nothing keeps their buffers. Donating them would save nothing more: no output
    # has the shape of the regions, and JAX only warns about such donations.
    return jax.jit(program, compiler_options=graph_options())


def check(image: AnyImage, boxes: AnyBoxes, name: str = "") -> Float[np.ndarray, "n 4"]:
    """The boxes as float64; ValueError, whose message starts with `name`, says what `predict` cannot take."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        seen = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"{name}an image is uint8 [H, W, 3] in RGB, this one is {seen}")
    if not image.size:
        raise ValueError(f"{name}an image has a row and a column or more, this one is {list(image.shape)}")
    boxes = as_boxes(boxes, name)
    for number, box in enumerate(boxes):
        if fault := box_fault(box, image):
            raise ValueError(f"{name}box {number}, {box.tolist()}: {fault}")
    return boxes


def as_boxes(boxes: AnyBoxes, name: str = "") -> Float[np.ndarray, "n 4"]:
    """Boxes as float64; ValueError, whose message starts with `name`, says that they are of another shape."""
    boxes = np.asarray(boxes, np.float64)
    boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{name}boxes are x, y, w, h [n, 4], these are {list(boxes.shape)}")
    return boxes


def box_fault(box: Float[np.ndarray, " 4"], image: UInt8[np.ndarray, "H W 3"]) -> str:
    """Why there can be no face in a box x, y, w, h of an image; '' where there can."""
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
