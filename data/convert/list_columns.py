# SPDX-License-Identifier: Apache-2.0
"""Cells that hold all points of a face, such as [[x, y], ...], as a column for each number."""

import json
from typing import Any

LEAST = 4  # numbers of a cell


def opened(rows: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """The rows of a table, in which a column of lists of points became x0, y0, x1, y1, ...

    A list is [[x, y], ...], [{"x": x, "y": y}, ...] or [x, y, x, y, ...] in JSON, or in round brackets. It must be in
    every row but the first; the first names the columns, or holds one too.
    """
    if len(rows) < 2:
        return rows
    for column in range(len(rows[0][1])):
        lists = [_numbers(cells[column]) if column < len(cells) else [] for _, cells in rows]
        length = len(lists[-1])
        if length < LEAST or length % 2 or any(len(numbers) != length for numbers in lists[1:]):
            continue
        names = [f"{axis}{point}" for point in range(length // 2) for axis in "xy"]
        lists[0] = lists[0] or names
        return [
            (line, [*cells[:column], *numbers, *cells[column + 1 :]])
            for (line, cells), numbers in zip(rows, lists, strict=True)
        ]
    return rows


def _numbers(cell: str) -> list[str]:
    """The numbers of a list, x and y in turn, as text; [] when the cell holds no list of points."""
    if cell.strip()[:1] not in ("[", "("):
        return []
    try:
        content = json.loads(cell.replace("(", "[").replace(")", "]"))
    except (ValueError, RecursionError):
        return []
    if not isinstance(content, list):
        return []
    flat: list[Any] = []
    for item in content:
        if isinstance(item, dict) and {"x", "y"} <= item.keys():
            flat += [item["x"], item["y"]]
        elif isinstance(item, list) and len(item) == 2:
            flat += item
        else:
            flat.append(item)
    mixed = any(isinstance(item, list | dict) for item in flat) or len(flat) not in (len(content), 2 * len(content))
    return [] if mixed else ["" if item is None else str(item) for item in flat]
