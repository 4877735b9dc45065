# SPDX-License-Identifier: Apache-2.0
"""Tables of boxes as text, whatever a spreadsheet or another system has made of them.

UTF-8 with or without a mark at its start, UTF-16 and Latin-1; commas, semicolons and tabs (both with decimal
commas); with or without a line of columns' names. `points.csv` of `barrel_jax.predict` is one.
"""

import csv
import io
from pathlib import Path
from typing import Any, NamedTuple

from barrel_jax.encodings import check_text, decode_text
from barrel_jax.faces.box_columns import BoxColumns, find_box
from barrel_jax.files import read_bytes

# What columns are called, in lower case.
FILES = ("file", "filename", "file_name", "image", "image_name", "image_path", "img", "path", "picture", "name")


class Row(NamedTuple):
    """A box as a file has it."""

    where: str  # in the file, for people
    name: str  # of the picture
    box: Any  # four numbers, if all is well; None for a picture without a face
    face: int | None = None  # its id, where it has one
    written: str = ""  # what the file has in the place of `box`, where that was reckoned


def read_text(file: Path) -> str:
    """What a text file says.

    Raises:
        ValueError: it is no text.
    """
    encoded = read_bytes(file)
    try:
        text, _ = decode_text(encoded)
    except UnicodeError:  # zeros that are none of text
        text = encoded.decode("latin-1")
    return check_text(file, text)


def read_table(file: Path) -> list[Row]:
    """The rows of a table: by the columns' names in its first line, or file, x, y, w, h.

    Raises:
        ValueError: it is no text, or names its columns and none that hold a file and a box.
    """
    text = read_text(file)
    first = next((line for line in text.split("\n") if line.strip()), "")
    separator = max("\t;,", key=first.count)  # of equally many, commas are the decimal ones
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        table = [
            (f"line {lines.line_num}", [word.strip() for word in words])
            for words in lines
            if any(word.strip() for word in words)
        ]
    except csv.Error as error:
        raise ValueError(f"{file}, line {lines.line_num}: no table of values: {error}") from error
    # No name of a column is a number, not even with a decimal comma among cells that commas part.
    first_numbers = [_number(word.replace(",", "."), separator) for word in table[0][1][1:]] if table else []
    heading = bool(first_numbers) and all(isinstance(value, str) for value in first_numbers)
    if not heading:
        return [Row(where, words[0], [_number(word, separator) for word in words[1:]]) for where, words in table]
    names = [name.lower() for name in table[0][1]]
    file_column = next((name for name in FILES if name in names), None)
    box_columns = find_box(names)
    if file_column is None or box_columns is None:
        raise ValueError(
            f"{file}, {table[0][0]}: columns named {', '.join(table[0][1][:8])} tell no file and no box; name them "
            "file, x, y, w, h (or x1, y1, x2, y2)"
        )
    rows = ((where, dict(zip(names, words, strict=False))) for where, words in table[1:])
    return [_row(where, cells, file_column, box_columns, separator) for where, cells in rows]


def _row(where: str, cells: dict[str, str], file_column: str, box_columns: BoxColumns, separator: str) -> Row:
    if cells.get("frame"):
        where += f", frame {cells['frame']} of a video"
    box: list[Any] = [_number(cells.get(name, ""), separator) for name in box_columns.names]
    written = ""
    if box_columns.corners and all(isinstance(value, float) for value in box):
        written = f"{','.join(box_columns.names)} = {','.join(cells[name] for name in box_columns.names)}"
        box = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
    face = cells.get("face", cells.get("id", ""))
    return Row(where, cells.get(file_column, ""), box, int(face) if face.isdecimal() else None, written)


def _number(word: str, separator: str) -> float | str:
    """The number of a cell, or the cell as it is. Its comma is a decimal one unless commas part the cells."""
    try:
        return float(word if separator == "," else word.replace(",", "."))
    except ValueError:
        return word
