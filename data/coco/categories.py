# SPDX-License-Identifier: Apache-2.0
"""The number of points of the faces, and their names by category: one order for all of them, or a fault."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from data.source import Findings


class PointNames:
    """The names of the points of each category, and how its points go into the order of the first one.

    The first is the category of most keypoints in the first split that names them. A category without names is taken to
    be in that order.
    """

    def __init__(self, documents: dict[Path, dict[str, Any]], num_points: int, findings: Findings) -> None:
        """Notes what is put into another order, and as a fault what has other names."""
        self.num_points = num_points
        self.names: tuple[str, ...] = ()
        self._orders: dict[tuple[Path, object], np.ndarray | None] = {}
        for path, document in documents.items() if num_points else ():
            used = _used(document, num_points)
            for category, title, names in _named(document, used):
                self._add(path, category, f"category {title}", names, used[category], num_points, findings)

    def order(self, path: Path, category: object) -> np.ndarray | None:
        """The places [K] of the set's points in the lists of a category, new[i] = old[order[i]]; None for the same."""
        return self._orders.get((path, hashable(category)))

    def _add(
        self, path: Path, category: object, title: str, names: tuple[str, ...], faces: int, points: int,
        findings: Findings,
    ) -> None:  # fmt: skip
        if len(names) != points:
            findings.doubts.append(
                f"{path}: {title} names {len(names)} points, and its {faces:,} annotations have {points}; correct the "
                "names or the keypoints"
            )
            return
        if not self.names:
            self.names, self._first = names, f"{title} of {path.name}"
            return
        ours, theirs = [_plain(name) for name in self.names], [_plain(name) for name in names]
        if ours == theirs:
            return
        if len(set(theirs)) < len(theirs) or set(ours) != set(theirs):
            at = next(i for i, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
            findings.faults.append(
                f"{path}: {title} has other points than {self._first}: point {at} is {names[at]!r} here and "
                f"{self.names[at]!r} there ({faces:,} faces); give both the same names, or keep one category"
            )
            return
        self._orders[path, category] = np.array([theirs.index(name) for name in ours])
        findings.counts["faces_reordered_by_point_names"] += faces
        moved = sum(a != b for a, b in zip(ours, theirs, strict=True))
        findings.notes.append(
            f"{path}: {title} names the points in another order than {self._first}: {moved} of {points} points of "
            f"{faces:,} faces were put into that order by their names"
        )


def count_points(directory: Path, documents: dict[Path, dict[str, Any]], faults: list[str]) -> int:
    """How many points most annotations have (the others are faults), or 0 with a fault noted when none has any."""
    lengths = Counter(
        len(annotation["keypoints"])
        for document in documents.values()
        for annotation in document["annotations"]
        if isinstance(annotation.get("keypoints"), list) and annotation["keypoints"]
    )
    length = lengths.most_common(1)[0][0] if lengths else 0
    if documents and length == 0:
        faults.append(f"{directory}: no annotation has keypoints; these are boxes only: export COCO keypoints")
    elif length % 3:
        faults.append(f"{directory}: keypoints lists have {length} values, which is not x, y, v for every point; add v")
        return 0
    return length // 3


def _used(document: dict[str, Any], num_points: int) -> Counter:
    """How many annotations with keypoints each category has."""
    return Counter(
        hashable(annotation.get("category_id"))
        for annotation in document["annotations"]
        if isinstance(annotation.get("keypoints"), list) and len(annotation["keypoints"]) == 3 * num_points
    )


def _named(document: dict[str, Any], used: Counter) -> list[tuple[object, str, tuple[str, ...]]]:
    """Id, title and point names of the categories that are used and name their points, the most used first."""
    found = []
    for category in document["categories"]:
        if not isinstance(category, dict):
            continue
        names, number = category.get("keypoints"), hashable(category.get("id"))
        if used[number] and isinstance(names, list) and names:
            found.append((number, repr(category.get("name", number)), tuple(map(str, names))))
    return sorted(found, key=lambda item: -used[item[0]])


def _plain(name: str) -> str:
    """A name without case, blanks and marks, which tools change."""
    return re.sub(r"[\W_]+", "", name.casefold()) or name


def hashable(value: object) -> object:
    """An id that may be anything, as a key."""
    return value if isinstance(value, int | float | str) else repr(value)
