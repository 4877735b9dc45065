# SPDX-License-Identifier: Apache-2.0
"""The built sets (TFDS, ArrayRecord) as this package reads them. Nothing here needs TensorFlow."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from barrel_jax import pictures
from barrel_jax.faces.landmarks import NAMED, SCHEMES, LandmarkScheme, Normaliser, make_scheme
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
        normaliser=_normaliser(data["normaliser_name"], data["normaliser"]),
        contours=SCHEMES[name].contours if name in SCHEMES else (),
    )
    scheme = make_scheme(data["num_points"], flip_pairs, normaliser, found)
    return SetInfo(
        data["dataset"], data["source_digest"], scheme, tuple(data["flag_names"]), data["found"], data["partial"]
    )


def _normaliser(name: str, points: Sequence[int]) -> Normaliser:
    # The name of two points that are not in `NAMED` repeats them.
    return Normaliser(name if name in NAMED else "", tuple(points))


def open_split(directory: Path, split: str) -> Sequence[dict[str, Any]]:
    """Random access to the records of a split; images stay encoded.

    Raises:
        ValueError: the set's records are not of the kind that this project writes, or there is no such split; names
          those that there are.
    """
    _check_features(Path(directory))
    import tensorflow_datasets as tfds  # takes seconds, and a cached split does without

    builder = tfds.builder_from_directory(str(directory))
    if split not in builder.info.splits:
        there = ", ".join(builder.info.splits) or "none"
        raise ValueError(
            f"{directory}: no split {split!r} in this set; its splits are: {there}; name one of them (--split, "
            "config.data.train_split, config.data.test_split), or give the set that one too"
        )
    return builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})


def _check_features(directory: Path) -> None:
    """Compares a set's features with what is written here: TFDS imports the Python classes that they name."""
    about = read_json(directory / "metadata.json", f"delete {directory} and prepare the set again")
    path = directory / "features.json"
    found = read_json(path, f"delete {directory} and prepare the set again")
    if found != _written_features(about["num_points"], len(about["flag_names"])):
        raise ValueError(
            f"{path}: these are not the features of a set that data.prepare has built, and they name classes that "
            f"would be run; delete {directory} and prepare the set again"
        )


def _written_features(num_points: int, num_flags: int) -> dict[str, Any]:
    """What TFDS writes of the features of K points and F flags (`face_features` of the builders)."""
    classes = "tensorflow_datasets.core.features"

    def shape(*sides: int) -> dict[str, Any]:
        return {"dimensions": [str(side) for side in sides]} if sides else {}

    def tensor(dtype: str, *sides: int, name: str = "tensor_feature.Tensor") -> dict[str, Any]:
        details = {"dtype": dtype, "encoding": "none", "shape": shape(*sides)}
        return {"pythonClassName": f"{classes}.{name}", "tensor": details}

    features = {
        "image": {
            "image": {"dtype": "uint8", "shape": shape(-1, -1, 3)},
            "pythonClassName": f"{classes}.image_feature.Image",
        },
        "points": tensor("float32", num_points, 2),
        "visible": tensor("uint8", num_points),
        "box": tensor("float32", 4),
        "region": tensor("int32", 4),
        "size": tensor("int32", 2),
        "flags": tensor("uint8", num_flags),
        "file": {"pythonClassName": f"{classes}.text_feature.Text", "text": {}},
        "face": tensor("int64", name="scalar.Scalar"),
    }
    return {"featuresDict": {"features": features}, "pythonClassName": f"{classes}.features_dict.FeaturesDict"}


def decode(encoded: bytes, name: str) -> UInt8[np.ndarray, "H W 3"]:
    """JPEG or PNG to uint8 [H, W, 3], RGB; EXIF orientation is ignored, as points refer to the stored pixels.

    Raises:
        ValueError: bytes that are no image.
    """
    image = pictures.decode(encoded)
    if image is None:
        if why := pictures.unreadable_kind(encoded):
            raise ValueError(f"{name}: the stored image is {why}")
        raise ValueError(f"{name}: the stored image cannot be decoded; delete the built set and prepare it again")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
