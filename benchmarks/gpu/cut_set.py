# SPDX-License-Identifier: Apache-2.0
"""Folders of faces that are cut already, as `barrel_jax.input.crops` leaves them beside a built set.

`load_crops` reads them without the set, so that a machine needs neither the source nor TFDS.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from barrel_jax import files

PROTOCOL = "pipnet"
COLUMNS = ("points", "visible", "windows", "boxes", "sizes", "flags", "files", "faces")  # of faces.npz


def split_folder(directory: Path, split: str, size: int) -> Path:
    """Where the crops of a split lie: images.npy uint8 [n, S, S, 3] and faces.npz with the `COLUMNS`."""
    return directory / "crops" / f"{split}-{PROTOCOL}-{size}"


def read_split(directory: Path, split: str, size: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Images uint8 [n, S, S, 3] and columns of a split that is cut."""
    folder = split_folder(directory, split, size)
    with np.load(folder / "faces.npz") as columns:
        return np.load(folder / "images.npy", mmap_mode="r"), {name: columns[name] for name in COLUMNS}


def write_split(directory: Path, split: str, images: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
    """Writes a split; its folder appears only when whole. One that is there is left alone."""
    target = split_folder(directory, split, images.shape[1])
    if target.exists():
        return
    temporary = files.beside(target)
    temporary.mkdir(parents=True)
    try:
        np.save(temporary / "images.npy", images)
        np.savez(temporary / "faces.npz", **{name: columns[name] for name in COLUMNS})
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_metadata(directory: Path, metadata: Mapping[str, Any]) -> None:
    """Says what set it is (`data.metadata.face_metadata`); the last thing that is written of a folder."""
    files.write(directory / "metadata.json", lambda path: path.write_text(json.dumps(metadata)))


def is_whole(directory: Path) -> bool:
    """Whether everything of this folder has been written."""
    return (directory / "metadata.json").exists()
