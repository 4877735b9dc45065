# SPDX-License-Identifier: Apache-2.0
"""`.pts` files of any number of points, named as their pictures, beside these or in another folder."""

import re
from collections.abc import Sequence
from pathlib import Path

from data.convert.faces import ConvertedFace
from data.convert.record import VISIBLE, Options, Record
from data.convert.stems import ANY_ENDING
from data.convert.text import read_text
from data.numbers import read_decimals
from data.source import Findings

SUFFIXES = (".pts",)
ABOUT = ".pts files beside pictures"
ORIGIN = 1  # these files count pixels from 1, as MATLAB does; --origin 0 is for those that do not


def recognises(path: Path, head: bytes) -> bool:
    """Whether the first bytes of a file are this format's."""
    return path.suffix.lower() == ".pts" and b"n_points" in head


def read(path: Path, options: Options, findings: Findings) -> list[Record]:
    """The face of a file. Raises ValueError when it is no such file; names file and line."""
    lines = [line.strip() for line in read_text(path, options.encoding, findings).rstrip().splitlines()]
    header = {}
    for line in lines[: lines.index("{") if "{" in lines else 0]:
        if line:
            key, colon, value = line.partition(":")
            header[key.strip()] = value.strip() if colon else ""
    count = header.get("n_points", "")
    if not re.fullmatch("[0-9]{1,6}", count) or "}" not in lines:
        raise ValueError(f"{path}: not a .pts file: no 'n_points: N' before points in braces; unpack it again")
    first, end = lines.index("{") + 1, lines.index("}")
    rows = [(number, line.split()) for number, line in enumerate(lines[first:end], first + 1) if line]
    for number, row in rows:
        if len(row) != 2:
            raise ValueError(f"{path}:{number}: {len(row)} numbers instead of a point's x and y; correct it")
    if len(rows) != int(count) or any(lines[end + 1 :]):
        raise ValueError(f"{path}: {len(rows)} points between its braces where n_points says {count}; unpack it again")
    numbers = read_decimals([field for _, row in rows for field in row], lambda i: f"{path}:{rows[i // 2][0]}")
    points = {str(k): (float(x), float(y), VISIBLE) for k, (x, y) in enumerate(numbers.reshape(-1, 2))}
    return [Record(str(path), path, path.stem + ANY_ENDING, points, positional=True)]


def write(folder: Path, split: str, faces: Sequence[ConvertedFace], names: Sequence[str], findings: Findings) -> None:
    """Writes `folder/<split>/<picture>.pts`, points counted from 1. Names, boxes and visibility are not kept.

    Raises:
        ValueError: a face has points not labelled, or a picture several faces, for which these files have no place.
    """
    del names
    for face in faces:
        path = (folder / split / face.picture.name).with_suffix(".pts")
        if path.exists():
            raise ValueError(f"{face.where}: a second face of {face.picture.name}; .pts files hold one a picture")
        if not face.visible.all():
            raise ValueError(f"{face.where}: has points not labelled; .pts files have no place for them")
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [f"{x + ORIGIN:.6f} {y + ORIGIN:.6f}" for x, y in face.points]
        path.write_text("\n".join(["version: 1", f"n_points: {len(rows)}", "{", *rows, "}", ""]))
        findings.counts["occluded_points_written_as_visible"] += int((face.visible == 1).sum())
