# SPDX-License-Identifier: Apache-2.0
"""The faces of a split as a config wants them."""

from pathlib import Path

from barrel_jax.config import HOLDOUT, DataConfig
from barrel_jax.input.crops import FaceCrops, load_crops
from barrel_jax.input.holdout import divide
from barrel_jax.picture_heads import max_pixels


def load_split(data: DataConfig, directory: Path, split: str, context: float = 0.0) -> FaceCrops:
    """The crops of a split.

    Where `data.holdout` keeps faces from training, the training split is without them, and 'holdout' is they.

    Args:
        data: the settings.
        directory: the built set.
        split: its name.
        context: how much of the picture around the crops the images show too (`load_crops`).

    Raises:
        ValueError: there is no such split, it is empty, or what is given of its points does not fit them.
    """
    stored = data.train_split if data.holdout and split == HOLDOUT else split
    with max_pixels(data.max_pixels):
        crops = load_crops(data, directory, stored, context)
    return divide(crops, data.holdout, split) if data.holdout and stored == data.train_split else crops
