# SPDX-License-Identifier: Apache-2.0
"""The formats by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from barrel_jax.files import open_file
from data.convert import coco_json, csv_table, cvat_xml, dlib_xml, label_studio, pts_files
from data.convert.faces import ConvertedFace
from data.convert.record import Options, Record
from data.source import Findings

HEAD = 65536  # bytes that are enough to recognise a file


@dataclass(frozen=True)
class Format:
    """How a format's files are recognised, read and written, and what their numbers mean."""

    about: str
    suffixes: tuple[str, ...]
    recognises: Callable[[Path, bytes], bool]
    read: Callable[[Path, Options, Findings], list[Record]]
    write: Callable[[Path, str, Sequence[ConvertedFace], Sequence[str], Findings], None]
    unit: str = "pixel"
    origin: int = 0  # what the centre of the first pixel is called
    beside: bool = False  # an annotation file a picture, in one folder with it, and a folder a split
    options: tuple[str, ...] = ()  # those of the command line that not every format reads, and this one does


def _format(module: ModuleType, **more: Any) -> Format:
    return Format(module.ABOUT, module.SUFFIXES, module.recognises, module.read, module.write, **more)


# Those with telling marks come before those without.
FORMATS = {
    "labelstudio": _format(label_studio, unit="percent", options=("encoding", "annotator", "as_shown")),
    "coco": _format(coco_json, options=("encoding", "category")),
    "dlib": _format(dlib_xml),
    "cvat": _format(cvat_xml, options=("category",)),
    "pts": _format(pts_files, origin=pts_files.ORIGIN, beside=True, options=("encoding",)),
    "csv": _format(csv_table, options=("encoding", "image_column", "box_columns", "corners", "point_columns")),
}


def recognise(path: Path) -> str:
    """The name of the format that a file looks like, '' for none."""
    fitting = [name for name, form in FORMATS.items() if path.suffix.lower() in form.suffixes]
    if not fitting:
        return ""
    with open_file(path) as stream:
        head = stream.read(HEAD)
    return next((name for name in fitting if FORMATS[name].recognises(path, head)), "")
