# SPDX-License-Identifier: Apache-2.0
"""A face as its annotation file says it, and what the command line says of how to read it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.numbers import DECIMAL, LIMIT

# Of a landmark in COCO's words; a landmark that a face does not name is not labelled either.
NOT_LABELLED, OCCLUDED, VISIBLE = 0, 1, 2


@dataclass(frozen=True)
class Options:
    """How annotation files are read. Names of columns are those of the header, or numbers from 1."""

    encoding: str = ""  # of text files; '' finds it
    image_column: str = ""  # csv; '' finds it
    box_columns: tuple[str, ...] = ()  # csv: four; () finds them
    corners: bool = False  # csv: box_columns are left, top, right, bottom instead of x, y, width, height
    point_columns: tuple[str, ...] = ()  # csv: x and y in turn; () finds them
    annotator: str = ""  # labelstudio: id or e-mail of whose annotation counts where several have annotated
    category: str = ""  # name of the category that is the face (coco), label of the skeletons that are (cvat)


@dataclass(frozen=True)
class Record:
    """One annotated face as its file says it; points and box in the file's unit."""

    where: str  # file and record, for sentences
    file: Path  # the annotation file: pictures' names count from its folder
    picture: str  # name of the picture as the file writes it
    points: Mapping[str, tuple[float, float, int]]  # by landmark: x, y, visibility
    box: tuple[float, float, float, float] | None = None  # x, y, width, height
    size: tuple[int, int] | None = None  # width and height of the picture, where the file says them
    split: str = ""  # where the file names one
    split_by: str = ""  # the column or attribute that states it, for sentences
    fields: Mapping[str, str] = field(default_factory=dict)  # what else is said of the face; can name its group
    face: int | None = None  # its id
    turned: int = 0  # degrees by which the picture was turned to the right when it was annotated
    positional: bool = False  # landmarks have no names but their order, so that each face must have all of them


def read_number(value: Any, where: str, what: str, decimal_comma: bool = False, unit: str = "pixels") -> float:
    """A number of pixels, per cent or degrees, from text or JSON.

    Args:
        value: as the file writes it.
        where: file and record.
        what: it is of, such as 'x of point 3'.
        decimal_comma: whether text may write 12,5.
        unit: for the sentence on what is no such number.

    Raises:
        ValueError: it is not finite, no number at all, or beyond `LIMIT`.
    """
    if isinstance(value, str):
        text = value.strip().replace(",", ".") if decimal_comma else value.strip()
        number = float(text) if DECIMAL.fullmatch(text) else None
    else:
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if number is None or not abs(number) <= LIMIT:
        raise ValueError(f"{where}: {what} is {shown(value)}, which is not a number of {unit}; correct it")
    return float(number)


def read_side(value: Any) -> int | None:
    """A width or height in whole pixels from text or JSON, None when it is no such."""
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 and int(text) else None


def shown(value: object) -> str:
    """A value as error sentences quote it, cut off where it is long."""
    try:
        text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    except ValueError:  # Python prints no whole numbers of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."
