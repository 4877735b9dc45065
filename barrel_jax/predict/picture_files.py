# SPDX-License-Identifier: Apache-2.0
"""The picture files of a folder, the faults of those that cannot be read, and the pixels of one."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from barrel_jax import pictures
from barrel_jax.files import read_bytes, readable_name
from barrel_jax.plain_path import PlainPath

PICTURES = (
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".jp2", ".jpe", ".jpeg", ".jpg", ".jxl", ".png", ".tif", ".tiff",
    ".webp",
)  # fmt: skip
# Of these OpenCV sees the preview, if anything: a small picture in the place of a large one.
RAW = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".srw")
CONVERT = "convert it to JPEG or PNG, such as `magick a.heic a.jpg`"


@dataclass
class Found:
    """The pictures of a source, in the order of their names."""

    pictures: list[Path] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)  # what is no file at all
    others: Counter[str] = field(default_factory=Counter)  # suffixes of files that are none


def find_pictures(source: Path) -> Found:
    """The pictures directly in a folder, or the one picture; none for what may be a video or a camera.

    Raises FileNotFoundError when nothing is there, ValueError when a folder has no picture.
    """
    if not source.is_dir():
        if not source.exists() and not is_camera_number(str(source)):
            raise FileNotFoundError(f"{source}: no such picture, folder or video, nor the number of a camera")
        return Found([source] if source.is_file() and _is_picture(source) else [])
    found = Found()
    for path in sorted(source.iterdir()):
        if path.is_dir():
            continue
        if path.name.startswith("."):  # macOS leaves a ._a.jpg beside a.jpg on other systems' disks
            found.others["hidden"] += 1
        elif not path.is_file():
            found.faults.append(f"{path}: a link that leads nowhere, or no file")
        elif _is_picture(path):
            found.pictures.append(path)
        else:
            found.others[path.suffix.lower() or "no suffix"] += 1
    if not found.pictures:
        raise ValueError(f"{source}: no pictures in this folder ({', '.join(PICTURES)})")
    return found


def is_camera_number(text: str) -> bool:
    """Whether a text can be the number of a camera, which OpenCV takes as a C int."""
    return text.isdecimal() and len(text) <= 10 and int(text) < 1 << 31


def _is_picture(path: Path) -> bool:
    if path.suffix.lower() in PICTURES + RAW:
        return True
    with PlainPath(path) as plain:
        return cv2.haveImageReader(str(plain))


@dataclass(frozen=True)
class Picture:
    """The pixels of a picture file as it stores them, and how viewers turn them."""

    path: Path
    stored: UInt8[np.ndarray, "H W 3"]  # RGB
    orientation: int  # EXIF's, 1 to 8
    held: int = 1  # pictures in the file, of which this is the first

    @property
    def name(self) -> str:
        """Its file's name, as text that can be written."""
        return readable_name(self.path)

    @property
    def upright(self) -> UInt8[np.ndarray, "H W 3"]:
        """The pixels as viewers show them, RGB uint8 [H, W, 3]."""
        return pictures.turned(self.stored, self.orientation)


def read_picture(path: Path) -> Picture:
    """A picture file. ValueError says why it cannot be read."""
    try:
        encoded = read_bytes(path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    suffix = path.suffix.lower()
    if suffix in RAW:
        raise ValueError(f"{path}: this is a camera's raw file, which is not read here; {CONVERT}")
    stored = pictures.decode(encoded)
    if stored is not None:
        return Picture(path, cv2.cvtColor(stored, cv2.COLOR_BGR2RGB), pictures.orientation(encoded), _count(path))
    if kind := pictures.unreadable_kind(encoded):
        raise ValueError(f"{path}: this is {kind}, which is not read here; {CONVERT}")
    raise ValueError(f"{path}: not a picture that OpenCV can read, or damaged")


def _count(path: Path) -> int:
    """How many pictures a file holds that OpenCV has read: frames of an animation, or pages."""
    with PlainPath(path) as plain:
        try:
            return max(cv2.imcount(str(plain)), 1)
        except cv2.error:  # it knows the number in some formats alone
            return 1
