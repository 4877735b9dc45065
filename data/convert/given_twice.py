# SPDX-License-Identifier: Apache-2.0
"""Removal of faces that the annotation files give more than once."""

from collections.abc import Sequence
from dataclasses import replace

from data.convert.faces import ConvertedFace
from data.convert.split_names import named_split
from data.source import Findings


def given_once(faces: Sequence[ConvertedFace], findings: Findings) -> list[ConvertedFace]:
    """The faces but for repetitions: equal points on pictures of equal bytes. What is left out is counted.

    A face is of the first split that is named for it: a file of all faces names none, and those beside it may.
    """
    kept: dict[tuple[str, bytes, bytes], ConvertedFace] = {}
    apart = []
    for face in faces:
        same = (face.picture.digest, face.points.tobytes(), face.visible.tobytes())
        first, split = kept.setdefault(same, face), named_split(face.split)
        if first is face:
            continue
        findings.counts["faces_given_twice_left_out"] += 1
        if not named_split(first.split):
            kept[same] = replace(first, split=face.split)
        elif split and split != named_split(first.split):
            apart.append(f"{first.where} is in {named_split(first.split)} and again in {split} ({face.where})")
    if apart:
        findings.notes.append(
            f"{len(apart):,} faces are given in two splits and stay in the first: {apart[0]}; take them out of one"
        )
    return list(kept.values())
