# SPDX-License-Identifier: Apache-2.0
"""The format of a folder that is no COCO set in the layout that is read, and the command that makes it one."""

import itertools
import os
import shlex
from pathlib import Path

from data.convert.formats import FORMATS, recognise
from data.convert.pictures import files_of

LOOKED_AT = 20  # files of each kind


def meant_format(source: Path) -> str:
    """The name of the format that a folder's files, or a file, look like; '' for none."""
    if source.is_file():
        return recognise(source)
    if not source.is_dir():
        return ""
    suffixes = tuple({suffix for form in FORMATS.values() for suffix in form.suffixes})
    return next(filter(None, map(recognise, itertools.islice(files_of(source, suffixes), LOOKED_AT))), "")


def convert_hint(source: Path) -> str:
    """'; it looks like X: convert it with COMMAND' for a source in one of the formats, as the end of a sentence."""
    name = meant_format(source)
    if not name:
        return ""
    place = source if source.stem.strip(".") else Path(os.path.normpath(source.absolute()))
    out = f"{place if source.is_dir() else place.with_suffix('')}-coco"
    command = shlex.join(["python", "-m", "data.convert", name, str(source), "--out", out])
    return f"; it looks like {FORMATS[name].about}: `{command}` makes a folder that is read"
