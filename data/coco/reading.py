# SPDX-License-Identifier: Apache-2.0
"""The switches for reading a source where its files leave open what they mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from barrel_jax.config import DataConfig
from data.coco.frames import EXIF
from data.coco.placeholders import PLACEHOLDERS
from data.coco.units import BOXES, POINTS

CHOICES = {"boxes": BOXES, "points": POINTS, "exif": EXIF, "placeholders": PLACEHOLDERS}


@dataclass(frozen=True)
class Reading:
    """The switches, each a field of `DataConfig` (`READING`) and a flag of data.prepare and evaluate.py."""

    boxes: str  # layout of bbox (units.py)
    points: str  # layout of the points in keypoints
    exif: str  # which frame the points of turned pictures are in (frames.py)
    placeholders: str  # what becomes of points at zero (placeholders.py)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Reading":
        """The switches among `options`, the config's own where they are not. Raises ValueError for an unknown value."""
        chosen = {name: options.get(name, getattr(DataConfig(), name)) for name in CHOICES}
        for name, value in chosen.items():
            if value not in CHOICES[name]:
                raise ValueError(f"config.data.{name}={value!r} is none of {', '.join(CHOICES[name])}")
        return cls(**chosen)
