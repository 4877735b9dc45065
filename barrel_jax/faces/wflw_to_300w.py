# SPDX-License-Identifier: Apache-2.0
"""WFLW's 98 points as 300W's 68, so that a model of one can be scored on faces of the other (docs/protocols.md).

PIPNet's mapping, which is not an official one: jaw, nose, mouth and eye corners are taken over; a brow point has the x
of the upper line and the mean y of the upper and the lower; a lid point is two parts the nearest WFLW point and one
part the next. The parts are 2/3 and 1/3: PIPNet's .666 and .333 do not add up to one. The two annotations differ by
about 3 % of the interocular distance even so, hence a mapped score says that it is one (`mapped`).
"""

from dataclasses import replace
from typing import TypeVar

import numpy as np
from jaxtyping import Real

from barrel_jax.faces.annotated import FaceTruth
from barrel_jax.faces.landmarks import W300_68, WFLW_98

PREDICTIONS_MAPPED = f"{WFLW_98.name} predictions mapped to {W300_68.name}"
TRUTH_MAPPED = f"{WFLW_98.name} truth mapped to {W300_68.name}"

Truth = TypeVar("Truth", bound=FaceTruth)


def _make_weights() -> np.ndarray:
    weights = np.zeros((2, 68, 98))
    taken = [(point, 2 * point) for point in range(17)]  # jaw
    taken += [(17, 33), (26, 46)]  # outer ends of the brows
    taken += [(point, point + 24) for point in range(27, 36)]  # nose
    taken += [(36, 60), (39, 64), (42, 68), (45, 72)]  # eye corners
    taken += [(point, point + 28) for point in range(48, 68)]  # mouth
    for point, source in taken:
        weights[:, point, source] = 1
    brows = zip(range(18, 26), (34, 35, 36, 37, 42, 43, 44, 45), (41, 40, 39, 38, 50, 49, 48, 47), strict=True)
    for point, upper, lower in brows:
        weights[0, point, upper] = 1
        weights[1, point, [upper, lower]] = 1 / 2
    lids = (
        (37, 61, 62),
        (38, 63, 62),
        (40, 65, 66),
        (41, 67, 66),
        (43, 69, 70),
        (44, 71, 70),
        (46, 73, 74),
        (47, 75, 74),
    )
    for point, near, next_to in lids:
        weights[:, point, near] = 2 / 3
        weights[:, point, next_to] = 1 / 3
    return weights


WEIGHTS = _make_weights()  # float64 [2, 68, 98]: how much of each of the 98 points is in x and in y of each of the 68


def map_points(points: Real[np.ndarray, "*n 98 2"]) -> Real[np.ndarray, "*n 68 2"]:
    """Points [..., 98, 2] of WFLW as points [..., 68, 2] of 300W, in the same frame and type."""
    return np.einsum("ckj,...jc->...kc", WEIGHTS, points).astype(points.dtype)


def map_truth(faces: Truth) -> Truth:
    """Faces annotated as WFLW's with the points of 300W, normalised by their outer eye corners.

    A point is labelled when all that it is made of are, and occluded when one of them is.
    """
    sources = [np.flatnonzero(row) for row in WEIGHTS.any(axis=0)]  # type: ignore[union-attr]
    labelled = np.stack([faces.labelled[:, points].all(axis=1) for points in sources], axis=1)
    points_px = map_points(np.where(faces.labelled[..., None], faces.points_px, np.float32(0)))
    return replace(
        faces,
        scheme=W300_68,
        points_px=np.where(labelled[..., None], points_px, np.float32(np.nan)),
        visible=np.stack([faces.visible[:, points].min(axis=1) for points in sources], axis=1),
    )


def mapping(num_points: int, faces: FaceTruth, scheme: str = "") -> str:
    """What must be mapped so that predictions can be compared with the truth: '' or one of the sentences above.

    Args:
        num_points: of a predicted face.
        faces: the truth.
        scheme: name of the predictions' landmarks, '' when only their number is known.

    Raises:
        ValueError: they cannot be compared.
    """
    if num_points == faces.scheme.num_points:
        return ""
    wanted = (num_points, faces.scheme.name)
    if wanted == (98, W300_68.name) and scheme in ("", WFLW_98.name):
        return PREDICTIONS_MAPPED
    if wanted == (68, WFLW_98.name) and scheme in ("", W300_68.name):
        return TRUTH_MAPPED
    raise ValueError(
        f"{num_points} points a face{f' ({scheme})' if scheme else ''}, but {faces.dataset} {faces.split} has "
        f"{faces.scheme.num_points} ({faces.scheme.name}); score them on a set with their landmarks"
    )


def comparable(points_px: Real[np.ndarray, "n K 2"], faces: Truth) -> tuple[Real[np.ndarray, "n C 2"], Truth, str]:
    """Predictions [n, K, 2] and truth with the same landmarks, and what was mapped for it, '' when nothing was.

    Raises:
        ValueError: as `mapping`.
    """
    mapped = mapping(points_px.shape[1], faces)
    if mapped == PREDICTIONS_MAPPED:
        points_px = map_points(points_px)
    return points_px, map_truth(faces) if mapped == TRUTH_MAPPED else faces, mapped
