# SPDX-License-Identifier: Apache-2.0
"""Files by the ends of their paths, so that a name that others have written is found without going through them all."""

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Parts = tuple[str, ...]
T = TypeVar("T")


def ends(parts: Parts) -> Iterator[Parts]:
    """Every end of a path, the longest first: all of it, ..., its last part."""
    return (parts[first:] for first in range(len(parts)))


class PathEnds(Generic[T]):
    """Files by their paths, and by every end of these.

    Args: the path of each file in one spelling, and the file.
    """

    def __init__(self, files: Iterable[tuple[Parts, T]]) -> None:
        self._whole: dict[Parts, list[T]] = {}
        self._ending: dict[Parts, list[T]] = {}
        for parts, file in files:
            self._whole.setdefault(parts, []).append(file)
            for end in ends(parts):
                self._ending.setdefault(end, []).append(file)

    def at(self, parts: Parts) -> list[T]:
        """The files of this path."""
        return self._whole.get(parts, [])

    def below(self, parts: Parts) -> list[T]:
        """The files whose paths end so."""
        return self._ending.get(parts, [])

    def within(self, parts: Parts) -> list[T]:
        """The files whose whole paths this one ends with, the longest first."""
        return [file for end in ends(parts) for file in self.at(end)]
