# SPDX-License-Identifier: Apache-2.0
"""Shapes in CVAT's XML put together to faces, and the names of landmarks that lie in several shapes."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from data.convert.markup import Element
from data.convert.record import shown

UNGROUPED = "0"


def group_of(shape: Element) -> str:
    """The group of a shape, which holds those of one face together."""
    return shape.attributes.get("group_id", UNGROUPED)


def label_of(shape: Element) -> str:
    """What a shape is called."""
    return shape.attributes.get("label", "")


def count_points(shape: Element) -> int:
    """How many points a shape has."""
    return shape.attributes.get("points", "").count(";") + 1


def usual_parts(images: Iterable[Element]) -> dict[str, int]:
    """By label, how many points most shapes have, in a file that has a face in several shapes; else {}.

    In such a file each point has its shape's label in its name, also where a face has one shape.
    """
    counts: dict[str, Counter[int]] = {}
    in_parts = False
    for image in images:
        groups: dict[str, list[int]] = {}
        for shape in image.all("points"):
            counts.setdefault(label_of(shape), Counter())[count_points(shape)] += 1
            groups.setdefault(group_of(shape), []).append(count_points(shape))
        in_parts |= any(len(n) > 1 and max(n) > 1 for group, n in groups.items() if group != UNGROUPED)
    return {label: count.most_common(1)[0][0] for label, count in counts.items()} if in_parts else {}


def check_skeletons(path: Path, images: Iterable[Element], wanted: str) -> None:
    """Sees that the skeletons labelled `wanted`, all of them where that is '', are of one kind of thing.

    Raises:
        ValueError: none is wanted and skeletons of several labels have unlike points, none has the wanted label, or a
            label is wanted of faces that are no skeletons.
    """
    points: dict[str, set[str]] = {}
    others = False
    for image in images:
        others |= any(True for _ in image.all("points"))
        for skeleton in image.all("skeleton"):
            points.setdefault(label_of(skeleton), set()).update(label_of(point) for point in skeleton.all("points"))
    labels = ", ".join(sorted(points))
    if wanted and others and not points:
        raise ValueError(f"{path}: --category is the label of skeletons, and no face in it is one; leave it out")
    if wanted and points and wanted not in points:
        raise ValueError(f"{path}: no skeleton is labelled {shown(wanted)}; give --category one of {labels}")
    if not wanted and len(set(map(frozenset, points.values()))) > 1:
        raise ValueError(f"{path}: skeletons with unlike points ({labels}); name the face's with --category")


def shapes_of_faces(path: Path, image: Element) -> list[list[Element]]:
    """The shapes of points of an image, by face: those of a group, all single points without one, each other one.

    Raises:
        ValueError: shapes that seem to be of one face have no group, or two in one group have one label.
    """
    name = image.attributes.get("name", "")
    faces: dict[str | int, list[Element]] = {}
    for number, shape in enumerate(image.all("points")):
        group, label = group_of(shape), label_of(shape)
        face = faces.setdefault(number if group == UNGROUPED and count_points(shape) > 1 else group, [])
        if label in map(label_of, face):
            what = f"point {shown(label)} in" if group == UNGROUPED else f"shape {shown(label)} in group {group} of"
            raise ValueError(
                f"{path}:{shape.line}: a second {what} {name}; give each face's shapes a group of their own"
            )
        face.append(shape)
    loose = [shape for shape in image.all("points") if group_of(shape) == UNGROUPED]
    labels = [shown(label) for label in dict.fromkeys(map(label_of, loose))]
    if len(labels) > 1 and max(map(count_points, loose)) > 1:
        raise ValueError(
            f"{path}:{loose[0].line}: shapes labelled {' and '.join(labels)} in {name}; give the shapes of each face "
            "one group"
        )
    return list(faces.values())


def point_names(path: Path, shape: Element, usual: Mapping[str, int]) -> Sequence[str]:
    """The names of a shape's points: its label, numbered where it has several; numbers alone without `usual_parts`.

    Raises:
        ValueError: it has another number of points than most of its label.
    """
    label, count = label_of(shape), count_points(shape)
    if not usual:
        return [label] if count == 1 else [str(k) for k in range(count)]
    if count != usual[label]:
        raise ValueError(
            f"{path}:{shape.line}: {count} points of {shown(label)} where most have {usual[label]}, and which are "
            "missing cannot be told; complete them"
        )
    return [label] if count == 1 else [f"{label}_{k}" for k in range(count)]
