# SPDX-License-Identifier: Apache-2.0
"""Landmark schemes: how many points, which mirror which, what normalises the error, how to draw them.

Flip permutations and normalising points are those of docs/protocols.md.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

NAMED = ("outer_eye_corners", "pupils", "box")


@dataclass(frozen=True)
class Normaliser:
    """What the error of a face is divided by: the distance of two points, which may have a name, or what a name says.

    'pupils' and 'box' have no two points; 'outer_eye_corners' has those of the landmarks for which it is asked
    (`normalisers.normalised_by`). Without name and points nothing is known. `str` is how files and flags name it;
    `parse` reads that back.
    """

    name: str = ""  # of `NAMED`, '' for two points without a name
    points: tuple[int, ...] = ()  # two, or none

    @classmethod
    def parse(cls, text: str) -> "Normaliser":
        """A normaliser as a person writes it, one of `NAMED` or two points 'i,j', or as files have it, 'points_i_j'.

        Raises:
            ValueError: it is neither.
        """
        if text in NAMED:
            return cls(text)
        pair = re.fullmatch(r"(?:points_)?(\d+)[,_](\d+)", text)
        if not pair:
            raise ValueError(f"the normaliser {text!r} is neither of {', '.join(NAMED)} nor two points such as 36,45")
        return cls(points=(int(pair[1]), int(pair[2])))

    def __str__(self) -> str:
        return self.name or (f"points_{self.points[0]}_{self.points[1]}" if self.points else "")


@dataclass(frozen=True)
class LandmarkScheme:
    """A set of K landmarks, counted from 0.

    `flip` is the left/right permutation, new[i] = old[flip[i]], an involution. `normaliser` is the distance of two
    points; for one evaluation it can be 'pupils' or 'box' (normalisers.py). `contours` are lines through points for
    drawing, () when unknown. An empty `flip`, or a `normaliser` without points, was not found; the config must give it.
    """

    name: str
    num_points: int
    flip: tuple[int, ...]
    normaliser: Normaliser
    contours: tuple[tuple[int, ...], ...]


def _line(first: int, last: int, closed: bool = False) -> tuple[int, ...]:
    return (*range(first, last + 1), first) if closed else tuple(range(first, last + 1))


# fmt: off
WFLW_98 = LandmarkScheme(
    'wflw-98', 98,
    (32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5,
     4, 3, 2, 1, 0, 46, 45, 44, 43, 42, 50, 49, 48, 47, 37, 36, 35, 34, 33, 41, 40, 39, 38, 51, 52, 53, 54, 59,
     58, 57, 56, 55, 72, 71, 70, 69, 68, 75, 74, 73, 64, 63, 62, 61, 60, 67, 66, 65, 82, 81, 80, 79, 78, 77, 76,
     87, 86, 85, 84, 83, 92, 91, 90, 89, 88, 95, 94, 93, 97, 96),
    Normaliser('outer_eye_corners', (60, 72)),
    (_line(0, 32), _line(33, 41, True), _line(42, 50, True), _line(51, 54), _line(55, 59),
     _line(60, 67, True), _line(68, 75, True), _line(76, 87, True), _line(88, 95, True)),
)
W300_68 = LandmarkScheme(
    '300w-68', 68,
    (16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17,
     27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
     54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65),
    Normaliser('outer_eye_corners', (36, 45)),
    (_line(0, 16), _line(17, 21), _line(22, 26), _line(27, 30), _line(31, 35),
     _line(36, 41, True), _line(42, 47, True), _line(48, 59, True), _line(60, 67, True)),
)
COFW_29 = LandmarkScheme(
    'cofw-29', 29,
    (1, 0, 3, 2, 6, 7, 4, 5, 9, 8, 11, 10, 14, 15, 12, 13, 17, 16, 19, 18, 20, 21, 23, 22, 24, 25, 26, 27, 28),
    Normaliser('outer_eye_corners', (8, 9)),
    ((0, 4, 2, 5, 0), (1, 6, 3, 7, 1), (8, 12, 10, 13, 8), (9, 14, 11, 15, 9), (18, 21, 19), (20, 21),
     (22, 24, 23, 27, 22), (22, 25, 23, 26, 22)),
)
# fmt: on
SCHEMES = {scheme.name: scheme for scheme in (WFLW_98, W300_68, COFW_29)}

# Points by facial region: every point of a known scheme is in one of them. COFW's jaw is its chin.
REGIONS: dict[str, dict[str, tuple[int, ...]]] = {
    "wflw-98": {
        "jaw": _line(0, 32), "eyebrows": _line(33, 50), "eyes": _line(60, 75), "nose": _line(51, 59),
        "mouth": _line(76, 95), "pupils": (96, 97),
    },
    "300w-68": {
        "jaw": _line(0, 16), "eyebrows": _line(17, 26), "eyes": _line(36, 47), "nose": _line(27, 35),
        "mouth": _line(48, 67),
    },
    "cofw-29": {
        "jaw": (28,), "eyebrows": _line(0, 7), "eyes": _line(8, 15), "nose": _line(18, 21), "mouth": _line(22, 27),
        "pupils": (16, 17),
    },
}  # fmt: skip
# The points whose mean is a pupil, left and right: 300W annotates none, the mean of an eye's contour stands for it.
PUPILS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "wflw-98": ((96,), (97,)),
    "300w-68": (_line(36, 41), _line(42, 47)),
    "cofw-29": ((16,), (17,)),
}


def make_scheme(
    num_points: int,
    flip_pairs: Sequence[tuple[int, int]],
    normaliser: Sequence[int],
    like: LandmarkScheme,
) -> LandmarkScheme:
    """The scheme `like`, as found from the data, with the config's `data.flip_pairs` and `data.normaliser` put on top.

    Args:
        num_points: K.
        flip_pairs: points that mirror each other, all others being their own mirror image; empty keeps `like`'s.
        normaliser: the two points whose distance normalises the error; empty keeps `like`'s.
        like: what was found. A single point has no normaliser and needs none here.

    Raises:
        ValueError: a point is out of range or in two pairs, the normaliser is not two points, or one of them is neither
            given nor in `like`.
    """
    if like.num_points != num_points:
        raise ValueError(f"the scheme {like.name} has {like.num_points} points, the data have {num_points}")
    scheme = like
    if len(flip_pairs):
        flip = _flip_of_pairs(num_points, flip_pairs)
        if flip != like.flip:
            scheme = replace(like, name=f"custom-{num_points}", flip=flip, contours=())
    if len(normaliser) and tuple(normaliser) != like.normaliser.points:
        points = _points_in_range("config.data.normaliser", normaliser, num_points)
        scheme = replace(scheme, normaliser=Normaliser(points=points))
    if not scheme.flip:
        raise ValueError(
            "left and right points could not be paired: give config.data.flip_pairs, as in ((0, 1), (3, 4))"
        )
    if not is_involution(scheme.flip, num_points):
        raise ValueError(
            f"the flip permutation of {scheme.name} is no involution of {num_points} points: {scheme.flip}"
        )
    if not scheme.normaliser.points and num_points > 1:
        raise ValueError("the error has no normaliser: give config.data.normaliser, two points such as (36, 45)")
    return scheme


def is_involution(flip: Sequence[int], num_points: int) -> bool:
    """Whether `flip` is a permutation of the points that undoes itself."""
    return sorted(flip) == list(range(num_points)) and all(flip[flip[i]] == i for i in range(num_points))


def _points_in_range(setting: str, points: Sequence[int], num_points: int) -> tuple[int, int]:
    if len(points) != 2 or points[0] == points[1] or not all(0 <= point < num_points for point in points):
        raise ValueError(f"{setting}: {tuple(points)} must be two different points between 0 and {num_points - 1}")
    return int(points[0]), int(points[1])


def _flip_of_pairs(num_points: int, flip_pairs: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    flip = list(range(num_points))
    for pair in flip_pairs:
        first, second = _points_in_range("config.data.flip_pairs", pair, num_points)
        if flip[first] != first or flip[second] != second:
            raise ValueError(f"config.data.flip_pairs: a point of {tuple(pair)} is in two pairs")
        flip[first], flip[second] = second, first
    return tuple(flip)
