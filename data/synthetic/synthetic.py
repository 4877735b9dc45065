# SPDX-License-Identifier: Apache-2.0
"""The TFDS set of synthetic faces: nothing is downloaded, every face is drawn while the set is written."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from barrel_jax.faces.landmarks import SCHEMES
from data.metadata import face_metadata
from data.regions import Region
from data.source import Face
from data.synthetic.sample import FLAG_NAMES, sample_face
from data.tfds_builder import FaceSetBuilder, build_faces

OPTIONS = ("scheme", "train", "test", "seed")


class Synthetic(FaceSetBuilder):
    """Procedural faces with the points of WFLW (98), 300W (68) or COFW (29) and WFLW's six flags.

    Splits 'train' and 'test'.
    """

    def __init__(self, data_dir: str | Path, scheme: str, train: int, test: int, seed: int, source_digest: str) -> None:
        """`scheme` is 'wflw-98', '300w-68' or 'cofw-29', `train` and `test` numbers of faces.

        Raises:
            ValueError: an unknown scheme, or a number of faces below 1 or a seed below 0.
        """
        if scheme not in SCHEMES:
            raise ValueError(f"unknown scheme {scheme!r} for synthetic faces: choose one of {', '.join(SCHEMES)}")
        if min(train, test) < 1 or seed < 0:
            raise ValueError(
                f"synthetic faces need train >= 1, test >= 1 and seed >= 0, not train={train}, test={test}, seed={seed}"
            )
        self.scheme, self.seed = scheme, seed
        found = f"The points are those of {scheme}, by construction."
        super().__init__(
            data_dir,
            face_metadata("synthetic", SCHEMES[scheme], found, source_digest, FLAG_NAMES),
            {"train": train, "test": test},
        )

    def faces(self, split: str) -> Iterator[tuple[Face, Region]]:
        """Yields every face of a split with its picture, all of which is stored."""
        for index in range(self.sizes[split]):
            drawn = sample_face(self.seed, split, index, self.scheme)
            face = Face(
                drawn["face"], drawn["file"], drawn["box"], drawn["points"], drawn["visible"], tuple(drawn["flags"])
            )
            yield face, Region(drawn["image"], drawn["region"], size=drawn["region"][2:])


def build(options: Mapping[str, Any], folder: Path, source_digest: str) -> Path:
    """Builds the set in `folder` and returns the folder for `tfds.builder_from_directory`.

    Raises:
        ValueError: an option of `OPTIONS` is missing or has no sense, or there is another one.
        OSError: the disk is full (ENOSPC) or cannot be written.
    """
    if sorted(options) != sorted(OPTIONS):
        raise ValueError(f"synthetic faces take the options {', '.join(OPTIONS)}, not {', '.join(options) or 'none'}")
    return build_faces(Synthetic(folder, source_digest=source_digest, **options))
