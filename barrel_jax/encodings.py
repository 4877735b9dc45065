# SPDX-License-Identifier: Apache-2.0
"""Text as other systems have written it: in files, and in files' names."""

import codecs
import re
import unicodedata
from pathlib import Path

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
HEAD = 4096  # bytes in which zeros are counted
UNDEFINED = {0x81, 0x8D, 0x8F, 0x90, 0x9D}  # bytes without a letter in Windows-1252
GUESSED = ("cp1252", "latin-1")  # encodings that nothing in a file speaks for


def decode_text(encoded: bytes) -> tuple[str, str]:
    """The text of a file's bytes, and the encoding that it was read in.

    A byte-order mark decides, then the zeros that UTF-16 and UTF-32 have beside ASCII, then UTF-8; what is none of
    these is taken for Windows-1252, Western Europe's Latin-1.

    Raises:
        UnicodeError: the bytes are not in the encoding that their mark or their zeros say.
    """
    found = [name for mark, name in MARKS if encoded.startswith(mark)]
    if found:
        return encoded.decode(found[0]), found[0]
    head = encoded[:HEAD]
    zeros, most = [head[place::4].count(0) for place in range(4)], len(head) // 8
    if most and max(zeros) > most:
        full = tuple(count > most for count in zeros)
        wide: dict[tuple[bool, ...], str] = {
            (False, True, True, True): "utf-32-le",
            (True, True, True, False): "utf-32-be",
        }
        high, low = zeros[0] + zeros[2], zeros[1] + zeros[3]
        encoding = wide.get(full, "utf-16-le" if low > high else "utf-16-be")
        return encoded.decode(encoding), encoding
    try:
        return encoded.decode(), "utf-8"
    except UnicodeDecodeError:
        encoding = GUESSED[1] if UNDEFINED.intersection(encoded) else GUESSED[0]
        return encoded.decode(encoding), encoding


def check_text(file: Path, text: str) -> str:
    """The text of a file as it is. Raises ValueError when no text has it; names the file and the line."""
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ValueError(
            f"{file}, line {line}: this is no text: it holds zero bytes, as a picture, an archive or a spreadsheet "
            "(.xlsx) does; export it as text"
        )
    return text


def readable(name: str) -> str:
    """A file's name as text that can be written: bytes that are no UTF-8, which disks allow, are read as Latin-1."""
    try:
        encoded = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        encoded = name.encode("utf-8", "backslashreplace")
    try:
        return encoded.decode()
    except UnicodeDecodeError:
        return encoded.decode("latin-1")


def composed(name: str) -> str:
    """A file's name as `readable` gives it, letters and their accents composed, as not every system writes them."""
    return unicodedata.normalize("NFC", readable(name))


def spelt(path: str) -> str:
    """A path as `composed`, its folders parted by slashes, as not every system does."""
    return composed(path).replace("\\", "/")


def digits(name: str) -> str:
    """The digits of a name: one with others is of another picture."""
    return re.sub(r"\D", "", name)
