# SPDX-License-Identifier: Apache-2.0
"""The file that a `file_name` means, when the folder has it under another spelling.

Annotations travel: from Windows (back slashes), from a Mac (decomposed accents), from another machine (absolute paths),
from tools that put `images/` before every name or change the case of an ending. What is found that way is counted and
said; where nothing is, or several files could be meant, the picture is missing and the nearest name is said.
"""

import difflib
import os
import unicodedata
import urllib.parse
from collections.abc import Iterable
from pathlib import Path

from barrel_jax.encodings import spelt
from data.grouping import SHOWN
from data.path_ends import PathEnds, ends
from data.source import Findings

TOO_MANY = 20_000  # names among which no near one is looked for


class FileNames:
    """The files below the folder of images, by every spelling under which annotations may name them."""

    def __init__(self, folder: Path, files: Iterable[Path]) -> None:
        self._folder = folder
        by_parts = [(parts, path) for path in sorted(files) if (parts := _parts(os.path.relpath(path, folder)))]
        self._ends = PathEnds(by_parts)
        self._lasts = list(dict.fromkeys(parts[-1] for parts, _ in by_parts))  # names without their folders

    def find(self, name: str) -> Path | None:
        """The file that is named, None when it is not there or several could be meant.

        A file is meant when its path below the folder is the name in one spelling, else when all of the name ends its
        path, else when all of its path ends the name, the longest such.
        """
        path = self._folder / name
        try:
            if path.exists():
                return path
        except OSError:  # too long a name
            return None
        for spelling in (name, urllib.parse.unquote(name)):
            parts = _parts(spelling)
            meant = (self._ends.at(end) for end in ends(parts[1:]))
            best = next(filter(None, (self._ends.at(parts), self._ends.below(parts), *meant)), [])
            if len(best) == 1:
                return best[0]
        return None

    def near(self, name: str) -> str:
        """The words on the nearest name that is there, for the end of a sentence; '' when none is near."""
        last = (_parts(name) or ("",))[-1]
        same = self._ends.below((last,))
        if len(same) > 1:
            return f"{len(same)} files are called so, such as {self._shown(same[0])}: name the folder too"
        if same:
            return f"{self._shown(same[0])} is there"
        stem = last.rpartition(".")[0]
        alike = [other for other in self._lasts if other.rpartition(".")[0] == stem]
        if not alike and len(self._lasts) <= TOO_MANY:
            alike = difflib.get_close_matches(last, self._lasts, n=1, cutoff=0.8)
        return f"{self._shown(self._ends.below((alike[0],))[0])} is there" if alike else ""

    def _shown(self, path: Path) -> str:
        return os.path.relpath(path, self._folder)


def find_files(
    folder: Path, files: Iterable[Path], names: dict[Path, list[str]], findings: Findings
) -> tuple[dict[str, Path], dict[str, str]]:
    """Where the named files are: their paths by name, and for missing ones the fault.

    Args:
        folder: of the images.
        files: all that lie below it.
        names: the file names of every document, by its path.
        findings: take a note on other spellings.
    """
    listing = FileNames(folder, files)
    paths: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for document, of_document in names.items():
        respelled = []
        for name in dict.fromkeys(of_document):
            if name in paths or name in missing:
                continue
            found = listing.find(name)
            if found is None:
                near = listing.near(name) if len(missing) < SHOWN else ""  # more are not shown, and it takes long
                missing[name] = (
                    f"{folder / name}: image is missing{f' ({near})' if near else ''}; put it there or remove it from "
                    "the annotations"
                )
                continue
            paths[name] = found
            if found != folder / name:
                respelled.append((name, os.path.relpath(found, folder)))
        if respelled:
            findings.counts["file_names_in_another_spelling"] += len(respelled)
            name, found_name = respelled[0]
            findings.notes.append(
                f"{document}: {len(respelled):,} files are there under another spelling than file_name's, such as "
                f"{found_name} for {name!r} ({_difference(name, found_name)}), and were taken"
            )
    for found, several in _named_twice(paths).items():
        first, *_, last = sorted(several)
        for name in several:
            del paths[name]
            missing[name] = f"{found}: {first!r} and {last!r} both lead here; put the one that is missing there too"
    return paths, missing


def _named_twice(paths: dict[str, Path]) -> dict[Path, list[str]]:
    """The files to which names of different pictures lead, as when folders of equal names were put into one."""
    names: dict[Path, list[str]] = {}
    for name, path in paths.items():
        names.setdefault(path, []).append(name)
    twice = {}
    for path, several in names.items():
        parts = [_parts(name) for name in several]
        shared = min(map(len, parts))
        if len({own[-shared:] for own in parts}) > 1:
            twice[path] = several
    return twice


def _difference(name: str, found: str) -> str:
    """In what the name in the annotations differs from that of the file."""
    if "\\" in name:
        return "back slashes"
    ours, theirs = name.rpartition("/")[2], found.rpartition("/")[2]
    if ours == theirs:
        return "other folders before it"
    if unicodedata.normalize("NFC", ours) == unicodedata.normalize("NFC", theirs):
        return "accents in one letter or in two"
    return "small and capital letters" if ours.casefold() == theirs.casefold() else "letters written otherwise"


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a path in one spelling: composed accents, lower case, no drive, no empty part and no dot."""
    name = spelt(name).casefold()
    name = name.removeprefix("file://")
    return tuple(part for part in name.split("/") if part not in ("", ".", "..") and not part.endswith(":"))
