# SPDX-License-Identifier: Apache-2.0
"""Text and JSON in whatever encoding a tool or a spreadsheet has written it."""

import codecs
import json
from pathlib import Path
from typing import Any

from barrel_jax.files import read_bytes
from data.source import Findings

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(path: Path, content: bytes, encoding: str = "") -> tuple[str, str]:
    """The text of a file's bytes, and the encoding that it was read in.

    Without `encoding` a byte-order mark decides, then the zeros that UTF-16 has beside ASCII, then UTF-8; what is none
    of these is taken for Windows-1252, Western Europe's latin-1.

    Raises:
        ValueError: the encoding is unknown, or the bytes are not in it; names the file.
    """
    if not encoding:
        found = [name for mark, name in MARKS if content.startswith(mark)]
        evens, odds = content[0:4096:2].count(0), content[1:4096:2].count(0)
        half = len(content[:4096]) // 4
        if found:
            encoding = found[0]
        elif half and max(evens, odds) > half:
            encoding = "utf-16-le" if odds > evens else "utf-16-be"
        else:
            try:
                return content.decode(), "utf-8"
            except UnicodeDecodeError:
                return content.decode("cp1252", errors="replace"), "cp1252"
    try:
        return content.decode(encoding), encoding
    except LookupError as error:
        raise ValueError(f"{path}: {encoding!r} is no encoding of text; name another with --encoding") from error
    except UnicodeError as error:
        raise ValueError(f"{path}: not in {encoding} ({error}); name its encoding with --encoding") from error


def read_text(path: Path, encoding: str, findings: Findings) -> str:
    """The text of a file; a guess of its encoding is noted. Raises ValueError as `decode`."""
    text, used = decode(path, read_bytes(path), encoding)
    if used == "cp1252" and not encoding:
        findings.notes.append(f"{path}: not UTF-8, read as Windows-1252 (latin-1); --encoding names another")
    return text


def read_json(path: Path, encoding: str, findings: Findings) -> Any:
    """What a JSON file says. Raises ValueError when it is none; names the file."""
    try:
        return json.loads(read_text(path, encoding, findings))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON ({error}); export it again") from error
    except RecursionError as error:
        raise ValueError(f"{path}: lists within lists beyond all measure; export it again") from error
    except ValueError as error:
        if "integer string conversion" in str(error):
            raise ValueError(f"{path}: a whole number of thousands of digits; correct it") from error
        raise
