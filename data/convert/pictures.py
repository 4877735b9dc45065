# SPDX-License-Identifier: Apache-2.0
"""The picture that an annotation names, found as written, or as another machine or tool has written it."""

import difflib
import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from barrel_jax.encodings import digits, readable
from data.convert.picture_names import compared, compared_parts, is_absolute, of_split, parts_of, variants
from data.convert.record import shown
from data.convert.split_names import named_split
from data.convert.stems import ANY_ENDING, Stems
from data.grouping import SHOWN
from data.path_ends import Parts, PathEnds

HOMES = ("images", "image", "imgs", "img", "pictures", "photos")  # folders that tools put pictures into


class Pictures:
    """The files below a folder, by name.

    Args:
        root: the folder. Links are followed, into no folder twice.
        without: a folder to leave out, where the result goes.
    """

    def __init__(self, root: Path, without: Path | None = None) -> None:
        self.root = root
        self._files: dict[Parts, Path] = {}  # by path below the root
        self._alike: dict[Parts, list[Parts]] = {}  # by what `compared` makes of that
        self._by_name: dict[str, list[Parts]] = {}  # by what it makes of the name alone
        self._found: dict[tuple[Parts, str], list[Parts]] = {}  # what a name and a split lead to
        self._missing = 0
        self._taken: dict[Path, Parts] = {}  # by which name a file has been found
        for path in _walk(root, without):
            parts = path.relative_to(root).parts
            self._files[parts] = path
            self._alike.setdefault(compared_parts(parts), []).append(parts)
            self._by_name.setdefault(compared(parts[-1]), []).append(parts)
        folders = [parts[:-1] for parts in self._files if parts[-1].lower().endswith((".jpg", ".jpeg", ".png"))]
        self._common = _common(folders)

    def find(self, name: str, base: Path, where: str, split: str = "") -> tuple[Path, str]:
        """The file of a name, and what had to be mended in the name, '' for nothing.

        Args:
            name: as the annotation writes it; one that ends in `ANY_ENDING` is beside it, else below the root.
            base: the folder of the annotation file, which names count from.
            where: file and record, for errors.
            split: of the annotation: of two files that a name may mean, that in the split's folder is meant.

        Raises:
            ValueError: there is none, or two could be meant, or the name leads out of the folder, or two different
                names lead to one file.
        """
        if name.endswith(ANY_ENDING):
            stem = base / name.removesuffix(ANY_ENDING)
            path, how = self._stems.find(stem, where, split)
            return self._take(path, os.path.relpath(stem, self.root), where), how
        tried = list(variants(name))
        for variant, how in tried:
            if path := self._exactly(variant, base, where, split):
                return self._take(path, variant, where), how
        for variant, how in tried:
            if path := self._by_end(variant, where, split):
                return self._take(path, variant, where), how or "found_below_other_folders"
        wanted = (parts_of(tried[-1][0]) or ("",))[-1]
        self._missing += 1
        # It takes long, and more are not shown.
        names = [name for name in self._by_name if digits(name) == digits(wanted)] if self._missing <= SHOWN else []
        near = difflib.get_close_matches(compared(wanted)[:200], names, n=1, cutoff=0.7)
        meant = f"is {self._files[self._by_name[near[0]][0]]} meant?" if near else "put it there"
        raise ValueError(
            f"{where}: no picture {shown(name)} below {self.root}; {meant} (--images names another folder)"
        )

    def targets(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Names of pictures in the result: their paths below that of all pictures, or whole where two were alike."""
        whole = {path: tuple(map(readable, path.relative_to(self.root).parts)) for path in paths}
        names = {}
        for path, parts in whole.items():
            first = min(self._common, len(parts) - 1)
            while first < len(parts) - 1 and (parts[first].lower() in HOMES or named_split(parts[first])):
                first += 1
            names[path] = "/".join(parts[first:])
        if len(set(names.values())) < len(names):
            names = {path: "/".join(parts) for path, parts in whole.items()}
        return names

    def _exactly(self, variant: str, base: Path, where: str, split: str) -> Path | None:
        parts = parts_of(variant)
        below = base.relative_to(self.root).parts if base.is_relative_to(self.root) else None
        if ".." in parts and not is_absolute(variant):
            full = Path(os.path.normpath(base.absolute().joinpath(*parts)))
            if not full.is_relative_to(self.root.absolute()):
                raise ValueError(
                    f"{where}: {shown(variant)} leads out of {self.root}; name the folder of the pictures with --images"
                )
            return self._one([full.relative_to(self.root.absolute()).parts], variant, where, split)
        starts: list[Parts] = [(), *((home,) for home in HOMES)]
        places = [*((*below, *start, *parts) for start in starts if below), *((*start, *parts) for start in starts)]
        return self._one(places, variant, where, split)

    def _one(self, candidates: list[Parts], variant: str, where: str, split: str) -> Path | None:
        """The first candidate that is a file, letter by letter, else but for capitals and composed letters."""
        for parts in candidates:
            if parts in self._files:
                return self._files[parts]
        for parts in candidates:
            if alike := self._alike.get(compared_parts(parts)):
                return self._single(of_split(alike, split), variant, where)
        return None

    def _by_end(self, variant: str, where: str, split: str) -> Path | None:
        """The file whose path ends as the name does, or whose path below that of all pictures the name ends with."""
        keys = compared_parts(parts_of(variant))
        if (keys, split) not in self._found:  # a name may be that of a face in every folder
            every = dict.fromkeys([*self._ends.below(keys), *self._shorts.within(keys)])
            self._found[keys, split] = of_split(list(every), split)
        found = self._found[keys, split]
        return self._single(found, variant, where) if found else None

    @cached_property
    def _stems(self) -> Stems:
        return Stems(self.root, self._files)

    @cached_property
    def _ends(self) -> PathEnds[Parts]:
        return PathEnds((compared_parts(parts), parts) for parts in self._files)

    @cached_property
    def _shorts(self) -> PathEnds[Parts]:
        """The files by their paths below the folder of all pictures, and below each that tools put pictures into."""
        shorts = []
        for parts in self._files:
            own = compared_parts(parts)
            homes = [self._common, *(k + 1 for k, part in enumerate(own[:-1]) if part in HOMES)]
            shorts += [(own[first:], parts) for first in dict.fromkeys(homes)]
        return PathEnds(shorts)

    def _single(self, found: list[Parts], variant: str, where: str) -> Path:
        if len(found) > 1:
            two = " or ".join(str(self._files[parts]) for parts in found[:2])
            raise ValueError(f"{where}: {shown(variant)} may be {two}; write the name with its folder")
        return self._files[found[0]]

    def _take(self, path: Path, variant: str, where: str) -> Path:
        keys = tuple(key for key in compared_parts(parts_of(variant)) if key != "..")
        before = self._taken.setdefault(path, keys)
        short = min(len(before), len(keys))
        if before[-short:] != keys[-short:]:
            raise ValueError(
                f"{where}: {shown('/'.join(before))} and {shown('/'.join(keys))} both lead to {path}; "
                "put there the one that is missing"
            )
        return path


def _walk(root: Path, without: Path | None) -> Iterator[Path]:
    """Every file below a folder, in order; hidden ones are left out."""
    seen = set()
    waiting = [root]
    left_out = without.resolve() if without else None
    while waiting:
        folder = waiting.pop()
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen or folder.resolve() == left_out:
            continue
        seen.add((status.st_dev, status.st_ino))
        folders = []
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(Path(entry.path))
            elif entry.is_file():
                yield Path(entry.path)
        waiting += reversed(folders)


def files_of(root: Path, suffixes: tuple[str, ...], without: Path | None = None) -> list[Path]:
    """The files below a folder with one of the suffixes, in order."""
    return [path for path in _walk(root, without) if path.suffix.lower() in suffixes]


def _common(folders: list[Parts]) -> int:
    """How many folders all have in common."""
    depth = min(map(len, folders), default=0)
    return next((k for k in range(depth) if len({folder[k] for folder in folders}) > 1), depth)
