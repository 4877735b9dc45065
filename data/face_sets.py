# SPDX-License-Identifier: Apache-2.0
"""The sets of faces by name: where each one's source lies, what identifies it, how it is inspected and built."""

import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from barrel_jax.config import DataConfig
from barrel_jax.files import cache_home, download_folder
from data.source import FORMAT, Source


class FaceSet(Protocol):
    """A set. Its modules are loaded when asked for, since TFDS takes seconds."""

    def locate(self, source: str, data_dir: str) -> str:
        """The folder of the source: `source`, or its place below `data_dir`; '' when the set has none.

        Raises:
            FileNotFoundError: none is named and there is none in that place; one line says where to get it, where to
                put it, and its licence.
        """

    def options(self, config: DataConfig) -> dict[str, Any]:
        """What a config says of the set beside its source."""

    def digest(self, source: str, options: Mapping[str, Any]) -> str:
        """SHA-256 in hex that changes when the source does, or the options that make it."""

    def check(self, source: str, options: Mapping[str, Any], *, allow_partial: bool) -> tuple[list[str], list[str]]:
        """Lines to read and a line for every fault. Raises ValueError, FileNotFoundError as `build`."""

    def build(self, source: str, options: Mapping[str, Any], folder: Path, digest: str, *, allow_partial: bool) -> Path:
        """Builds the set below `folder` and returns its own folder.

        Raises:
            ValueError: the source has faults, or gaps that are not allowed, or options have no sense.
            FileNotFoundError: the source is missing.
            OSError: the disk is full.
        """


@dataclass(frozen=True)
class Downloaded:
    """A set whose faces are read from other people's files."""

    name: str
    builder: str  # name of its TFDS builder

    def module(self) -> ModuleType:
        """What reads the source: read_source, source_digest, and GET and ABOUT for people."""
        return importlib.import_module(f"data.{self.name}.source")

    def locate(self, source: str, data_dir: str) -> str:
        """As `FaceSet`; `data_dir/downloads/<name>` is TFDS's way."""
        if source:
            return str(Path(source).expanduser())
        folder = download_folder(self.name, data_dir)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{self.name}: no download at {folder}; {self.module().GET} into that folder, or name another one "
                f"(--source DIR, --config.data.source=DIR). {self.module().ABOUT}"
            )
        return str(folder)

    def options(self, config: DataConfig) -> dict[str, Any]:
        """None: everything is in the source."""
        del config
        return {}

    def digest(self, source: str, options: Mapping[str, Any]) -> str:
        """As `FaceSet`: over the annotations' bytes, and the images' names and sizes."""
        del options
        return self.module().source_digest(Path(source))

    def read(self, source: str) -> Source:
        """The source, inspected except for its pixels. Raises FileNotFoundError when it is missing."""
        return self.module().read_source(Path(source))

    def check(self, source: str, options: Mapping[str, Any], *, allow_partial: bool) -> tuple[list[str], list[str]]:
        """As `FaceSet`, with every image decoded."""
        from data.build import check

        del options
        return check(self.read(source), allow_partial=allow_partial)

    def build(self, source: str, options: Mapping[str, Any], folder: Path, digest: str, *, allow_partial: bool) -> Path:
        """As `FaceSet`; one that was killed is taken up where it stopped."""
        from data.build import build

        del options
        builder = getattr(importlib.import_module(f"data.{self.name}.{self.name}"), self.builder)
        return build(builder, self.read(source), folder, digest, allow_partial=allow_partial)


@dataclass(frozen=True)
class Drawn:
    """The synthetic set, drawn from its options: `scheme`, `train` and `test` (numbers of faces) and `seed`."""

    FORMAT = "synthetic 1"  # changes when the drawn faces change, so that sets built before are built anew

    def locate(self, source: str, data_dir: str) -> str:
        """It has no source."""
        del source, data_dir
        return ""

    def options(self, config: DataConfig) -> dict[str, Any]:
        """As `FaceSet`."""
        return {
            "scheme": config.scheme,
            "train": config.synthetic_train,
            "test": config.synthetic_test,
            "seed": config.synthetic_seed,
        }

    def digest(self, source: str, options: Mapping[str, Any]) -> str:
        """As `FaceSet`, of the options alone."""
        del source
        stated = json.dumps([FORMAT.decode(), self.FORMAT, dict(options)], sort_keys=True)
        return hashlib.sha256(stated.encode()).hexdigest()

    def check(self, source: str, options: Mapping[str, Any], *, allow_partial: bool) -> tuple[list[str], list[str]]:
        """As `FaceSet`: options that make no sense raise ValueError."""
        from data.synthetic.synthetic import Synthetic

        del source, allow_partial
        Synthetic(cache_home(), source_digest="", **options)
        line = (
            f"synthetic needs no source: it draws {options['train']} training and {options['test']} test faces "
            f"with the points of {options['scheme']} from seed {options['seed']}"
        )
        return [line], []

    def build(self, source: str, options: Mapping[str, Any], folder: Path, digest: str, *, allow_partial: bool) -> Path:
        """As `FaceSet`."""
        from data.synthetic.synthetic import build

        del source, allow_partial
        return build(options, folder, digest)


DOWNLOADED = {
    "wflw": Downloaded("wflw", "Wflw"),
    "w300": Downloaded("w300", "W300"),
    "cofw": Downloaded("cofw", "Cofw"),
    "cofw68": Downloaded("cofw68", "Cofw68"),
    "coco": Downloaded("coco", "CocoFaces"),
}
FACE_SETS: dict[str, FaceSet] = {**DOWNLOADED, "synthetic": Drawn()}


def find_set(name: str) -> FaceSet:
    """The set of that name. Raises ValueError when there is none."""
    if name not in FACE_SETS:
        raise ValueError(f"unknown set {name!r}: there are {', '.join(FACE_SETS)}")
    return FACE_SETS[name]
