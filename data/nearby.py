# SPDX-License-Identifier: Apache-2.0
"""Finding the folder that was meant when `--source` points a level too high or too low."""

from collections.abc import Callable
from pathlib import Path


def meant_instead(directory: Path, is_source: Callable[[Path], bool]) -> str:
    """'; give --source FOLDER' for the first folder just below `directory`, or up to three above, that is the set.

    Args:
        directory: the folder that was given; it need not be there.
        is_source: says whether a folder is the set.

    Returns:
        The end of an error sentence, '' when there is no such folder.
    """
    below = sorted(path for path in directory.iterdir() if path.is_dir()) if directory.is_dir() else []
    meant = next(filter(is_source, [*below, *directory.absolute().parents[:3]]), None)
    return "" if meant is None else f"; {meant} is such a folder: give --source {meant}"
