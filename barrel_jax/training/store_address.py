# SPDX-License-Identifier: Apache-2.0
"""A folder's path as the array store takes it, the only place where one is made of the other.

A path goes through libraries that read patterns ([v2]), URLs (50%25, gs:/) and other systems' separators (a\\b) into
it, and that take no name which is not Unicode. They are given none of that: where a path holds more than plain
letters, they get a link to the folder.
"""

import os
import re
import tempfile
from pathlib import Path

PLAIN = re.compile(r"[A-Za-z0-9/._+-]*")


class StoreAddress:
    """`path` leads to a folder, which it makes, until `close`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self._links = folder, None
        if not PLAIN.fullmatch(str(folder)):
            self._links = tempfile.TemporaryDirectory(prefix="barrel_jax-")
            self.path = Path(self._links.name) / folder.name
            os.symlink(folder, self.path, target_is_directory=True)

    def close(self) -> None:
        """Removes the link, if there is one."""
        if self._links:
            self._links.cleanup()
