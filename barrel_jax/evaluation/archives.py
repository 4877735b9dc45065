# SPDX-License-Identifier: Apache-2.0
"""Arrays of a `.npz`, none of which is unpacked before its head has told how large it is.

A zip of three megabytes can hold gigabytes, and thirty bytes can claim any shape.
"""

import math
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from barrel_jax import files

FACE = 1 << 14  # bytes of one column for a face: the longest path that there is, four bytes a letter


def read_archive(file: Path, names: Iterable[str], faces: int | None = None) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The named arrays of a `.npz`, as far as it has them.

    Args:
        file: the archive.
        names: of its arrays.
        faces: how many faces it should be of: an array may have `FACE` bytes for each. Without it none may be larger
            than the file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, has something else than plain arrays of one size in head and archive, or an array is
            larger than that; names file and array.
    """
    with files.open_file(file) as stream:
        most = os.fstat(stream.fileno()).st_size if faces is None else FACE * max(faces, 1)
        try:
            if stream.read(6) == b"\x93NUMPY":
                raise ValueError("it holds one array without a name")
            with zipfile.ZipFile(stream) as archive:
                there = [name for name in names if f"{name}.npy" in archive.namelist()]
                return {name: _read(archive, f"{name}.npy", most) for name in there}
        except files.BROKEN_ARCHIVE as error:
            raise ValueError(f"{file}: not a readable .npz of plain arrays: {error}") from error


def _read(archive: zipfile.ZipFile, name: str, most: int) -> np.ndarray:
    about = archive.getinfo(name)
    if about.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is packed in another way than NumPy's")
    with archive.open(about) as stream:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"{name} is of a version that plain arrays do not need")
        shape, _, kind = np.lib.format.read_array_header_1_0(stream)
        head, count = stream.tell(), math.prod(shape)
    size = count * kind.itemsize
    if kind.hasobject or min(shape, default=0) < 0:
        raise ValueError(f"{name} is {kind} {list(shape)}")
    if size != about.file_size - head:
        raise ValueError(f"{name} claims {size:,} bytes and has {about.file_size - head:,}")
    if max(size, count) > most:
        raise ValueError(f"{name} is {kind} {list(shape)}, {size:,} bytes, and {most:,} are the most here")
    with archive.open(about) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)
