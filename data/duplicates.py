# SPDX-License-Identifier: Apache-2.0
"""Pictures that are there twice, told by their pixels and not by their names."""

import hashlib
from dataclasses import dataclass, field

import numpy as np

from data.source import Face, Source

ROWS = 8  # every eighth row tells pictures apart: noise and compression differ in each
SAME = 0.02  # of the box's longer side: points of two annotations of one face differ by less


def content_of(pixels: np.ndarray) -> int:
    """A number that pictures uint8 [H, W, 3] of equal pixels share, and hardly any others."""
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(pixels[::ROWS]))
    return int.from_bytes(digest.digest(), "big")


@dataclass
class Contents:
    """What the pictures of the splits show, by split and file."""

    seen: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, split: str, file: str, content: int) -> None:
        """Takes the `content_of` a picture."""
        self.seen.setdefault(split, {})[file] = content

    def notes(self, source: Source) -> list[str]:
        """A sentence on the pictures that two splits share, on those twice in a split, and on faces annotated twice."""
        found = []
        splits = list(self.seen)
        for number, first in enumerate(splits):
            for second in splits[number + 1 :]:
                found += self._shared(source, first, second)
            found += self._repeated(source, first)
        return found

    def _shared(self, source: Source, first: str, second: str) -> list[str]:
        homes = {content: file for file, content in self.seen[first].items()}
        both = [(file, homes[content]) for file, content in self.seen[second].items() if content in homes]
        if not both:
            return []
        source.findings.counts[f"pictures_in_{first}_and_{second}"] = len(both)
        file, home = both[0]
        return [
            f"{source.directory}: {len(both):,} of {len(self.seen[second]):,} pictures of {second} are in {first} too, "
            f"by their pixels (such as {file}, there {home}): a score on {second} flatters; keep each picture, and "
            "each person, in one split"
        ]

    def _repeated(self, source: Source, split: str) -> list[str]:
        files: dict[int, list[str]] = {}
        for file, content in self.seen[split].items():
            files.setdefault(content, []).append(file)
        copies = [group for group in files.values() if len(group) > 1]
        found = []
        if copies:
            more = sum(len(group) - 1 for group in copies)
            source.findings.counts[f"pictures_repeated_in_{split}"] = more
            found.append(
                f"{source.directory}: {more:,} of {len(self.seen[split]):,} pictures of {split} repeat another one, by "
                f"their pixels (such as {copies[0][1]} and {copies[0][0]}); remove the copies"
            )
        twice = _annotated_twice(source.splits[split], self.seen[split])
        if twice:
            source.findings.counts[f"faces_repeated_in_{split}"] = len(twice)
            face, other = twice[0]
            found.append(
                f"{source.directory}: {len(twice):,} of {len(source.splits[split]):,} faces of {split} have the points "
                f"of another annotation of the same picture (such as annotations {face.face} and {other.face} of "
                f"{face.file}); keep one of each"
            )
        return found


def _annotated_twice(faces: list[Face], contents: dict[str, int]) -> list[tuple[Face, Face]]:
    """Faces that lie where an earlier face of the same picture lies, each with that face."""
    earlier: dict[int, list[Face]] = {}
    found = []
    for face in faces:
        if face.file not in contents:
            continue
        others = earlier.setdefault(contents[face.file], [])
        same = next((other for other in others if _same(face, other)), None)
        if same:
            found.append((face, same))
        else:
            others.append(face)
    return found


def _same(face: Face, other: Face) -> bool:
    both = face.labelled & other.labelled
    if not both.any():
        return False
    return bool(np.linalg.norm(face.points[both] - other.points[both], axis=1).mean() < SAME * max(face.box[2:]))
