# SPDX-License-Identifier: Apache-2.0
"""One run at a time in a folder, which stays the one that the run has begun in."""

import errno
import fcntl
import json
import os
import socket
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from barrel_jax import files
from barrel_jax.devices.distributed import is_first

# File systems without locks say one of these.
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


class Hold:
    """A run's folder, held by process 0 until `close`, or until the process ends, however it does.

    The operating system keeps the lock, so that none outlives its process. `lock` in the folder says who holds it.
    """

    def __init__(self, workdir: Path) -> None:
        """Makes the folder and holds it.

        Raises:
            ValueError: there is a file in its place, or another run holds it; says which process.
        """
        self._workdir, self._lock = Path(workdir), Path(workdir) / "lock"
        self._stream: Any = None
        if not is_first():
            return
        if os.path.lexists(self._workdir) and not self._workdir.is_dir():
            what = "a link to what is not there" if self._workdir.is_symlink() else "a file"
            raise ValueError(f"{workdir}: this is {what}, and a run needs a folder; choose another --workdir")
        self._workdir.mkdir(parents=True, exist_ok=True)
        stream = self._lock.open("a+", encoding="utf-8")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.seek(0)
            holder = stream.read()
            stream.close()
            raise ValueError(
                f"{workdir}: another run works in this folder ({_words(holder)}); wait for it, stop it, or choose "
                "another --workdir"
            ) from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            warnings.warn(f"{workdir}: no locks here ({error.strerror}); start no second run in it", stacklevel=2)
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        mine = {"process": os.getpid(), "host": socket.gethostname(), "since": now, "command": " ".join(sys.argv)}
        with files.named(self._lock):
            stream.truncate(0)
            stream.write(json.dumps(mine) + "\n")
            stream.flush()
        self._stream = stream

    def check(self) -> None:
        """Sees that the folder is still there, before something is written: nothing would miss it.

        Raises:
            OSError: it was deleted, or is another now.
        """
        if self._stream is None:
            return
        try:
            same = os.path.samestat(os.stat(self._lock), os.fstat(self._stream.fileno()))
        except FileNotFoundError:
            same = False
        if not same:
            raise OSError(
                f"{self._workdir}: this folder was deleted, moved or replaced while the run worked in it, and what the "
                "run wrote there is lost with it; start the same command again"
            )

    def close(self) -> None:
        """Lets go of the folder."""
        if self._stream is not None:
            self._stream.close()


def _words(holder: str) -> str:
    try:
        about = json.loads(holder)
        return f"process {about['process']} on {about['host']} since {about['since']}: {about['command']}"
    except (ValueError, TypeError, KeyError):
        return "it has not said which"
