# SPDX-License-Identifier: Apache-2.0
"""Disks of a given size and folders that may not be written, for this process's own cases: mount(2) where we may."""

import ctypes
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READ_ONLY, REMOUNT, BIND, DETACH = 1, 32, 4096, 2  # of mount(2) and umount2(2)
MEMORY_DISK = next((folder for folder in ("/dev/shm",) if Path(folder).is_dir()), None)


def _mount(source: Path | str, target: Path, kind: str, flags: int, data: str = "") -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(str(source).encode(), str(target).encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(target))


def _unmount(target: Path) -> None:
    ctypes.CDLL(None).umount2(str(target).encode(), DETACH)


@functools.cache
def may_mount() -> bool:
    """Whether this process may mount a disk in memory."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            make_disk(Path(folder), 1 << 20)
        except PermissionError:
            return False
        _unmount(Path(folder))
        return True


def may_forbid() -> bool:
    """Whether `forbid` has an effect: root writes whatever a folder's modes say."""
    return may_mount() or os.geteuid() != 0


def make_disk(folder: Path, size: int, *, again: bool = False) -> None:
    """Mounts a disk in memory of some bytes, or changes its size. Raises PermissionError where we may not."""
    _mount("tmpfs", folder, "tmpfs", REMOUNT if again else 0, f"size={size}")


def forbid(folder: Path) -> None:
    """From now on nothing can be made or opened for writing below a folder."""
    if may_mount():
        _mount(folder, folder, "", BIND)
        _mount("", folder, "", BIND | REMOUNT | READ_ONLY)
        return
    for path in (*folder.rglob("*"), folder):
        path.chmod(path.stat().st_mode & ~0o222)


def allow(folder: Path) -> None:
    """Takes back `forbid`."""
    if may_mount():
        _unmount(folder)
        return
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)


@contextmanager
def own_folder() -> Iterator[Path]:
    """A case's folder, in memory where the system has a disk there; what is mounted in it goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="faults-", dir=MEMORY_DISK))
    try:
        yield folder
    finally:
        for name in ("disk", "run"):
            _unmount(folder / name)
        shutil.rmtree(folder)
