# SPDX-License-Identifier: Apache-2.0
"""The faces of a picture, as a file of boxes has them or as a detector finds them."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from barrel_jax.faces.geometry import UNITS
from barrel_jax.files import open_file
from barrel_jax.picture_heads import stored_size
from barrel_jax.pictures import HEAD, TURNS, orientation
from barrel_jax.predict.box_doubts import doubt
from barrel_jax.predict.boxes import BoxFile
from barrel_jax.predict.detectors import Detector
from barrel_jax.predict.picture_files import Picture

FEWEST = 3  # pictures with boxes whose places say something of all


class Faces(NamedTuple):
    """Where the faces of a picture are."""

    image: UInt8[np.ndarray, "H W 3"]  # RGB, in whose pixels the boxes are
    boxes: Float[np.ndarray, "n 4"]  # x, y, w, h
    ids: Sequence[int | None] = ()  # of the faces, where they have some


class GivenBoxes:
    """Faces where a file of boxes has them, and what those boxes look like together."""

    def __init__(self, box_file: BoxFile, exif: str, paths: Sequence[Path] = (), unit: str = "pixel") -> None:
        """`exif` is of the boxes of turned pictures: 'stored' and 'upright' pixels, or 'auto', as their sizes say.

        `unit` is of their numbers, one of `UNITS`.

        Where the size of a picture is that of either, those of most others among `paths` count; where they are too, it
        is taken as viewers, and most tools, show it.
        """
        self._box_file, self._exif, self._unit = box_file, exif, unit
        self._boxes: list[Float[np.ndarray, " 4"]] = []
        self._sizes: list[tuple[int, int]] = []
        self._pictures = 0  # that have boxes
        self._open: list[tuple[str, int]] = []
        votes = Counter(self._by_size(path) for path in paths) if exif == "auto" else Counter()
        self._usual = votes["upright"] >= votes["stored"]

    def find(self, picture: Picture) -> Faces:
        """The faces of a picture.

        Raises ValueError when the file has no boxes of it, or of a picture of another size.
        """
        name, known = self._box_file.of(picture.path)
        stored, upright = (pixels.shape[1::-1] for pixels in (picture.stored, picture.upright))
        if known.size not in (None, stored, upright):
            raise ValueError(
                f"{picture.path}: it has {stored[0]} x {stored[1]} pixels, and the boxes of {name} are of "
                f"{known.size[0]} x {known.size[1]}: of another version of it"
            )
        frame = self._exif
        if frame == "auto" and known.size is not None and stored != upright:
            frame = "upright" if known.size == upright else "stored"
        elif frame == "auto":
            frame = "upright" if self._usual else "stored"
            if picture.orientation > 1 and known.boxes:
                self._open.append((str(picture.path), picture.orientation))
        image = picture.upright if frame == "upright" else picture.stored
        size = (image.shape[1], image.shape[0])
        boxes = np.array(known.boxes, np.float64).reshape(-1, 4)
        if parts := UNITS[self._unit]:
            boxes *= np.array(size * 2) / parts
        self._pictures += bool(len(boxes))
        self._boxes += list(boxes)
        self._sizes += [size] * len(boxes)
        return Faces(image, boxes, known.faces)

    def _by_size(self, path: Path) -> str:
        """The frame of which a turned picture alone has the size that the file gives it; '' for none."""
        try:
            size = self._box_file.of(path)[1].size
            with open_file(path) as file:
                head = file.read(HEAD)
        except (ValueError, OSError):
            return ""  # said where the picture's turn comes
        stored, turn = stored_size(head), TURNS[orientation(head)]
        if size is None or stored is None or not turn[0] or stored[0] == stored[1]:
            return ""
        return {stored: "stored", stored[::-1]: "upright"}.get(size, "")

    def turned(self) -> str:
        """A sentence on the turned pictures whose sizes do not tell of which pixels their boxes are, '' for none."""
        if not self._open:
            return ""
        taken, other = ("as viewers show them", "stored") if self._usual else ("as stored", "upright")
        first, stated = self._open[0]
        return (
            f"{self._box_file.path}: the boxes of {len(self._open):,} pictures with an EXIF orientation (such as "
            f"{stated} in {first}) are taken for those of the pictures {taken}; if they are not, give --exif {other}"
        )

    def doubt(self) -> str:
        """What is to be doubted of all boxes together, '' for nothing."""
        boxes, sizes = np.array(self._boxes).reshape(-1, 4), np.array(self._sizes).reshape(-1, 2)
        why = doubt(boxes, sizes, self._unit, few=self._pictures < FEWEST)
        return f"{self._box_file.path}: {why}" if why else ""


def detected(detect: Detector) -> Callable[[Picture], Faces]:
    """Faces where a detector finds them in a picture, as viewers see it."""

    def find(picture: Picture) -> Faces:
        image = picture.upright
        return Faces(image, detect(image))

    return find
