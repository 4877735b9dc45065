# SPDX-License-Identifier: Apache-2.0
"""The six folders of 300W, and what lies in one: images and `.pts` files, paired by their stems.

The 300 + 300 images of the private test set (`Test/01_Indoor`, `Test/02_Outdoor`) are a download of their own and are
not read.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Folder:
    """A folder of the published set."""

    split: str
    flags: tuple[int, int]  # common, challenging
    faces: int
    suffix: str  # of its images


# The order of the faces in their splits.
FOLDERS = {
    "afw": Folder("train", (0, 0), 337, ".jpg"),
    "helen/trainset": Folder("train", (0, 0), 2000, ".jpg"),
    "lfpw/trainset": Folder("train", (0, 0), 811, ".png"),
    "helen/testset": Folder("test", (1, 0), 330, ".jpg"),
    "lfpw/testset": Folder("test", (1, 0), 224, ".png"),
    "ibug": Folder("test", (0, 1), 135, ".jpg"),
}


@dataclass
class Listing:
    """The files in a folder; images and points by stem."""

    images: dict[str, list[Path]] = field(default_factory=dict)
    points: dict[str, list[Path]] = field(default_factory=dict)
    mirrors: set[str] = field(default_factory=set)  # stems of mirrored copies, in dlib's distribution of the set
    others: list[str] = field(default_factory=list)  # names of files that are none of these

    @property
    def stems(self) -> list[str]:
        """Every face's name, sorted."""
        return sorted(self.images.keys() | self.points.keys())


def list_folder(folder: Path) -> Listing:
    """What lies in a folder; nothing when it is not there."""
    listing = Listing()
    for name in sorted(entry.name for entry in os.scandir(folder) if entry.is_file()) if folder.is_dir() else ():
        path, shown = folder / name, os.fsencode(name).decode(errors="replace")
        suffix = path.suffix.lower()
        if name.startswith(".") or name != shown or suffix not in (*IMAGE_SUFFIXES, ".pts"):
            listing.others.append(shown)
        elif path.stem.endswith("_mirror"):
            listing.mirrors.add(path.stem)
        else:
            (listing.points if suffix == ".pts" else listing.images).setdefault(path.stem, []).append(path)
    return listing
