# SPDX-License-Identifier: Apache-2.0
"""The lists of WFLW: 98 points, a rect, six attributes and the image's name on every line (docs/protocols.md)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np

from barrel_jax.files import read_bytes
from data.numbers import read_decimals
from data.source import first_few

T = TypeVar("T")
REMEDY = "unpack WFLW_annotations.tar.gz again"


@dataclass(frozen=True)
class Row:
    """One line of a list with rects and attributes. Points and rect are in the pixel frame."""

    place: str  # file:line
    index: int  # row number in its list, from 0
    image: str  # below WFLW_images
    x0: str  # the first coordinate as it is written
    points: np.ndarray  # float64 [98, 2]
    rect: np.ndarray  # float64 [4], x_min, y_min, x_max, y_max
    flags: tuple[int, ...]  # [6], 0 or 1

    @property
    def key(self) -> tuple[str, str]:
        """What tells a face of the set: several are in one image (PIPNet, lib/preprocess.py)."""
        return self.x0, self.image

    @property
    def box(self) -> np.ndarray:
        """The rect as x, y, w, h, float64 [4], edge coordinates."""
        return np.concatenate([self.rect[:2] + 0.5, self.rect[2:] - self.rect[:2]])


def parse_row(line: bytes, path: Path, index: int) -> Row:
    """One line of `list_98pt_rect_attr_*.txt`, row `index` (from 0) of `path`.

    Raises:
        ValueError: it is not 98 points, a rect, six attributes and an image; names file and line.
    """
    place = f"{path}:{index + 1}"
    fields = _fields(line, place)
    if len(fields) != 207:
        raise ValueError(f"{place}: {len(fields)} fields instead of 196 + 4 + 6 + 1 = 207; {REMEDY}")
    numbers = read_decimals(fields[:200], lambda i: f"{place}: field {i + 1}")
    points, rect = numbers[:196].reshape(98, 2), numbers[196:]
    if (rect[2:] <= rect[:2]).any():
        raise ValueError(f"{place}: rect {' '.join(fields[196:200])} has no area; {REMEDY}")
    attributes = fields[200:206]
    if not set(attributes) <= {"0", "1"}:
        raise ValueError(f"{place}: attributes {' '.join(attributes)[:40]!r} are not six times 0 or 1; {REMEDY}")
    flags = tuple(int(attribute) for attribute in attributes)
    return Row(place, index, _image(fields[-1], place), fields[0], points, rect, flags)


def parse_key(line: bytes, path: Path, index: int) -> tuple[str, str]:
    """The `Row.key` of a line of `list_98pt_test_*.txt`, of which the first 196 fields and the last are certain.

    Raises:
        ValueError: it is not 98 points and an image; names file and line.
    """
    place = f"{path}:{index + 1}"
    fields = _fields(line, place)
    if len(fields) not in (197, 207):
        raise ValueError(f"{place}: {len(fields)} fields instead of 196 + 1 (or 207); {REMEDY}, or remove the file")
    read_decimals(fields[:196], lambda i: f"{place}: field {i + 1}")
    return fields[0], _image(fields[-1], place)


def read_list(path: Path, parse: Callable[[bytes, Path, int], T], faults: list[str]) -> list[T]:
    """What `parse` (`parse_row` or `parse_key`) makes of every line of a list; lines that are wrong become faults."""
    parsed, wrong = [], []
    content = read_bytes(path).rstrip()
    for index, line in enumerate(content.split(b"\n") if content else ()):
        try:
            parsed.append(parse(line, path, index))
        except ValueError as error:
            wrong.append(str(error))
    faults += first_few(wrong, f"wrong lines in {path}; {REMEDY}")
    return parsed


def _fields(line: bytes, place: str) -> list[str]:
    try:
        return line.decode().split()
    except UnicodeDecodeError:
        raise ValueError(f"{place}: not text; {REMEDY}") from None


def _image(name: str, place: str) -> str:
    """The image's name, when it is one and stays in its folder."""
    path = PurePosixPath(name)
    if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise ValueError(f"{place}: {name[-80:]!r} is no image's name; {REMEDY}")
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise ValueError(f"{place}: image {name[-80:]!r} is not below WFLW_images; {REMEDY}")
    return name
