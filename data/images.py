# SPDX-License-Identifier: Apache-2.0
"""Reading a source image and cutting the stored region of a face.

Pixels are those that the file stores: an EXIF orientation is ignored, as COCO's own tools do. Where the points are of
the turned picture, whoever reads the source says so (`data.source.Face.orientation`) and the pixels are turned before
they are cut. A stored region is never turned again (`barrel_jax.pictures.decode`).
"""

from pathlib import Path

import cv2
import numpy as np

from barrel_jax import pictures
from barrel_jax.files import read_bytes

JPEG = (
    *(cv2.IMWRITE_JPEG_QUALITY, 98),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
)
PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1)  # higher levels take several times as long for a few per cent
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
START_OF_SCAN, FILL = 0xDA, 0xFF


def is_complete(encoded: bytes) -> bool:
    """Whether a JPEG or PNG has its end mark: OpenCV decodes a cut-off file without complaint and fills in grey."""
    if encoded.startswith(PNG_START):
        return PNG_END in encoded
    if not encoded.startswith(JPEG_START):
        return True
    position = 2  # Walk over the segments to the scan, since an embedded thumbnail has an end mark of its own.
    while position + 4 <= len(encoded) and encoded[position] == 0xFF:
        if encoded[position + 1] == FILL:
            position += 1
        elif encoded[position + 1] == START_OF_SCAN:
            return encoded.find(JPEG_END, position) >= 0
        else:
            position += 2 + int.from_bytes(encoded[position + 2 : position + 4], "big")
    return False


def read_image(path: Path) -> tuple[bytes, np.ndarray]:
    """Reads and decodes an image file.

    Returns:
        The file's bytes, and its pixels as uint8 [H, W, 3] in BGR; a grey image has three equal channels.

    Raises:
        FileNotFoundError: there is no such file, or it is a folder or a pipe.
        ValueError: the file is of a kind that is not read, broken or cut off, or less than 2 pixels wide or high.
    """
    if not path.is_file():
        kind = "no file but a folder, a pipe or a device" if path.exists() else "missing"
        raise FileNotFoundError(f"{path}: image is {kind}; put it there or remove it from the annotations")
    encoded = read_bytes(path)
    pixels = pictures.decode(encoded)
    if pixels is None and (kind := pictures.unreadable_kind(encoded)):
        remedy = "convert it to JPEG or PNG, such as `magick a.heic a.jpg`, and name the new file in the annotations"
        raise ValueError(
            f"{path}: image is {kind}, which is not read here; {'git lfs pull fetches it' if 'LFS' in kind else remedy}"
        )
    if pixels is None or not is_complete(encoded):
        raise ValueError(
            f"{path}: image is broken or cut off ({len(encoded)} bytes); replace it or remove it from the annotations"
        )
    height, width = pixels.shape[:2]
    if min(height, width) < 2:
        raise ValueError(f"{path}: image of {width} x {height} pixels can show no face; remove it from the annotations")
    return encoded, pixels


def check_size(path: Path, pixels: np.ndarray, size: tuple[int, int] | None) -> None:
    """Raises ValueError when pixels [H, W, 3] are not of the width and height that the annotations give."""
    height, width = pixels.shape[:2]
    if size is not None and (width, height) != size:
        raise ValueError(
            f"{path}: image is {width} x {height} pixels (a turn by EXIF considered) but the annotations say "
            f"{size[0]} x {size[1]}, so the points belong to another version of it; replace it or correct them"
        )


def region_of(box: np.ndarray, windows: list[np.ndarray], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The stored region of a face: its box grown twofold about its centre and the windows of all crop protocols, in
    whole pixels, clipped to the image.

    A tall face in a narrow box has a square window wider than the twofold box: cut off there, it would be padded with
    black where the image has pixels.

    Args:
        box: x, y, w, h in source pixels.
        windows: [4] each, likewise.
        size: width and height of the image.

    Returns:
        x, y, w, h in source pixels, at least one pixel.
    """
    spans = [(box[:2] - box[2:] / 2, box[:2] + box[2:] * 1.5), *((w[:2], w[:2] + w[2:]) for w in windows)]
    low = np.clip(np.floor(np.min([span[0] for span in spans], axis=0)), 0, np.array(size) - 1).astype(int)
    high = np.clip(np.ceil(np.max([span[1] for span in spans], axis=0)), low + 1, size).astype(int)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def encode_region(
    encoded: bytes, pixels: np.ndarray, region: tuple[int, int, int, int], *, turned: bool = False
) -> bytes:
    """The region x, y, w, h of an image as bytes.

    The file's own when that is all of a JPEG or PNG. Cut out of a JPEG it is a JPEG 98 with full colour: half
    a grey level from the pixels, a third of a PNG's size and a ninth of its time (benchmarks/results/prepare.json). Cut
    out of anything else it is a PNG.

    Args:
        encoded: the file's bytes.
        pixels: uint8 [H, W, 3], BGR, as `read_image` gives them.
        region: in whole pixels, inside the image.
        turned: the pixels were turned after they were read, so that the file's bytes are not theirs.
    """
    x, y, w, h = region
    if not turned and (h, w) == pixels.shape[:2] and encoded.startswith((JPEG_START, PNG_START)):
        return encoded
    suffix, options = (".jpg", JPEG) if encoded.startswith(JPEG_START) else (".png", PNG)
    return cv2.imencode(suffix, pixels[y : y + h, x : x + w], options)[1].tobytes()
