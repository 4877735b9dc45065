# SPDX-License-Identifier: Apache-2.0
"""Detections as the COFW-68 benchmark publishes them: four lines of plain text a face.

The face's number, the x of its K points, their y, and whether each is occluded (0 or 1, or anything between). Faces
come in any order. Coordinates are MATLAB's, where the centre of the top-left pixel is (1, 1).
"""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from barrel_jax import files

LINES = ("the face's number", "x", "y", "occlusion")
INTEGER = re.compile(r"[+-]?\d{1,18}")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def read_text(file: Path) -> dict[str, Any]:
    """The columns `points` float64 [n, K, 2] (pixel frame, the centre of the top-left pixel is (0, 0)) and `faces` [n].

    Raises:
        ValueError: names file and line of what is no number, too few or too many numbers for the first face's K, an
            occlusion outside 0..1, a face given twice, or a file that ends within a face.
    """
    encoded = files.read_bytes(file)
    try:
        lines = encoded.decode("ascii").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        line = encoded[: error.start].count(b"\n") + 1
        raise ValueError(f"{file}:{line}: byte {error.start} is no plain text; {_form()}") from error
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise ValueError(f"{file}:1: the file is empty; {_form()}")
    line_of: dict[int, int] = {}  # the line of each face
    points: list[Any] = []
    for start in range(0, len(lines), 4):
        number = _face(file, start + 1, lines[start])
        if number in line_of:
            raise ValueError(f"{file}:{start + 1}: face {number} is given twice, first in line {line_of[number]}")
        line_of[number] = start + 1
        if len(lines) < start + 4:
            raise ValueError(f"{file}:{len(lines)}: the file ends within face {number}; {_form()}")
        rows = [_numbers(file, start + 1 + place, lines[start + place], number, LINES[place]) for place in (1, 2, 3)]
        count = len(points[0]) if points else len(rows[0])
        for place, row in enumerate(rows, start=1):
            if len(row) != count:
                whose = "the first face has" if points else "its x are"
                raise ValueError(
                    f"{file}:{start + 1 + place}: {len(row)} numbers for {LINES[place]} of face {number}, "
                    f"{whose} {count}"
                )
        if not all(0 <= value <= 1 for value in rows[2]):
            raise ValueError(f"{file}:{start + 4}: the occlusion of face {number} is not between 0 and 1; {_form()}")
        points.append(list(zip(rows[0], rows[1], strict=True)))
    return {"points": np.array(points, np.float64) - 1, "faces": list(line_of)}


def _form() -> str:
    return "a face has four lines: its number, x of all points, y of all points, occlusion of all points"


def _face(file: Path, line: int, text: str) -> int:
    if not INTEGER.fullmatch(text.strip()):
        raise ValueError(f"{file}:{line}: {_shown(text)} is not the number of a face; {_form()}")
    return int(text)


def _numbers(file: Path, line: int, text: str, face: int, what: str) -> list[float]:
    words = text.split()
    wrong = [word for word in words if not NUMBER.fullmatch(word) or not math.isfinite(float(word))]
    if wrong or not words:
        raise ValueError(
            f"{file}:{line}: {_shown(wrong[0] if wrong else text)} in {what} of face {face} is no number; {_form()}"
        )
    return [float(word) for word in words]


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
