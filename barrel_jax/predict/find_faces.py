# SPDX-License-Identifier: Apache-2.0
"""Where the faces of a picture are: as a file of boxes has them, or as a detector finds them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from barrel_jax.predict.box_doubts import doubt
from barrel_jax.predict.boxes import BoxFile
from barrel_jax.predict.detectors import Detector
from barrel_jax.predict.picture_files import Picture


class Faces(NamedTuple):
    """Where the faces of a picture are."""

    image: np.ndarray  # RGB uint8 [H, W, 3], in whose pixels the boxes are
    boxes: np.ndarray  # x, y, w, h [n, 4]
    ids: Sequence[int | None] = ()  # of the faces, where they have some


class GivenBoxes:
    """Faces where a file of boxes has them, and what those boxes look like together."""

    def __init__(self, given: BoxFile, exif: str) -> None:
        """`exif` is of the boxes of turned pictures: 'stored' and 'upright' pixels, or 'auto', as their sizes say."""
        self._given, self._exif = given, exif
        self._boxes: list[np.ndarray] = []
        self._sizes: list[tuple[int, int]] = []

    def find(self, picture: Picture) -> Faces:
        """The faces of a picture. Where nothing says that a turned one is meant upright, it is taken as stored.

        Raises ValueError when the file has no boxes of it, or of a picture of another size.
        """
        name, known = self._given.of(picture.path)
        image, upright = picture.stored, picture.upright
        sizes = [pixels.shape[1::-1] for pixels in (image, upright)]
        if known.size is not None and known.size not in sizes:
            raise ValueError(
                f"{picture.path}: it has {sizes[0][0]} x {sizes[0][1]} pixels, and the boxes of {name} are of "
                f"{known.size[0]} x {known.size[1]}: of another version of it"
            )
        if self._exif == "upright" or (self._exif == "auto" and known.size not in (None, sizes[0])):
            image = upright
        elif self._exif == "auto" and picture.orientation > 1 and known.boxes and known.size in (None, sizes[1]):
            tqdm.write(
                f"{picture.path}: its EXIF orientation is {picture.orientation}, and the boxes of {name} are taken for "
                "those of the stored pixels; if they are of the turned picture, give --exif upright"
            )
        self._boxes += known.boxes
        self._sizes += [(image.shape[1], image.shape[0])] * len(known.boxes)
        return Faces(image, np.array(known.boxes, np.float64).reshape(-1, 4), known.faces)

    def doubt(self) -> str:
        """What is to be doubted of all boxes together, '' for nothing."""
        why = doubt(np.array(self._boxes), np.array(self._sizes))
        return f"{self._given.path}: {why}" if why else ""


def detected(detect: Detector) -> Callable[[Picture], Faces]:
    """Faces where a detector finds them in a picture, as viewers see it."""

    def find(picture: Picture) -> Faces:
        image = picture.upright
        return Faces(image, detect(image))

    return find
