# SPDX-License-Identifier: Apache-2.0
"""Names of pictures as annotations write them: their parts, what they are compared by, what tools made of them."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, unquote, urlsplit

from barrel_jax.encodings import composed
from data.convert.split_names import named_split
from data.path_ends import Parts


def compared(name: str) -> str:
    """What names are compared by: composed, without regard to capitals."""
    return composed(name).casefold()


def compared_parts(parts: Parts) -> Parts:
    """As `compared`, of each part of a path."""
    return tuple(map(compared, parts))


def is_absolute(name: str) -> bool:
    """Whether a name begins at the root of a disk, here or on Windows."""
    return name.startswith("/") or bool(re.match("[A-Za-z]:", name))


def parts_of(name: str) -> Parts:
    """The folders and the name, without a drive."""
    return tuple(part for part in re.sub("^[A-Za-z]:", "", name).split("/") if part not in ("", "."))


def of_split(found: list[Parts], split: str) -> list[Parts]:
    """Of several files those in a folder of the split, all where none is."""
    narrowed = [parts for parts in found if split in map(named_split, parts[:-1])] if len(found) > 1 and split else []
    return narrowed or found


def variants(name: str) -> Iterator[tuple[str, str]]:
    """The name as written, and as it was before other tools had written it, with what was done."""
    yield name, ""
    if "\\" in name:
        name = name.replace("\\", "/")
        yield name, "back_slashes_read_as_slashes"
    address = re.match("[A-Za-z][A-Za-z0-9+.-]+://", name) or "?d=" in name
    if address:
        try:
            parts = urlsplit(name)
        except ValueError:  # an address with a broken host
            parts = urlsplit("")
        name = parse_qs(parts.query).get("d", [unquote(parts.path)])[0]
        yield name, "addresses_read_as_files"
    elif "%" in name:
        yield unquote(name), "addresses_read_as_files"
    try:
        mended = name.encode("latin-1").decode("utf-8")
    except UnicodeError:
        mended = name
    if mended != name:
        yield mended, "names_whose_encoding_was_mended"
    folder, slash, last = name.rpartition("/")
    if re.match("[0-9a-f]{8}-.", last):
        yield f"{folder}{slash}{last[9:]}", "upload_prefixes_left_out"
