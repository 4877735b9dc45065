# SPDX-License-Identifier: Apache-2.0
"""Checksums of a checkpoint's files: a bit that a disk has changed is found before the weights are used.

The array store's own checksums cover its index and not its values. XXH3 is as fast as memory, an eighth of CRC-32's
time; it finds damage and stops no forger, who could write the checksums anew.
"""

import os
import zlib
from pathlib import Path

import xxhash

from barrel_jax import files
from barrel_jax.training import array_store

NAME = "checksums.json"
PIECE = 1 << 20  # bytes read at once, which a processor's cache holds
OLD_BLOCK = 1 << 25  # bytes under one CRC-32 in checkpoints of before XXH3


def write(folder: Path) -> None:
    """Writes `checksums.json` of all files below a folder: {path: XXH3, 64 bits, in hexadecimal}."""
    folder = Path(folder)
    files.write_json(folder / NAME, {name: _checksum(path) for name, path in _files(folder).items()})


def damage(folder: Path) -> str | None:
    """What is not as it was at `write`: '' for nothing, None where no checksums were written.

    Files that came later are left out of account.

    Raises:
        OSError: a file cannot be read for a reason that may pass (`array_store.passes`).
    """
    folder = Path(folder)
    if not (folder / NAME).exists():
        return None
    there, changed = _files(folder), []
    try:
        expected = files.read_json(folder / NAME, "its checkpoint cannot be trusted")
        if not isinstance(expected, dict):
            return f"{folder / NAME}: no object of checksums by file"
        for name, checksum in expected.items():
            of_file = _old_checksums if isinstance(checksum, list) else _checksum
            if name not in there or of_file(there[name]) != checksum:
                changed.append(name)
    except (ValueError, OSError) as error:
        if array_store.passes(str(error)):
            raise
        return str(error)
    return f"{', '.join(changed[:3])}: not as written" if changed else ""


def _files(folder: Path) -> dict[str, Path]:
    below = sorted(Path(parent) / name for parent, _, names in os.walk(folder) for name in names if name != NAME)
    return {str(path.relative_to(folder)): path for path in below}


def _checksum(path: Path) -> str:
    checksum, piece = xxhash.xxh3_64(), memoryview(bytearray(PIECE))
    with files.open_file(path) as stream:
        while count := stream.readinto(piece):
            checksum.update(piece[:count])
    return checksum.hexdigest()


def _old_checksums(path: Path) -> list[int]:
    """The CRC-32 of each block; an empty file has one block, of nothing."""
    with files.open_file(path) as stream:
        first = zlib.crc32(stream.read(OLD_BLOCK))
        return [first, *(zlib.crc32(block) for block in iter(lambda: stream.read(OLD_BLOCK), b""))]
