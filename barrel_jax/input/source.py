# SPDX-License-Identifier: Apache-2.0
"""The built sets (TFDS, ArrayRecord) as this package reads them. Nothing here needs TensorFlow."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from barrel_jax.faces.landmarks import SCHEMES, LandmarkScheme, make_scheme
from barrel_jax.files import read_json


@dataclass(frozen=True)
class SetInfo:
    """What `metadata.json` of a built set says."""

    dataset: str
    fingerprint: str  # SHA-256 of the raw source
    scheme: LandmarkScheme
    flag_names: tuple[str, ...]
    found: str  # how the scheme is known, for people
    partial: str  # what is missing of the published set; '' when nothing is


def read_info(directory: Path, flip_pairs: Sequence[tuple[int, int]] = (), normaliser: Sequence[int] = ()) -> SetInfo:
    """The description of the built set in `directory`, with the config's flip pairs and normaliser, if given, on top.

    Raises:
      FileNotFoundError: no built set there.
      ValueError: overrides that do not fit the set.
    """
    path = Path(directory) / "metadata.json"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no built set there; build it with python -m data.prepare")
    data = read_json(path, f"delete {path.parent} and prepare the set again")
    name = data["scheme"]
    found = LandmarkScheme(
        name=name,
        num_points=data["num_points"],
        flip=tuple(data["flip"]),
        normaliser=tuple(data["normaliser"]),
        normaliser_name=data["normaliser_name"],
        contours=SCHEMES[name].contours if name in SCHEMES else (),
    )
    scheme = make_scheme(data["num_points"], flip_pairs, normaliser, found)
    return SetInfo(
        data["dataset"], data["source_digest"], scheme, tuple(data["flag_names"]), data["found"], data["partial"]
    )


def open_split(directory: Path, split: str) -> Sequence[dict[str, Any]]:
    """Random access to the records of a split; images stay encoded.

    Raises:
      ValueError: names the splits that there are.
    """
    import tensorflow_datasets as tfds  # takes seconds, and a cached split does without

    builder = tfds.builder_from_directory(str(directory))
    if split not in builder.info.splits:
        there = ", ".join(builder.info.splits) or "none"
        raise ValueError(f"{directory}: no split {split!r} in this set; its splits are: {there}")
    return builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})


def decode(encoded: bytes, name: str) -> np.ndarray:
    """JPEG or PNG to uint8 [H, W, 3], RGB; EXIF orientation is ignored, as points refer to the stored pixels.

    Raises:
      ValueError: bytes that are no image.
    """
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise ValueError(f"{name}: the stored image cannot be decoded; delete the built set and prepare it again")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
