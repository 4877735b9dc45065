# SPDX-License-Identifier: Apache-2.0
"""The division of faces into training and validation, so that no person, and no picture, is in both."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from data.convert.faces import ConvertedFace
from data.convert.split_names import TEST, TRAIN, VAL, named_split
from data.source import Findings


@dataclass(frozen=True)
class Division:
    """How faces are divided."""

    val: float = 0.1  # share of the training faces that go to val where the source has no val of its own
    seed: int = 0
    group: str = ""  # column, attribute or field that names a face's group
    group_pattern: str = ""  # regular expression on the picture's name, whose first group, or whole match, is the group
    anew: bool = False  # divides anew what the source has divided


def divide(faces: Sequence[ConvertedFace], how: Division, findings: Findings) -> dict[str, list[ConvertedFace]]:
    """The faces by split, in order.

    Pictures of one group, pictures of equal bytes, and a picture and its mirror image stay together. What the source
    has divided stays as it is unless `how.anew`; where it has no val, a share of its training faces becomes one.

    Raises:
        ValueError: a face has no group; a group is on both sides of the source's own division; everything is one group;
            groups are asked for in two ways.
    """
    if how.group and how.group_pattern:
        raise ValueError("--group and --group-pattern are two ways to name groups; give one")
    if not 0 < how.val < 1:
        raise ValueError(f"--val is {how.val:g}; it is a share between 0 and 1")
    groups = _groups(faces, how)
    splits: dict[str, list[ConvertedFace]] = {}
    unnamed = [face for face in faces if not named_split(face.split)]
    if unnamed and len(unnamed) < len(faces) and not how.anew:
        findings.notes.append(
            f"{len(unnamed):,} faces for which no split is named, where others are, were taken for train: the first is "
            f"{unnamed[0].where}"
        )
    for face in faces:
        splits.setdefault(TRAIN if how.anew else named_split(face.split) or TRAIN, []).append(face)
    if (how.group or how.group_pattern) and not how.anew:
        _check_sides(faces, groups, how)
    if TRAIN in splits and VAL not in splits:
        numbers = {id(face): group for face, group in zip(faces, groups, strict=True)}
        train = splits[TRAIN]
        chosen = _choose([numbers[id(face)] for face in train], how)
        splits[TRAIN] = [face for face in train if numbers[id(face)] not in chosen]
        splits[VAL] = [face for face in train if numbers[id(face)] in chosen]
        kept = "by group" if how.group or how.group_pattern else "by picture"
        findings.notes.append(
            f"{len(splits[VAL]):,} of {len(train):,} training faces were taken for val, {kept}, by seed {how.seed}"
        )
    _note_leaks(splits, findings)
    return {name: splits[name] for name in (TRAIN, VAL, TEST) if name in splits}


def group_of(face: ConvertedFace, how: Division) -> str:
    """The group of a face, '' when none is asked for. Raises ValueError when it has none."""
    if how.group:
        if not face.fields.get(how.group):
            there = ", ".join(map(repr, list(face.fields)[:12]))
            raise ValueError(f"{face.where}: says no {how.group!r} to group by; it says {there or 'nothing'}")
        return face.fields[how.group]
    if how.group_pattern:
        try:
            found = re.search(how.group_pattern, face.picture.name)
        except re.error as error:
            raise ValueError(f"--group-pattern {how.group_pattern!r} is no regular expression: {error}") from error
        if found is None:
            raise ValueError(f"{face.where}: --group-pattern {how.group_pattern!r} is not in {face.picture.name!r}")
        return (found[1] if found.re.groups else found[0]) or ""
    return ""


def _groups(faces: Sequence[ConvertedFace], how: Division) -> list[str]:
    """A name for what each face must stay together with: the first of all that it is tied to, by whatever way."""
    leader: dict[str, str] = {}

    def lead(tie: str) -> str:
        while leader.setdefault(tie, tie) != tie:
            leader[tie] = leader[leader[tie]]
            tie = leader[tie]
        return tie

    ties = []
    for face in faces:
        group = group_of(face, how)
        photo = re.sub(r"(_mirror)?\.[^./]*$", "", face.picture.name)  # dlib calls a mirror image NAME_mirror.jpg
        ties.append([f"photo {photo}", f"bytes {face.picture.digest}"] + ([f"group {group}"] if group else []))
        first, *others = sorted(map(lead, ties[-1]))
        for other in others:
            leader[other] = first
    return [lead(tied[0]) for tied in ties]


def _choose(groups: list[str], how: Division) -> set[str]:
    """The groups that go to val: in an order that the seed draws, until their faces are the share, or next to it."""
    sizes = Counter(groups)
    if len(sizes) < 2:
        raise ValueError(
            f"all {len(groups)} faces belong together (one picture, one group, or equal pictures), so that none can be "
            "taken for val; add others, or name another group"
        )
    wanted, chosen, count = how.val * len(groups), set(), 0
    for group in sorted(sizes, key=lambda group: sha256(f"{how.seed} {group}".encode()).digest())[:-1]:
        if chosen and abs(count + sizes[group] - wanted) >= abs(count - wanted):
            continue
        chosen.add(group)
        count += sizes[group]
    return chosen


def _check_sides(faces: Sequence[ConvertedFace], groups: list[str], how: Division) -> None:
    sides: dict[str, set[str]] = {}
    for face, group in zip(faces, groups, strict=True):
        sides.setdefault(group, set()).add(named_split(face.split) or TRAIN)
    for face, group in zip(faces, groups, strict=True):
        if len(sides[group]) > 1:
            raise ValueError(
                f"{face.where}: its group {group_of(face, how)!r} is in {' and '.join(sorted(sides[group]))}; "
                "--divide-anew takes no notice of the source's division"
            )


def _note_leaks(splits: dict[str, list[ConvertedFace]], findings: Findings) -> None:
    """Notes pictures, told by their bytes, that the source has in two splits."""
    sides: dict[str, dict[str, ConvertedFace]] = {}
    for split, faces in splits.items():
        for face in faces:
            sides.setdefault(face.picture.digest, {}).setdefault(split, face)
    leaks = [by_split for by_split in sides.values() if len(by_split) > 1]
    if leaks:
        names = " and ".join(f"{split} ({face.picture.name})" for split, face in leaks[0].items())
        findings.notes.append(
            f"{len(leaks):,} pictures are in two splits, by their bytes: the first in {names}; scores on them say too "
            "much; --divide-anew keeps each on one side"
        )
