# SPDX-License-Identifier: Apache-2.0
"""CSV tables with a face a row: which column is what (`data.convert.columns`), and the rows."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from data.convert.columns import Columns, find_columns
from data.convert.faces import ConvertedFace
from data.convert.list_columns import opened
from data.convert.record import NOT_LABELLED, VISIBLE, Options, Record, read_number, read_side, shown
from data.convert.text import decode, read_text
from data.source import Findings

SUFFIXES = (".csv", ".tsv", ".txt")
ABOUT = "a CSV table with a face a row"
EMPTY = ("", "nan", "na", "null", "none")  # how tables write that there is no number
Row = tuple[int, list[str]]  # number of its line, cells


def recognises(path: Path, head: bytes) -> bool:
    """Whether the first bytes of a file are this format's."""
    try:
        rows, _ = _rows(path, decode(path, head)[0])
        return bool(rows) and len(find_columns(path, rows, Options()).points) > 0
    except ValueError:
        return False


def read(path: Path, options: Options, findings: Findings) -> list[Record]:
    """The faces of a table; faults of single rows are collected. Raises ValueError when no column can be recognised."""
    rows, delimiter = _rows(path, read_text(path, options.encoding, findings))
    if not rows:
        raise ValueError(f"{path}: an empty table; export it again")
    columns = find_columns(path, rows, options)
    findings.notes.append(f"{path}: {columns.told}")
    records = []
    for line, cells in rows[columns.header :]:
        try:
            records.append(_record(path, line, cells, columns, delimiter != ",", findings))
        except ValueError as error:
            findings.faults.append(str(error))
    return records


def _rows(path: Path, text: str) -> tuple[list[Row], str]:
    """The rows that are not blank, and the character between cells: the most frequent one of the first line."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max("\t;,", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        return opened([(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]), delimiter
    except csv.Error as error:
        raise ValueError(f"{path}:{reader.line_num}: not a table ({error}); export it again") from error


def _record(path: Path, line: int, cells: list[str], columns: Columns, comma: bool, findings: Findings) -> Record:
    where = f"{path}:{line}"
    width = len(columns.names)
    if len(cells) < width or any(cell.strip() for cell in cells[width:]):
        raise ValueError(f"{where}: {len(cells)} cells where the table has {width} columns; complete the row")
    picture = cells[columns.picture].strip()
    if not picture:
        raise ValueError(f"{where}: no picture in column {columns.names[columns.picture]!r}; name it")
    where = f"{where}: {shown(picture)}"

    def number(column: int) -> float:
        if comma and "," in cells[column]:
            findings.counts["decimal_commas_read"] += 1
        return read_number(cells[column], where, f"column {columns.names[column]!r}", comma)

    points = {}
    for name, (x, y, v) in columns.points.items():
        if cells[x].strip().lower() in EMPTY and cells[y].strip().lower() in EMPTY:
            points[name] = (0.0, 0.0, NOT_LABELLED)
        else:
            points[name] = (number(x), number(y), _visibility(cells[v], where) if v is not None else VISIBLE)
    box = None
    if columns.box and not all(cells[column].strip().lower() in EMPTY for column in columns.box):
        left, top, third, fourth = map(number, columns.box)
        box = (left, top, third - left, fourth - top) if columns.corners else (left, top, third, fourth)
    size = tuple(read_side(cells[column]) for column in columns.size)
    split = cells[columns.split].strip() if columns.split is not None else ""
    return Record(
        where, path, picture, points, box, (size[0], size[1]) if size and size[0] and size[1] else None,
        "" if split.lower() in EMPTY else split,
        f"column {columns.names[columns.split]!r}" if columns.split is not None else "",
        dict(zip(columns.names, (cell.strip() for cell in cells), strict=False)), positional=not columns.header,
    )  # fmt: skip


def _visibility(cell: str, where: str) -> int:
    if cell.strip() not in ("0", "1", "2", "0.0", "1.0", "2.0"):
        raise ValueError(f"{where}: a visibility {shown(cell)}; 0 is not labelled, 1 occluded, 2 visible")
    return int(float(cell.strip()))


def write(folder: Path, split: str, faces: Sequence[ConvertedFace], names: Sequence[str], findings: Findings) -> None:
    """Writes `folder/<split>.csv`; cells of points that are not labelled are empty."""
    del findings
    header = ["image", "image_width", "image_height", "x", "y", "w", "h"]
    with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(header + [f"{axis}_{name}" for name in names for axis in "xyv"])
        for face in faces:
            cells = [face.picture.name, *face.picture.size, *(f"{value:.8g}" for value in face.box)]
            for (x, y), visible in zip(face.points, face.visible, strict=True):
                cells += [f"{x:.8g}", f"{y:.8g}", int(visible)] if visible else ["", "", NOT_LABELLED]
            table.writerow(cells)
