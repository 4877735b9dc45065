# SPDX-License-Identifier: Apache-2.0
"""Normalisers: the distances that errors of faces are divided by (docs/protocols.md, "Metric").

'outer_eye_corners' and a pair are distances of two points, 'pupils' the distance of the pupils (the means of the
eyes' contours where none is annotated), 'box' the root of the area of the face's box, as Bulat and Tzimiropoulos have
it. The choice lies in the scheme of the faces that are scored (`LandmarkScheme.normaliser`), so that whatever
scores, draws or prints them names the same one.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Real

from barrel_jax.faces.landmarks import PUPILS, SCHEMES, LandmarkScheme, Normaliser


def normalised_by(scheme: LandmarkScheme, normaliser: Normaliser) -> LandmarkScheme:
    """The scheme with its errors normalised otherwise.

    Raises:
        ValueError: the scheme has no such normaliser; says which it can have.
    """
    known, name = SCHEMES.get(scheme.name), normaliser.name
    if name == "box" or (name == "pupils" and known):
        return replace(scheme, normaliser=Normaliser(name))
    if name == "outer_eye_corners" and (known or scheme.normaliser.name == name):
        return replace(scheme, normaliser=(known or scheme).normaliser)
    if not normaliser.points:
        raise ValueError(
            f"the landmarks {scheme.name} have no known {name.replace('_', ' ')}: "
            "normalise by box, or by two points such as 0,1"
        )
    first, second = normaliser.points
    if first == second or not all(0 <= point < scheme.num_points for point in (first, second)):
        raise ValueError(
            f"the normaliser {first},{second} must be two different points between 0 and {scheme.num_points - 1} "
            f"({scheme.name})"
        )
    if known and (first, second) == known.normaliser.points:
        return replace(scheme, normaliser=known.normaliser)
    return replace(scheme, normaliser=Normaliser(points=(first, second)))


def distances(
    scheme: LandmarkScheme, truth_px: Real[np.ndarray, "n K 2"], labelled: Bool[np.ndarray, "n K"]
) -> Float[np.ndarray, " n"]:
    """The normalising distance of every face in source pixels: float64 [n].

    NaN where a point that it needs is not labelled (for the box: where no point is), 0 where points coincide.

    Args:
        scheme: says by what (`normaliser`).
        truth_px: annotated points [n, K, 2], source pixels; NaN where not annotated.
        labelled: bool [n, K].

    Raises:
        ValueError: the faces have another number of points than the scheme, or the scheme has no normaliser.
    """
    truth, labelled = np.asarray(truth_px, np.float64), np.asarray(labelled, bool)
    if truth.ndim != 3 or truth.shape[1:] != (scheme.num_points, 2) or labelled.shape != truth.shape[:2]:
        raise ValueError(
            f"true points {truth.shape} and labels {labelled.shape} must be [n, {scheme.num_points}, 2] and "
            f"[n, {scheme.num_points}] ({scheme.name})"
        )
    if scheme.normaliser.name == "box":
        low = np.where(labelled[..., None], truth, np.inf).min(axis=1)
        high = np.where(labelled[..., None], truth, -np.inf).max(axis=1)
        return np.where(labelled.any(axis=1), np.sqrt((high - low).prod(axis=-1)), np.nan)
    first, second = (list(points) for points in _ends(scheme))
    lengths = np.linalg.norm(truth[:, first].mean(axis=1) - truth[:, second].mean(axis=1), axis=-1)
    return np.where(labelled[:, first + second].all(axis=1), lengths, np.nan)


def normaliser_points(scheme: LandmarkScheme) -> list[int] | list[list[int]]:
    """The points at the ends of the distance: [i, j], or two lists whose means are taken; [] for the box."""
    if scheme.normaliser.name == "box":
        return []
    first, second = _ends(scheme)
    return [*first, *second] if len(first) == len(second) == 1 else [list(first), list(second)]


def normaliser_words(scheme: LandmarkScheme) -> str:
    """What the error is divided by, in words: 'the distance of the outer eye corners (points 36 and 45)'."""
    if scheme.normaliser.name == "box":
        return "the root of the area of the face's box (tight around its labelled points)"
    first, second = (f"{points[0]}" if len(points) == 1 else f"{points[0]}..{points[-1]}" for points in _ends(scheme))
    points = f"points {first} and {second}"
    if not scheme.normaliser.name:
        return f"the distance of {points}"
    means = "means of " if ".." in points else ""
    return f"the distance of the {scheme.normaliser.name.replace('_', ' ')} ({means}{points})"


def _ends(scheme: LandmarkScheme) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The points whose means are the two ends of the distance."""
    if scheme.normaliser.name == "pupils":
        return PUPILS[scheme.name]
    if len(scheme.normaliser.points) != 2:
        raise ValueError(f"the landmarks {scheme.name} have no normaliser: give two points, or box")
    first, second = scheme.normaliser.points
    return (first,), (second,)
