# SPDX-License-Identifier: Apache-2.0
"""Checksums of a checkpoint's files: a bit that a disk has changed is found before the weights are used.

The array store's own checksums cover its index and not its values. CRC-32 takes half of SHA-256's time; it finds
damage and stops no forger, who could write the checksums anew.
"""

import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from barrel_jax import files

NAME = "checksums.json"
BLOCK = 1 << 25  # bytes under one checksum: the blocks of a large file are read side by side
PIECE = 1 << 20  # bytes read at once, which a processor's cache holds


def write(folder: Path) -> None:
    """Writes `checksums.json` of all files below a folder: {path: [the CRC-32 of each block]}."""
    files.write_json(Path(folder) / NAME, _checksums(Path(folder)))


def damage(folder: Path) -> str | None:
    """What is not as it was at `write`: '' for nothing, None where no checksums were written.

    Files that came later are left out of account.
    """
    folder = Path(folder)
    if not (folder / NAME).exists():
        return None
    try:
        expected, found = files.read_json(folder / NAME, "its checkpoint cannot be trusted"), _checksums(folder)
    except (ValueError, OSError) as error:
        return str(error)
    if not isinstance(expected, dict):
        return f"{folder / NAME}: no object of checksums by file"
    changed = sorted(name for name in expected if found.get(name) != expected[name])
    return f"{', '.join(changed[:3])}: not as written" if changed else ""


def _checksums(folder: Path) -> dict[str, list[int]]:
    below = [Path(parent) / name for parent, _, names in os.walk(folder) for name in names if name != NAME]
    # An empty file has one block, of nothing.
    blocks = [(path, start) for path in sorted(below) for start in range(0, max(path.stat().st_size, 1), BLOCK)]
    checksums: dict[str, list[int]] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (path, _), checksum in zip(blocks, pool.map(_block_checksum, *zip(*blocks, strict=True)), strict=True):
            checksums.setdefault(str(path.relative_to(folder)), []).append(checksum)
    return checksums


def _block_checksum(path: Path, start: int) -> int:
    checksum, left, piece = 0, BLOCK, memoryview(bytearray(PIECE))
    with files.open_file(path) as stream:
        stream.seek(start)
        while left and (count := stream.readinto(piece[: min(left, PIECE)])):
            checksum, left = zlib.crc32(piece[:count], checksum), left - count
    return checksum
