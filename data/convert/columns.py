# SPDX-License-Identifier: Apache-2.0
"""The columns of a table: the picture, the box, and each landmark's x and y."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from barrel_jax.faces.box_columns import find_box
from data.convert.record import Options, shown
from data.numbers import DECIMAL

# Names of columns as `_plain` writes them, the likelier first.
PICTURES = (
    "image", "file", "filename", "file_name", "image_name", "imagename", "image_path", "image_file", "path", "img",
    "picture", "photo", "image_id", "name",
)  # fmt: skip
SIDES = (("image_width", "image_height"), ("img_width", "img_height"), ("picture_width", "picture_height"))
SPLITS = ("split", "subset", "partition")


@dataclass(frozen=True)
class Columns:
    """The columns of a table by their places."""

    names: list[str]  # of all columns
    header: int  # 1 with a header line, 0 without
    picture: int
    points: dict[str, tuple[int, int, int | None]]  # x, y, visibility
    box: tuple[int, ...]  # four, or none
    corners: bool  # the box is left, top, right, bottom
    size: tuple[int, ...]  # the picture's width and height, or none
    split: int | None
    told: str  # what was recognised, for people


def find_columns(path: Path, rows: list[tuple[int, list[str]]], options: Options) -> Columns:
    """What the columns of a table are: as the options say, by the names in its header, or by its numbers.

    Raises:
        ValueError: they cannot be told, or a named one is not there; says which there are and which flags name them.
    """
    first = [cell.strip() for cell in rows[0][1]]
    numbers = sum(bool(DECIMAL.fullmatch(cell.replace(",", "."))) for cell in first)
    # A row has a name and numbers, a header has names: landmarks called 0, 1, ... have columns such as x0.
    header = numbers * 2 < len(first) or any(_plain(cell) in PICTURES for cell in first)
    names = first if header else [str(place) for place in range(1, len(first) + 1)]
    if header:
        twice = [name for name, count in Counter(names).items() if count > 1 and name]
        if twice:
            raise ValueError(f"{path}:{rows[0][0]}: two columns named {shown(twice[0])}; name each once")
    plain = {}
    for place, name in enumerate(names):
        plain.setdefault(_plain(name) if header else name, place)
    picture = _place(path, names, options.image_column) if options.image_column else _picture(path, plain, rows, header)
    box, corners = _box(path, names, plain, options)
    size = next((tuple(plain[side] for side in sides) for sides in SIDES if set(sides) <= plain.keys()), ())
    points = _points(path, names, plain, options, {picture, *box, *size}) if header or options.point_columns else {}
    if not points and not header:
        points, box, corners = _by_numbers(rows, picture, box, corners)
    if not points:
        raise ValueError(
            f"{path}: no landmark's columns are recognised (x0, y0 or nose_x, nose_y); name them with --point-columns; "
            f"its columns are {_list(names)}"
        )
    split = next((plain[name] for name in SPLITS if name in plain), None)
    kind = ("left, top, right, bottom" if corners else "x, y, width, height") if box else ""
    across = _list([names[x] for x, _, _ in points.values()])
    told = f"pictures are in column {names[picture]!r}, {len(points)} points in {across}"
    told += f", boxes ({kind}) in {_list([names[place] for place in box])}" if box else ", no boxes"
    used = {picture, split, *box, *size, *(place for point in points.values() for place in point)}
    if header and (others := [name for place, name in enumerate(names) if place not in used]):
        told += f"; further columns: {_list(others)} (--group takes one, whose equal faces stay in one split)"
    return Columns(names, int(header), picture, points, box, corners, size, split, told)


def _plain(name: str) -> str:
    return re.sub(r"[\s.\-]+", "_", name.strip()).lower()


def _list(names: list[str]) -> str:
    return ", ".join(map(repr, names if len(names) <= 8 else [*names[:4], "...", names[-1]])).replace("'...'", "...")


def _place(path: Path, names: list[str], name: str) -> int:
    if name in names:
        return names.index(name)
    if name.isascii() and name.isdecimal() and 0 < int(name) <= len(names):
        return int(name) - 1
    raise ValueError(f"{path}: no column {name!r}; its columns are {_list(names)}")


def _picture(path: Path, plain: dict[str, int], rows: list[tuple[int, list[str]]], header: bool) -> int:
    for name in PICTURES if header else ():
        if name in plain:
            return plain[name]
    texts = [place for place, cell in enumerate(rows[-1][1]) if re.search(r"\.[A-Za-z]{3,4}$", cell.strip())]
    if len(texts) != 1:
        raise ValueError(
            f"{path}: no column is recognised as that of the pictures; name it with --image-column; its columns are "
            f"{_list(list(plain))}"
        )
    return texts[0]


def _box(path: Path, names: list[str], plain: dict[str, int], options: Options) -> tuple[tuple[int, ...], bool]:
    """The box's four columns, or (), and whether they are left, top, right, bottom."""
    if options.box_columns:
        if len(options.box_columns) != 4:
            raise ValueError("--box-columns names four columns, as x,y,w,h")
        return tuple(_place(path, names, name) for name in options.box_columns), options.corners
    found = find_box(plain)
    return (tuple(plain[name] for name in found.names), found.corners) if found else ((), False)


def _points(
    path: Path, names: list[str], plain: dict[str, int], options: Options, taken: set[int]
) -> dict[str, tuple[int, int, int | None]]:
    if options.point_columns:
        places = [_place(path, names, name) for name in options.point_columns]
        if len(places) % 2:
            raise ValueError("--point-columns names x and y of each point in turn")
        return {str(k): (x, y, None) for k, (x, y) in enumerate(zip(places[::2], places[1::2], strict=True))}
    points = {}
    for name, x in plain.items():
        for place in (0, len(name) - 1) if len(name) > 1 else ():  # x_nose or nose_x
            y, v = (name[:place] + axis + name[place + 1 :] for axis in "yv")
            if name[place] == "x" and x not in taken and y in plain and plain[y] not in taken:
                bare = re.sub(r"^[xX][\s_.\-]*" if place == 0 else r"[\s_.\-]*[xX]$", "", names[x].strip())
                if bare in points:
                    raise ValueError(
                        f"{path}: two columns for x of {shown(bare)}; name the right ones (--point-columns)"
                    )
                points[bare] = (x, plain[y], plain.get(v))
                break
    return points


def _by_numbers(
    rows: list[tuple[int, list[str]]], picture: int, box: tuple[int, ...], corners: bool
) -> tuple[dict[str, tuple[int, int, int | None]], tuple[int, ...], bool]:
    """Points and box of a table without a header: four numbers that hold the others are a box."""
    free = [place for place in range(len(rows[0][1])) if place not in {picture, *box}]
    if not box and len(free) >= 8:
        votes: Counter[bool] = Counter()
        for _, cells in rows:
            try:
                left, top, third, fourth, *others = (float(cells[place].replace(",", ".")) for place in free)
            except (ValueError, IndexError):
                continue
            for as_corners in (True, False):
                right, bottom = (third, fourth) if as_corners else (left + third, top + fourth)
                inside = [left - 1 <= x <= right + 1 for x in others[::2]] + [
                    top - 1 <= y <= bottom + 1 for y in others[1::2]
                ]
                votes[as_corners] += sum(inside) >= 0.9 * len(inside) and right > left and bottom > top
        likely, count = max(votes.items(), key=lambda vote: vote[1], default=(False, 0))
        if count > len(rows) / 2:
            box, corners, free = tuple(free[:4]), likely, free[4:]
    pairs = list(zip(free[::2], free[1::2], strict=False))
    return {str(k): (x, y, None) for k, (x, y) in enumerate(pairs)} if len(free) % 2 == 0 else {}, box, corners
