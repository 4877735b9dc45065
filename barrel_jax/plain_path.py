# SPDX-License-Identifier: Apache-2.0
"""A path as libraries take it: the one place where a name that they would read as something else is kept from them.

Libraries see patterns ([v2], a?b), numbers of frames (%02d), protocols (2024-05-01T10:20:30, gs:/) and other systems'
separators (a\\b) in a path, some take no name which is not Unicode, and some no way up (../runs). Where a path holds
more than plain letters, they are given a link to it.
"""

import os
import re
import tempfile
from pathlib import Path
from types import TracebackType

PLAIN = re.compile(r"[A-Za-z0-9/._+-]*")


class PlainPath:
    """`path` leads to a file or a folder, which need not be there yet, until `close`."""

    def __init__(self, original: Path) -> None:
        original = Path(original).absolute()
        if ".." in original.parts:  # which the store of arrays refuses
            original = Path(os.path.realpath(original))
        self.path, self._links = original, None
        if not PLAIN.fullmatch(str(original)):
            self._links = tempfile.TemporaryDirectory(prefix="barrel_jax-")
            # The last part of a suffix says to some libraries what a file is.
            suffix = original.suffix if PLAIN.fullmatch(original.suffix) else ""
            self.path = Path(self._links.name) / f"link{suffix}"
            os.symlink(original, self.path)

    def close(self) -> None:
        """Removes the link, if there is one."""
        if self._links:
            self._links.cleanup()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
