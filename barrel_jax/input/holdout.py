# SPDX-License-Identifier: Apache-2.0
"""The training faces that are kept from training, so that settings can be chosen without opening the test split.

A face's side is a function of its image's name alone: the same in every run, whatever its seed, and whatever else of
the set is there. Faces of one image fall on the same side, and so do its mirror image and its other faces where the set
keeps each face's image under a name of its own (AFW and HELEN in 300W: NUMBER_1.jpg, NUMBER_2.jpg; dlib's copies end in
_mirror).
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Bool

from barrel_jax.config import HOLDOUT
from barrel_jax.input.crops import FaceCrops
from barrel_jax.input.mixture import select

ONE_OF_SEVERAL = re.compile(r"(\d{5,})_\d{1,2}$")  # the number of a photo, and that of a face in it


def photo_of(file: str) -> str:
    """What the names of all faces of one photo share."""
    path = PurePosixPath(file)
    stem = re.sub(r"_mirror$", "", path.stem)
    several = ONE_OF_SEVERAL.fullmatch(stem)
    return str(path.with_name(several[1] if several else stem))


def held_out(files: Sequence[str], share: float) -> Bool[np.ndarray, " n"]:
    """Whether each image's faces are kept from training: bool [n], about `share` of the photos."""

    def drawn(photo: str) -> float:
        return int.from_bytes(hashlib.sha256(photo.encode()).digest()[:8]) / 2**64

    return np.array([drawn(photo_of(file)) < share for file in files], bool)


def divide(crops: FaceCrops, share: float, split: str) -> FaceCrops:
    """Of the training split `crops` the faces that are kept from training, when `split` is 'holdout', else the rest.

    Raises:
        ValueError: one side has no face.
    """
    held = held_out(crops.files, share)
    if held.all() or not held.any():
        raise ValueError(
            f"config.data.holdout={share} keeps {held.sum()} of the {len(crops)} faces of {crops.dataset} "
            f"{crops.split} from training; choose a share that leaves faces on both sides"
        )
    return select(crops, np.flatnonzero(held == (split == HOLDOUT)), split)
