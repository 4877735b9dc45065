# SPDX-License-Identifier: Apache-2.0
"""The `.pts` files of 300W: 68 points in MATLAB's pixel coordinates (docs/protocols.md)."""

import re
from pathlib import Path

import numpy as np

from barrel_jax.files import read_bytes
from data.numbers import read_decimals

NUM_POINTS = 68
HEADER = (
    (re.compile(rb"version:\s*1"), "version: 1"),
    (re.compile(rb"n_points:\s*68"), f"n_points: {NUM_POINTS}"),
    (re.compile(rb"\{"), "{"),
)
REMEDY = "unpack it again, or remove it and its image"


def parse_pts(path: Path) -> np.ndarray:
    """The points of a `.pts` file.

    Returns:
        float64 [68, 2], x and y in the pixel frame: one less than in the file, which counts pixels from 1.

    Raises:
        ValueError: it is not `version: 1`, `n_points: 68` and 68 lines of x and y in braces, with nothing but blank
            lines after them; names file and line.
    """
    lines = [line.strip() for line in read_bytes(path).rstrip().split(b"\n")]
    for number, (pattern, stated) in enumerate(HEADER, 1):
        line = lines[number - 1] if number <= len(lines) else b""
        if not pattern.fullmatch(line):
            raise ValueError(f"{path}:{number}: {_shown(line)} instead of '{stated}'; {REMEDY}")
    first = len(HEADER) + 1  # number of the first point's line
    end = lines.index(b"}") if b"}" in lines else len(lines)
    fields = [line.decode(errors="replace").split() for line in lines[first - 1 : end]]
    for number, line in enumerate(fields, first):
        if len(line) != 2:
            raise ValueError(f"{path}:{number}: {_shown(lines[number - 1])} instead of a point's x and y; {REMEDY}")
    if len(fields) != NUM_POINTS:
        raise ValueError(f"{path}:{min(end + 1, len(lines))}: {len(fields)} points instead of {NUM_POINTS}; {REMEDY}")
    if end != len(lines) - 1:
        wrong = "no '}' after the points" if end == len(lines) else "more lines after '}'"
        raise ValueError(f"{path}:{min(end + 2, len(lines))}: {wrong}; {REMEDY}")
    points = read_decimals([field for line in fields for field in line], lambda i: f"{path}:{first + i // 2}")
    return points.reshape(NUM_POINTS, 2) - 1


def _shown(line: bytes) -> str:
    return repr(line[:40].decode(errors="replace"))
