# SPDX-License-Identifier: Apache-2.0
"""Reading matrices of MATLAB 5 files with SciPy, without trust in what they hold.

A file is a header, then data elements, each a tag of type and size before its bytes. SciPy looks up types and classes
in tables without asking whether they have them, and seeks an imaginary part wherever a flag says so: one damaged byte
can end the process. Hence a walk over the elements before SciPy reads them.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import scipy.io

from barrel_jax.files import read_bytes

HEADER = 128  # bytes: text, version and byte order
ORDERS = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}  # by the header's end, of MATLAB 5 to 7.2
INT8, INT32, UINT32, MATRIX, COMPRESSED = 1, 5, 6, 14, 15
NUMBERS = (1, 2, 3, 4, 5, 6, 7, 9, 12, 13)  # int8, uint8, ... int32, uint32, single, double, int64, uint64
CLASSES = range(6, 16)  # of matrices: double, single and eight of whole numbers
COMPLEX = 0x800
MAX_BYTES = 1 << 24  # of one matrix unpacked; a damaged or malicious file could otherwise fill the memory
# What SciPy raises on files whose elements are well-formed and do not fit together. Of some it only warns.
DAMAGE = (ValueError, TypeError, OSError, scipy.io.matlab.MatReadError, Warning)


def read_matrices(
    path: Path, shapes: Mapping[str, tuple[int | None, int | None]], remedy: str
) -> dict[str, np.ndarray]:
    """The named matrices of a MATLAB 5 file, float64.

    Args:
        path: the file.
        shapes: by the names of the matrices; None for any number of rows or columns.
        remedy: ends every message.

    Raises:
        ValueError: the file is no MATLAB 5 file, cut off or damaged, or a matrix is not there, has no real numbers or
            another shape; names the file and the variable.
    """
    try:
        content = read_bytes(path)
        check_elements(content)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = scipy.io.loadmat(io.BytesIO(content), variable_names=list(shapes))
    except DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: cannot be read as MATLAB 5: {reason}; {remedy}") from error
    for name, shape in shapes.items():
        if name not in found:
            raise ValueError(f"{path}: {name} is not there; {remedy}")
        sides = found[name].shape
        if len(sides) != 2 or any(want not in (None, side) for side, want in zip(sides, shape, strict=True)):
            expected = " x ".join("n" if want is None else str(want) for want in shape)
            raise ValueError(
                f"{path}: {name} is {' x '.join(map(str, sides))} where {expected} numbers are expected; {remedy}"
            )
    return {name: _quiet(found[name].astype(np.float64)) for name in shapes}


def _quiet(values: np.ndarray) -> np.ndarray:
    """The same with every NaN a quiet one: a damaged byte can make one of which NumPy warns at every touch."""
    return np.where(np.isnan(values), np.nan, values)


def check_elements(content: bytes) -> None:
    """Raises ValueError when the bytes are no MATLAB 5 file of matrices of real numbers, whole and well-formed."""
    if content.startswith(b"MATLAB 7.3"):
        raise ValueError("it is of MATLAB 7.3 (HDF5), not of MATLAB 5")
    # A zero among the first four bytes is what tells a MATLAB 4 file.
    if 0 in content[:4] or content[HEADER - 4 : HEADER] not in ORDERS:
        raise ValueError(f"the header of {HEADER} bytes is not that of a MATLAB 5 file")
    order = ORDERS[content[HEADER - 4 : HEADER]]
    for kind, body in _elements(content[HEADER:], order):
        if kind == COMPRESSED:
            inner = list(_elements(_unpack(body), order))
            if len(inner) != 1:
                raise ValueError(f"{len(inner)} elements are compressed into one")
            kind, body = inner[0]
        if kind != MATRIX:
            raise ValueError(f"there is an element of type {kind} where a matrix is expected")
        _check_matrix(list(_elements(body, order)), order)


def _check_matrix(parts: list[tuple[int, bytes]], order: str) -> None:
    """Raises ValueError unless the parts are flags, dimensions, name and real numbers."""
    kinds = [kind for kind, _ in parts]
    if kinds[:3] != [UINT32, INT32, INT8] or len(parts[0][1]) != 8:
        raise ValueError(f"a matrix begins with parts of types {kinds[:3]}, not with flags, dimensions and name")
    (flags,) = struct.unpack_from(f"{order}I", parts[0][1])
    if flags & 0xFF not in CLASSES or flags & COMPLEX or len(parts) != 4 or kinds[3] not in NUMBERS:
        raise ValueError(f"a matrix has no real numbers: flags {flags:#x}, parts of types {kinds[3:]}")


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yields type and bytes of every element. Raises ValueError when one does not end in the content."""
    start = 0
    while start < len(content):
        if start + 8 > len(content):
            raise ValueError("it ends in the middle of a tag")
        kind, size = struct.unpack_from(f"{order}II", content, start)
        if kind >> 16:  # a small element: its size in the upper half, up to 4 bytes in place of the size
            kind, size, start, end = kind & 0xFFFF, kind >> 16, start + 4, start + 8
        else:
            start, end = start + 8, start + 8 + size
            end += 0 if kind == COMPRESSED else -size % 8  # all others are padded
        if size > end - start or end > len(content):
            raise ValueError(f"an element of {size:,} bytes is cut off")
        yield kind, content[start : start + size]
        start = end


def _unpack(body: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(body, MAX_BYTES)
    except zlib.error as error:
        raise ValueError(f"a compressed element is damaged: {error}") from error
    if not unpacker.eof:
        raise ValueError(f"a compressed element is cut off or has more than {MAX_BYTES:,} bytes")
    return content
