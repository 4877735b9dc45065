# SPDX-License-Identifier: Apache-2.0
"""The mean shape of faces and its mirror symmetry: which point mirrors which, and how well.

A scheme that is not known is found from the data: the mean shape is laid on its mirror image, and every point takes the
partner on which it falls.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Real, Shaped

from barrel_jax.faces.landmarks import SCHEMES, LandmarkScheme, Normaliser

TILTS = np.radians((-40, -20, 0, 20, 40))  # of the mirror axis against the vertical, where the search starts


def mean_shape(points: Real[np.ndarray, "n K 2"], labelled: Bool[np.ndarray, "n K"]) -> Float[np.ndarray, "K 2"]:
    """Mean of the labelled points [n, K, 2] after every face is moved, scaled and turned onto it by least squares.

    Returns:
        [K, 2], centred, with root-mean-square radius 1, upright as the faces are on average. A point that is missing
        in some faces does not pull the others.
    """
    # As complex numbers x + iy, one factor scales and turns.
    z = np.where(labelled, np.nan_to_num(points[..., 0]) + 1j * np.nan_to_num(points[..., 1]), 0)
    count = np.maximum(labelled.sum(axis=1, keepdims=True), 1)
    z = np.where(labelled, z - z.sum(axis=1, keepdims=True) / count, 0)
    power = (np.abs(z) ** 2).sum(axis=1, keepdims=True)
    usable = labelled & (power > 0)
    if not usable.any(axis=0).all():
        usable = labelled  # points that are only ever labelled alone: their place relative to the others is unknown
    power = np.where(power > 0, power, 1)
    placed = z * np.sqrt(count / power)
    for _ in range(10):
        shape = placed.sum(axis=0, where=usable) / usable.sum(axis=0)
        shape = shape - shape.mean()
        shape = shape / max(np.sqrt((np.abs(shape) ** 2).mean()), 1e-12)
        target_centre = np.where(labelled, shape, 0).sum(axis=1, keepdims=True) / count
        factor = (np.conj(z) * np.where(labelled, shape - target_centre, 0)).sum(axis=1, keepdims=True) / power
        placed = factor * z + target_centre
    return np.stack([shape.real, shape.imag], axis=-1)


def mirror_residual(shape: Real[np.ndarray, "K 2"], flip: Sequence[int]) -> Float[np.ndarray, " K"]:
    """Distances [K] from the points of a centred shape [K, 2] to their partners' mirror images about the best axis."""
    flip = list(flip)
    return np.linalg.norm(shape - _mirror(shape, _mirror_tilt(shape, flip))[flip], axis=-1)


def _mirror(shape: np.ndarray, tilt: float) -> np.ndarray:
    """The shape [K, 2] mirrored about the axis through the origin that leans `tilt` radians from the vertical."""
    cos, sin = np.cos(2 * tilt), np.sin(2 * tilt)
    return shape @ np.array([[-cos, sin], [sin, cos]])


def _mirror_tilt(shape: np.ndarray, flip: Sequence[int]) -> float:
    """The tilt that brings mirrored partners nearest in least squares.

    The axis runs through the centroid: a permutation keeps the centroid, so the best translation of the mirrored points
    is none at all.
    """
    (x, y), (u, v) = shape.T, shape[list(flip)].T
    return np.arctan2((x * v + y * u).sum(), (y * v - x * u).sum()) / 2


def _pairs_the_nearest(shape: np.ndarray, flip: Sequence[int]) -> bool:
    """Whether the partner of every point of a centred shape [K, 2] is the one whose mirror image lies nearest to it."""
    mirrored = _mirror(shape, _mirror_tilt(shape, flip))
    distance = ((shape[:, None] - mirrored[None]) ** 2).sum(axis=-1)
    return bool((distance.argmin(axis=1) == np.array(flip)).all())


def best_flip(shape: Real[np.ndarray, "K 2"]) -> tuple[int, ...]:
    """The pairing of least squared distance between a centred shape [K, 2] and its image in a near-vertical mirror."""
    from scipy.optimize import linear_sum_assignment  # takes a second, and only a set's first reading needs it

    best, least = None, np.inf
    for tilt in TILTS:
        flip: tuple[int, ...] = ()
        for _ in range(20):
            distance = ((shape[:, None] - _mirror(shape, tilt)[None]) ** 2).sum(axis=-1)
            previous, flip = flip, tuple(linear_sum_assignment(distance)[1].tolist())
            if flip == previous:
                break
            tilt = _mirror_tilt(shape, flip)
        cost = (mirror_residual(shape, flip) ** 2).sum()
        if abs(tilt) <= np.pi / 4 and cost < least - 1e-9:
            best, least = flip, cost
    return best if best is not None else tuple(range(len(shape)))


MAX_RESIDUAL = 0.4  # farthest that a point may lie from its partner's mirror image, in root-mean-square radii


AS_GOOD = 1.25  # a known permutation is recognised when its mirror residual is at most this many times the best one


def find_scheme(points: Real[np.ndarray, "n K 2"], visible: Shaped[np.ndarray, "n K"]) -> tuple[LandmarkScheme, str]:
    """The scheme that the data tell, and a sentence for people on how it is known.

    A known scheme is recognised by its number of points and by its permutation, which mirrors the mean shape as well as
    the best one does. Otherwise the permutation is the optimal pairing of the mean shape with its mirror image, and the
    normaliser is the widest pair above the centroid of the mean shape (among all pairs if none is there; the two points
    farthest apart if there is no pair). A single point has no normaliser.

    Args:
        points: [n, K, 2] in any unit; NaN where not labelled.
        visible: [n, K]; 0 where not labelled.

    Raises:
        ValueError: a point is labelled in no face, or points have no unique mirror partner; both name the points.
    """
    num_points = points.shape[1]
    labelled = (np.asarray(visible) > 0) & np.isfinite(points).all(axis=-1)
    never = np.flatnonzero(~labelled.any(axis=0))
    if never.size:
        raise ValueError(f"points {never.tolist()} are labelled in no face: label them or leave them out of the data")
    if num_points == 1:
        alone = "1 point, its own mirror image; there is no distance to normalise the error by."
        return LandmarkScheme("custom-1", 1, (0,), Normaliser(), ()), alone
    shape = mean_shape(points, labelled)
    alike = [known for known in SCHEMES.values() if known.num_points == num_points]
    # Where every point falls nearest to its partner no pairing is better, and none is searched for.
    known = next((known for known in alike if _pairs_the_nearest(shape, known.flip)), None)
    if known is None:
        flip = best_flip(shape)
        residual = mirror_residual(shape, flip)
        least = AS_GOOD * residual.mean() + 1e-6
        known = next((known for known in alike if mirror_residual(shape, known.flip).mean() <= least), None)
    if known is not None:
        order = f"the order of {known.name} (told by their number and mirror pairs)"
        return known, _describe(known, shape, len(points), order)
    lost = [i for i in range(num_points) if flip[flip[i]] != i or residual[i] > MAX_RESIDUAL]
    if lost:
        raise ValueError(
            f"points {lost} have no unique left/right partner in the mean shape of {len(points)} faces: "
            "give config.data.flip_pairs and config.data.normaliser"
        )
    normaliser = Normaliser(points=_widest_pair(shape, flip))
    scheme = LandmarkScheme(f"custom-{num_points}", num_points, flip, normaliser, ())
    return scheme, _describe(scheme, shape, len(points), "an order of their own")


def _describe(scheme: LandmarkScheme, shape: np.ndarray, num_faces: int, order: str) -> str:
    midline = [i for i, partner in enumerate(scheme.flip) if i == partner]
    residual = 100 * mirror_residual(shape, scheme.flip).mean() / np.ptp(shape, axis=0).max()
    first, second = scheme.normaliser.points
    corners = "the outer eye corners, " if scheme.normaliser.name == "outer_eye_corners" else ""
    return (
        f"{scheme.num_points} points in {order}: {(scheme.num_points - len(midline)) // 2} left/right pairs and "
        f"{len(midline)} midline points {midline}; the mean shape of {num_faces} faces lies {residual:.1f} % of its "
        f"size from its mirror image. The error is normalised by the distance of {corners}points {first} "
        f"and {second}; config.data.flip_pairs and config.data.normaliser override this."
    )


def _widest_pair(shape: np.ndarray, flip: Sequence[int]) -> tuple[int, int]:
    pairs = [(i, j) for i, j in enumerate(flip) if i < j]
    # A twentieth of the radius below the centroid still counts as above: two points alone lie on it.
    upper = [(i, j) for i, j in pairs if shape[[i, j], 1].mean() <= 0.05]
    candidates = upper or pairs or [(i, j) for i in range(len(shape)) for j in range(i + 1, len(shape))]
    return max(candidates, key=lambda pair: np.linalg.norm(shape[pair[0]] - shape[pair[1]]))
