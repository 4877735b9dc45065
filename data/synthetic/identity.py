# SPDX-License-Identifier: Apache-2.0
"""The identity of a face: the proportions that differ between people, as factors and offsets of the mean head."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Identity:
    """Proportions of one person.

    Lengths and offsets are in units of the mean distance of the outer eye corners; factors have mean 1.
    """

    face_width: float  # factor on the width of the whole head
    jaw_width: float  # factor on the width at the jaw angle, relative to face_width
    chin_width: float  # factor on the width close to the chin
    chin_drop: float  # offset of the chin downwards
    forehead: float  # factor on the height above the eyes
    depth: float  # factor on everything along the line of sight
    eye_spacing: float  # offset outwards of the eyes' centres
    eye_width: float  # factor
    eye_opening: float  # height of the open eye
    eye_slant: float  # rise of the outer corner
    eye_drop: float  # offset of eyes downwards
    brow_drop: float  # offset of brows downwards
    brow_arch: float  # factor on the rise of the brow's middle
    brow_slant: float  # rise of the outer end
    brow_thickness: float  # factor
    brow_length: float  # factor
    nose_drop: float  # offset of the tip downwards
    nose_width: float  # factor
    nose_height: float  # factor on how far the nose stands out
    mouth_drop: float  # offset downwards
    mouth_width: float  # factor
    upper_lip: float  # factor on the thickness of the upper lip
    lower_lip: float  # factor on the thickness of the lower lip
    skew: float  # sideways drift of mouth and chin, for faces are not symmetric
    brow_skew: float  # height of the right brow over the left one


def sample_identity(rng: np.random.Generator) -> Identity:
    """Draws one person.

    Spreads were set against the spread of real annotated faces (68 points, after similarity alignment).
    """
    n = np.clip(rng.standard_normal(25), -2.2, 2.2)
    return Identity(
        face_width=1 + 0.065 * n[0],
        jaw_width=1 + 0.04 * n[1],
        chin_width=1 + 0.08 * n[2],
        chin_drop=0.06 * n[3],
        forehead=1 + 0.07 * n[4],
        depth=1 + 0.08 * n[5],
        eye_spacing=0.012 * n[6],
        eye_width=1 + 0.06 * n[7],
        eye_opening=0.084 * np.exp(0.18 * n[8]),
        eye_slant=0.012 * n[9],
        eye_drop=0.01 * n[10],
        brow_drop=0.028 * n[11],
        brow_arch=np.exp(0.3 * n[12]),
        brow_slant=0.025 * n[13],
        brow_thickness=np.exp(0.28 * n[14]),
        brow_length=1 + 0.04 * n[15],
        nose_drop=0.028 * n[16],
        nose_width=1 + 0.1 * n[17],
        nose_height=1 + 0.13 * n[18],
        mouth_drop=0.028 * n[19],
        mouth_width=1 + 0.07 * n[20],
        upper_lip=np.exp(0.3 * n[21]),
        lower_lip=np.exp(0.25 * n[22]),
        skew=0.012 * n[23],
        brow_skew=0.008 * n[24],
    )


MEAN_IDENTITY = Identity(
    face_width=1,
    jaw_width=1,
    chin_width=1,
    chin_drop=0,
    forehead=1,
    depth=1,
    eye_spacing=0,
    eye_width=1,
    eye_opening=0.084,
    eye_slant=0,
    eye_drop=0,
    brow_drop=0,
    brow_arch=1,
    brow_slant=0,
    brow_thickness=1,
    brow_length=1,
    nose_drop=0,
    nose_width=1,
    nose_height=1,
    mouth_drop=0,
    mouth_width=1,
    upper_lip=1,
    lower_lip=1,
    skew=0,
    brow_skew=0,
)
