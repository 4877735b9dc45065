# SPDX-License-Identifier: Apache-2.0
"""The picture of an annotation file that shares its name but for the ending, beside it or in another folder."""

from collections.abc import Mapping
from pathlib import Path

from data.convert.picture_names import compared_parts, of_split
from data.path_ends import Parts, PathEnds, ends

ANY_ENDING = ".*"  # ends the name of a picture of which only the stem is known
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


class Stems:
    """The pictures below a folder by their paths without endings.

    Args: `root`, the folder; `files` below it, by their parts.
    """

    def __init__(self, root: Path, files: Mapping[Parts, Path]) -> None:
        self._root, self._files = root, files
        stems = {parts: (*parts[:-1], Path(parts[-1]).stem) for parts, path in files.items() if _is_picture(path)}
        self._ends = PathEnds((compared_parts(stem), parts) for parts, stem in stems.items())

    def find(self, stem: Path, where: str, split: str) -> tuple[Path, str]:
        """The picture at a path without its ending, else where most of the last folders agree; and how it was found.

        Args: the path; `where` and `split` as `Pictures.find`.

        Raises:
            ValueError: there is none, or there are two.
        """
        below = stem.relative_to(self._root).parts if stem.is_relative_to(self._root) else ()
        beside = self._ends.at(compared_parts(below))
        agreeing = map(self._ends.below, ends(compared_parts(stem.absolute().parts[1:])))
        found = beside or of_split(next(filter(None, agreeing), []), split)
        found = [parts for parts in found if Path(parts[-1]).stem == stem.name] or found
        if not found:
            raise ValueError(
                f"{where}: no picture {stem.name}.jpg or .png beside it or below {self._root}; put it there (--images "
                "names another folder)"
            )
        if len(found) > 1:
            two = " and ".join(str(self._files[parts]) for parts in found[:2])
            raise ValueError(f"{where}: {two} may be meant; there must be one picture of its name")
        return self._files[found[0]], "" if beside else "found_below_other_folders"


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS
