# SPDX-License-Identifier: Apache-2.0
"""Files that are either whole or absent: written beside their place, then renamed; and the folder of what is kept.

What is read is a regular file: a pipe in its place would wait for ever, and a device may never end.
"""

import dataclasses
import errno
import io
import json
import math
import os
import secrets
import stat
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from barrel_jax.encodings import readable

# What NumPy and zipfile raise on archives that are cut off, encrypted, packed in another way or made of noise.
BROKEN_ARCHIVE = (
    ValueError, EOFError, KeyError, TypeError, SyntaxError, MemoryError, OverflowError, RuntimeError, struct.error,
    tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def cache_home() -> Path:
    """Where built sets, fetched weights and compiled programs live: $BARREL_JAX_DATA, else ~/.cache/barrel_jax."""
    return Path(os.environ.get("BARREL_JAX_DATA") or "~/.cache/barrel_jax").expanduser()


def download_folder(dataset: str, data_dir: str) -> Path:
    """Where the raw download of a set is looked for when no other folder is named; `data_dir` '' is `cache_home()`."""
    return Path(data_dir or cache_home()).expanduser() / "downloads" / dataset


def private_folder(path: Path) -> Path:
    """Makes a folder that this user alone writes, for what is trusted later: compiled programs, built sets.

    One that is there already is left as it is; a warning says if others may write there.
    """
    path = Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    about = path.stat()
    if about.st_mode & 0o022 or about.st_uid not in (os.geteuid(), 0):
        warnings.warn(
            f"{path}: others may write in this folder, and what lies there is trusted; chmod go-w it, or name another",
            stacklevel=3,
        )
    return path


@contextmanager
def named(path: Path) -> Iterator[None]:
    """An error of the operating system that does not say of which file it is, as a full disk's, says so."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def beside(path: Path) -> Path:
    """A name beside `path` for what is not whole yet; not of the process's number, which containers have in common."""
    return path.with_name(f".{secrets.token_hex(4)}-{path.name}")


def write(path: Path, fill: Callable[[Path], object]) -> None:
    """Lets `fill` write a temporary file of the same suffix in the same folder, then renames it to `path`.

    A killed process or a full disk leaves the old file, or none, never half of one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = beside(path)
    try:
        with named(path):
            fill(temporary)
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is None or Path(error.filename) != temporary:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # a name that nobody gave
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """`write` of what is already there."""
    write(path, lambda temporary: temporary.write_bytes(content))


def reserve(path: Path) -> None:
    """Gives a file of holes the room that it claims, where the system can: a full disk is an error here and now, and
    not the end of the process (SIGBUS) that fills the holes through a memory map.

    Raises:
        OSError: there is not so much room; names the file.
    """
    if hasattr(os, "posix_fallocate"):
        with named(path), path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, os.fstat(stream.fileno()).st_size)


def open_file(path: str | Path) -> io.BufferedReader:
    """A regular file, opened to read its bytes.

    Raises:
        OSError: it cannot be opened, or is a folder, a pipe or a device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # without waiting for one who writes into a pipe
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "a pipe or a device where a file is wanted", str(path))
    return os.fdopen(descriptor, "rb")


def refuse_special(folder: Path) -> None:
    """For what libraries read themselves. Raises OSError when a pipe, a socket or a device lies below a folder."""
    for parent, _, names in os.walk(folder):
        for path in (Path(parent) / name for name in names):
            if path.exists() and not path.is_file():
                raise OSError(errno.EINVAL, "a pipe or a device where a file is wanted; remove it", str(path))


def read_bytes(path: str | Path) -> bytes:
    """All of a regular file. Raises as `open_file`."""
    with open_file(path) as stream:
        return stream.read()


def read_text(path: str | Path, errors: str = "strict") -> str:
    """All of a regular file of UTF-8, lines ending in a line feed. Raises as `open_file`, and UnicodeDecodeError."""
    return read_bytes(path).decode(errors=errors).replace("\r\n", "\n")


def write_json(path: Path, content: object) -> None:
    """Writes JSON that any parser reads: a NaN is refused (ValueError), the caller says None instead."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write(path, lambda temporary: temporary.write_text(text))


def read_json(path: Path, remedy: str) -> Any:
    """What a JSON file says.

    Raises:
        ValueError: it is no JSON; names the file and says `remedy`.
    """
    try:
        return json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: this is no JSON ({error}); {remedy}") from error


def readable_name(path: Path) -> str:
    """A file's name as text that can be written (`encodings.readable`)."""
    return readable(path.name)


def plain(node: object) -> Any:
    """The same as JSON can say it: settings as objects, None in the place of a number that is not finite."""
    if dataclasses.is_dataclass(node):
        return plain(vars(node))
    if isinstance(node, Mapping):
        return {name: plain(value) for name, value in node.items()}
    if isinstance(node, list | tuple):
        return [plain(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node
