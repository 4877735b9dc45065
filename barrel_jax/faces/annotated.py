# SPDX-License-Identifier: Apache-2.0
"""The annotated faces of a split, without their pixels: all that scoring anybody's predictions needs."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Real

from barrel_jax.faces.landmarks import LandmarkScheme


@dataclass(frozen=True)
class FaceTruth:
    """n annotated faces of one split. Points are (x, y) in source pixels, the centre of the top-left one is (0, 0)."""

    dataset: str
    split: str
    fingerprint: str
    scheme: LandmarkScheme
    flag_names: tuple[str, ...]
    points_px: np.ndarray  # float32 [n, K, 2], NaN where not annotated
    visible: np.ndarray  # uint8 [n, K]: 0 not labelled, 1 occluded, 2 visible
    boxes: np.ndarray  # float32 [n, 4], x, y, w, h
    flags: np.ndarray  # bool [n, F]
    files: tuple[str, ...]
    faces: np.ndarray  # int64 [n]
    partial: str = ""  # what is missing of the published set, for every table made from it; '' when nothing is
    clamped: bool = False  # whether points outside the image were moved to its border
    # float32 [n, 4], x, y, w, h of the crop protocol in source pixels; None where the images' sizes are not known
    windows: np.ndarray | None = field(default=None, kw_only=True)

    def __len__(self) -> int:
        return len(self.points_px)

    @property
    def labelled(self) -> Bool[np.ndarray, "n K"]:
        """bool [n, K]: points that count in the loss and in the score."""
        return (self.visible > 0) & np.isfinite(self.points_px).all(axis=-1)


def clamp(points_px: Float[np.ndarray, "n K 2"], sizes: Real[np.ndarray, "n 2"]) -> Float[np.ndarray, "n K 2"]:
    """Points [n, K, 2] moved into their images of w, h [n, 2]: 0..w and 0..h in edge coordinates, as PIPNet does."""
    return np.clip(points_px, np.float32(-0.5), sizes[:, None].astype(np.float32) - np.float32(0.5))
