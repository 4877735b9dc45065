# SPDX-License-Identifier: Apache-2.0
"""The sizes of pictures as the heads of their files state them, read before anything is decoded.

A head of thirty bytes can claim gigapixels, and a file of a megabyte can hold them. Here is the head of every format
that OpenCV reads; a file of another format has no size and is not decoded. Where several places of a file state a size
the largest counts, so that a decoder that looks elsewhere finds no more.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

MAX_PIXELS = 1 << 28  # of a picture that is decoded, where nobody has set another limit: 0.8 GB
BIG_TIFF = (b"II+\0", b"MM\0+")
JPEG, PNG, TIFF = b"\xff\xd8", b"\x89PNG\r\n\x1a\n", (b"II*\0", b"MM\0*", *BIG_TIFF)
LONE = (0x01, *range(0xD0, 0xD9))  # JPEG's markers without a segment
WIDTH, HEIGHT = 256, 257  # tags of TIFF
_limit = {"pixels": MAX_PIXELS}
Order = Literal["little", "big"]  # of the bytes of a number
# OpenCV ends a comment at a carriage return too, and reads signs and leading zeros as C does.
NETPBM = re.compile(rb"P[1-6Ff](?:\s|#[^\r\n]*[\r\n])+(\d{1,10})(?:\s|#[^\r\n]*[\r\n])+(\d{1,10})\s")
RADIANCE = re.compile(rb"[-+]Y\s*\+?0*(\d{1,20})\s*[-+]X\s*\+?0*(\d{1,20})")
CODESTREAM = re.compile(rb"\xff\x4f\xff\x51.{4}(.{4})(.{4})", re.DOTALL)  # JPEG 2000
EXTENT = re.compile(rb"ispe.{4}(.{4})(.{4})", re.DOTALL)  # AVIF


@contextmanager
def max_pixels(most: int) -> Iterator[None]:
    """Meanwhile pictures of at most so many pixels are decoded, in every thread (`config.data.max_pixels`)."""
    before = _limit["pixels"]
    _limit["pixels"] = most
    try:
        yield
    finally:
        _limit["pixels"] = before


def too_large(width: float, height: float) -> str:
    """Why a picture of a size is not decoded, and what changes that; '' where it is small enough."""
    if width * height <= _limit["pixels"]:
        return ""
    more = "--max-pixels, or config.data.max_pixels in training, takes larger ones"
    return f"of {width:.0f} x {height:.0f} pixels, more than {_limit['pixels']:,} ({more})"


def stored_size(encoded: bytes) -> tuple[int, int] | None:
    """Width and height of the stored pixels as the head of a file states them; None where it states none."""
    if encoded.startswith(PNG):
        return _pair(encoded, 16, 4, "big")
    if encoded.startswith(JPEG):
        frames = (segment for marker, segment in jpeg_segments(encoded) if _is_frame(marker) and len(segment) >= 5)
        return _largest((_pair(frame, 1, 2, "big") or (0, 0))[::-1] for frame in frames)
    if encoded.startswith(TIFF):
        return _tiff_size(encoded)
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        return _webp_size(encoded)
    if encoded[4:8] == b"ftyp":
        return _largest(map(_numbers, EXTENT.findall(encoded)))
    if encoded.startswith((b"GIF87a", b"GIF89a")):
        return _pair(encoded, 6, 2, "little")
    if encoded.startswith(b"BM"):
        return _bmp_size(encoded)
    if encoded[4:8] == b"jP  " or encoded.startswith(b"\xff\x4f\xff\x51"):
        return _largest(map(_numbers, CODESTREAM.findall(encoded)))
    if encoded.startswith(b"\x59\xa6\x6a\x95"):  # Sun's raster
        return _pair(encoded, 4, 4, "big")
    if encoded.startswith(b"P7"):
        head = encoded[: encoded.find(b"ENDHDR")]
        sides = [
            [int(side) for side in re.findall(rb"%s\s+0*(\d{1,20})" % name, head)] for name in (b"WIDTH", b"HEIGHT")
        ]
        return (max(sides[0]), max(sides[1])) if all(sides) else None
    if encoded.startswith((b"#?RADIANCE", b"#?RGBE")):
        return _largest((int(width), int(height)) for height, width in RADIANCE.findall(encoded[: 1 << 16]))
    found = NETPBM.match(encoded)
    return (int(found[1]), int(found[2])) if found else None


def jpeg_segments(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    """The markers and contents of the segments before the scan; what is no marker is skipped, as libjpeg does."""
    position = 2
    while 0 <= (position := encoded.find(b"\xff", position)) <= len(encoded) - 4:
        marker = encoded[position + 1]
        if marker in (0x00, 0xFF) or marker in LONE:  # stuffed, fill, without a length
            position += 1 if marker == 0xFF else 2
            continue
        if marker == 0xDA:  # the scan
            return
        length = int.from_bytes(encoded[position + 2 : position + 4], "big")
        yield marker, encoded[position + 4 : position + 2 + length]
        position += 2 + length


def _is_frame(marker: int) -> bool:
    return 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)


def _largest(sizes: Iterable[tuple[int, int]]) -> tuple[int, int] | None:
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _numbers(pair: tuple[bytes, bytes]) -> tuple[int, int]:
    return int.from_bytes(pair[0], "big"), int.from_bytes(pair[1], "big")


def _pair(encoded: bytes, start: int, length: int, order: Order) -> tuple[int, int] | None:
    """Two whole numbers of some bytes each; None where the file ends before."""
    if len(encoded) < start + 2 * length:
        return None
    sides = (encoded[place : place + length] for place in (start, start + length))
    width, height = (int.from_bytes(side, order) for side in sides)
    return width, height


def _bmp_size(encoded: bytes) -> tuple[int, int] | None:
    if encoded[14:18] == b"\x0c\0\0\0":  # OS/2's
        return _pair(encoded, 18, 2, "little")
    if len(encoded) < 26:
        return None
    width, height = (int.from_bytes(encoded[place : place + 4], "little", signed=True) for place in (18, 22))
    return abs(width), abs(height)  # rows from the top have a height below 0


def _webp_size(encoded: bytes) -> tuple[int, int] | None:
    kind = encoded[12:16]
    if len(encoded) < 30:
        return None
    if kind == b"VP8X":
        return 1 + int.from_bytes(encoded[24:27], "little"), 1 + int.from_bytes(encoded[27:30], "little")
    if kind == b"VP8L":
        sides = int.from_bytes(encoded[21:25], "little")
        return 1 + (sides & 0x3FFF), 1 + (sides >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = (int.from_bytes(encoded[place : place + 2], "little") for place in (26, 28))
        return width & 0x3FFF, height & 0x3FFF
    return None


def _tiff_size(tiff: bytes) -> tuple[int, int] | None:
    """Of the first directory, which is the one that OpenCV reads."""
    sides: dict[int, int] = {}
    for tag, value in tiff_entries(tiff):
        if tag in (WIDTH, HEIGHT):
            sides[tag] = max(value, sides.get(tag, 0))
    return (sides[WIDTH], sides[HEIGHT]) if len(sides) == 2 else None


def tiff_entries(tiff: bytes) -> Iterator[tuple[int, int]]:
    """The tags of the first directory of a TIFF structure, which EXIF is too, each with its first number."""
    order: Order = "little" if tiff.startswith(b"II") else "big"
    big = tiff.startswith(BIG_TIFF)

    def number(start: int, length: int) -> int:
        return int.from_bytes(tiff[start : start + length], order)

    directory, count, entry = (number(8, 8), 8, 20) if big else (number(4, 4), 2, 12)
    for place in range(directory + count, directory + count + entry * min(number(directory, count), 4096), entry):
        length = {3: 2, 4: 4, 16: 8}.get(number(place + 2, 2), 1)
        yield number(place, 2), number(place + (12 if big else 8), length)
