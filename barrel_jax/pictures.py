# SPDX-License-Identifier: Apache-2.0
"""Picture files: their pixels as stored, and the turn that their orientation asks viewers for.

A camera that is held upright stores sideways pixels and a number from 1 to 8, the EXIF orientation, that says how to
turn them. JPEG, PNG, WebP and TIFF have it in EXIF, AVIF in the boxes `irot` and `imir`. OpenCV turns a TIFF always and
an AVIF never, whatever its flags say; here `decode` gives the pixels as stored for every format and `turned` shows them
as viewers do, so that whoever trains and whoever predicts read alike.
"""

import cv2
import numpy as np
from jaxtyping import UInt8

from barrel_jax.picture_heads import JPEG, PNG, TIFF, jpeg_segments, stored_size, tiff_entries, too_large

TAG = 0x0112  # of the orientation in EXIF
HEAD = 1 << 17  # bytes of a JPEG that have its EXIF
# What viewers do with the stored pixels, by orientation: exchange rows and columns first, then reverse rows, columns.
TURNS = {
    1: (False, False, False), 2: (False, False, True), 3: (False, True, True), 4: (False, True, False),
    5: (True, False, False), 6: (True, False, True), 7: (True, True, True), 8: (True, True, False),
}  # fmt: skip
# HEIF turns anticlockwise by quarters (irot), then mirrors (imir: 0 top and bottom, 1 left and right, None not at all).
HEIF_TURNS = {
    (0, None): 1, (0, 1): 2, (2, None): 3, (0, 0): 4, (1, 0): 5, (3, None): 6, (3, 0): 7, (1, None): 8,
    (1, 1): 7, (3, 1): 5, (2, 0): 2, (2, 1): 4,
}  # fmt: skip
# What a file is by its first bytes, where OpenCV cannot read it or not everywhere.
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"mif1", b"msf1")
STARTS = (
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"8BPS", "a Photoshop file"),
    (b"%PDF", "a PDF"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "XML"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
    (b"version https://git-lfs", "a Git LFS pointer"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "gzip"),
    (b"FUJIFILMCCD-RAW", "a camera's raw file"),
    (b"IIRO", "a camera's raw file"),
    (b"IIU\0", "a camera's raw file"),
)


def decode(encoded: bytes) -> UInt8[np.ndarray, "H W 3"] | None:
    """The pixels of a picture file as it stores them: uint8 [H, W, 3] in BGR, a grey one with three equal channels.

    None when OpenCV cannot read it, or when its head states no size or more pixels than `picture_heads.max_pixels`.
    """
    size = stored_size(encoded)
    if size is None or too_large(*size):
        return None
    try:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    except cv2.error:
        return None
    if pixels is not None and encoded.startswith(TIFF):
        return turned_back(pixels, orientation(encoded))
    return pixels


def turned(pixels: UInt8[np.ndarray, "H W 3"], orientation: int) -> UInt8[np.ndarray, "h w 3"]:
    """Stored pixels [H, W, 3] as viewers show them; 5 to 8 exchange height and width."""
    exchange, rows, columns = TURNS[orientation]
    pixels = pixels.swapaxes(0, 1) if exchange else pixels
    return np.ascontiguousarray(pixels[:: -1 if rows else 1, :: -1 if columns else 1])


def turned_back(pixels: UInt8[np.ndarray, "H W 3"], orientation: int) -> UInt8[np.ndarray, "h w 3"]:
    """The stored pixels of those that viewers show: the inverse of `turned`."""
    return turned(pixels, {6: 8, 8: 6}.get(orientation, orientation))


def orientation(encoded: bytes) -> int:
    """The orientation, 1 to 8, that the bytes of a file state; 1 where they state none, or no sensible one."""
    if encoded.startswith(TIFF):
        return _tiff_orientation(encoded)
    if encoded.startswith(JPEG):
        return _tiff_orientation(_jpeg_exif(encoded))
    if encoded.startswith(PNG):
        return _tiff_orientation(_png_exif(encoded))
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        return _tiff_orientation(_webp_exif(encoded))
    if encoded[4:8] == b"ftyp":
        return _heif_orientation(encoded)
    return 1


def unreadable_kind(encoded: bytes) -> str:
    """What a file is that OpenCV did not read: 'HEIC', 'a web page', ...; '' when its first bytes do not tell."""
    if why := too_large(*(stored_size(encoded) or (0, 0))):
        return why
    if encoded[4:8] == b"ftyp":
        brands = encoded[8:40]
        if any(brand in brands for brand in (b"avif", b"avis")):
            return "AVIF"
        return "HEIC" if any(brand in brands for brand in HEIF_BRANDS) else "a video"
    if encoded.startswith(TIFF):
        return "a TIFF or a camera's raw file of a kind"
    return next((kind for start, kind in STARTS if encoded.lstrip().startswith(start) or encoded.startswith(start)), "")


def _jpeg_exif(encoded: bytes) -> bytes:
    segments = (segment for marker, segment in jpeg_segments(encoded) if marker == 0xE1)
    return next((segment[6:] for segment in segments if segment.startswith(b"Exif\0")), b"")


def _png_exif(encoded: bytes) -> bytes:
    position = len(PNG)
    while position + 8 <= len(encoded):
        length, kind = int.from_bytes(encoded[position : position + 4], "big"), encoded[position + 4 : position + 8]
        if kind == b"eXIf":
            return encoded[position + 8 : position + 8 + length]
        position += 12 + length
    return b""


def _webp_exif(encoded: bytes) -> bytes:
    position = 12
    while position + 8 <= len(encoded):
        length, kind = int.from_bytes(encoded[position + 4 : position + 8], "little"), encoded[position : position + 4]
        if kind == b"EXIF":
            return encoded[position + 8 : position + 8 + length].removeprefix(b"Exif\0\0")
        position += 8 + length + length % 2
    return b""


def _heif_orientation(encoded: bytes) -> int:
    end = encoded.find(b"mdat")  # the properties of the picture come before its data, or else behind them
    before = encoded[: max(end, 0)]
    head = before if b"irot" in before or b"imir" in before else encoded
    quarters, mirror = head.find(b"\0\0\0\x09irot"), head.find(b"\0\0\0\x09imir")
    angle = head[quarters + 8] & 3 if 0 <= quarters < len(head) - 8 else 0
    axis = head[mirror + 8] & 1 if 0 <= mirror < len(head) - 8 else None
    return HEIF_TURNS[angle, axis]


def _tiff_orientation(tiff: bytes) -> int:
    """The orientation in the first directory of a TIFF structure, which EXIF is."""
    if not tiff.startswith(TIFF) or len(tiff) < 8:
        return 1
    value = next((value for tag, value in tiff_entries(tiff) if tag == TAG), 1)
    return value if value in TURNS else 1
