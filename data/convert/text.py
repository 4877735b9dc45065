# SPDX-License-Identifier: Apache-2.0
"""Text and JSON in whatever encoding a tool or a spreadsheet has written it."""

import json
from pathlib import Path
from typing import Any

from barrel_jax.encodings import GUESSED, check_text, decode_text
from barrel_jax.files import read_bytes
from data.source import Findings


def decode(path: Path, content: bytes, encoding: str = "") -> tuple[str, str]:
    """The text of a file's bytes, and the encoding that it was read in.

    Without `encoding` the bytes decide (`encodings.decode_text`).

    Raises:
        ValueError: the encoding is unknown, or the bytes are not in it; names the file.
    """
    if not encoding:
        try:
            return decode_text(content)
        except UnicodeError as error:
            raise ValueError(f"{path}: no text ({error}); name its encoding with --encoding") from error
    try:
        return content.decode(encoding), encoding
    except LookupError as error:
        raise ValueError(f"{path}: {encoding!r} is no encoding of text; name another with --encoding") from error
    except UnicodeError as error:
        raise ValueError(f"{path}: not in {encoding} ({error}); name its encoding with --encoding") from error


def read_text(path: Path, encoding: str, findings: Findings) -> str:
    """The text of a file; a guess of its encoding is noted. Raises ValueError as `decode` and `check_text`."""
    text, used = decode(path, read_bytes(path), encoding)
    check_text(path, text)
    if used in GUESSED and not encoding:
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
