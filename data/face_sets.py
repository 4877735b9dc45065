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
from data.report import Report
from data.source import FORMAT, Source, files_below, stamp_files

# Fields of the config that say how own faces are to be read, and how.
READING = {
    "boxes": "how bbox is written: xywh, xyxy, cxcywh, yxhw or yxyx, then nothing, -fraction or -percent",
    "points": "how points are written: xy or yx, then nothing, -fraction or -percent",
    "exif": "frame of the points of turned pictures where sizes do not tell: auto, stored or upright",
    "placeholders": "points at (0, 0) and (-1, -1): auto takes those far from their face as not labelled, keep, drop",
}


class FaceSet(Protocol):
    """A set. Its modules are loaded when asked for, since TFDS takes seconds."""

    def locate(self, source: str, data_dir: str) -> str:
        """The folder of the source: `source`, or its place below `data_dir`; '' when the set has none.

        Raises:
            FileNotFoundError: none is named and there is none in that place; one line says where to get it, where to
                put it, and its licence.
            ValueError: a file is named, such as the archive of the download.
        """

    def options(self, config: DataConfig) -> dict[str, Any]:
        """What a config says of the set beside its source."""

    def digest(self, source: str, options: Mapping[str, Any]) -> str:
        """SHA-256 in hex that changes when the source does, or the options that make it."""

    def stamp(self, source: str) -> str:
        """What changes when a file of the source is written, and differs between copies of one source; '' for none."""

    def check(self, source: str, options: Mapping[str, Any], *, allow_partial: bool, sheet: Path | None) -> Report:
        """What was found, with a contact sheet written to `sheet`. Raises ValueError, FileNotFoundError as `build`."""

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
            named = Path(source).expanduser()
            if named.is_file():
                raise ValueError(
                    f"{named}: this is a file, and a set is read from a folder; give the folder that it lies in, or "
                    "unpack it and give what comes out"
                )
            return str(named)
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

    def stamp(self, source: str) -> str:
        """None: published files do not change."""
        del source
        return ""

    def read(self, source: str, options: Mapping[str, Any] = {}) -> Source:
        """The source, inspected except for its pixels. Raises FileNotFoundError when it is missing."""
        del options
        return self.module().read_source(Path(source))

    def check(self, source: str, options: Mapping[str, Any], *, allow_partial: bool, sheet: Path | None) -> Report:
        """As `FaceSet`, with every image decoded."""
        from data.check import check

        return check(self.read(source, options), allow_partial=allow_partial, sheet=sheet)

    def build(self, source: str, options: Mapping[str, Any], folder: Path, digest: str, *, allow_partial: bool) -> Path:
        """As `FaceSet`; one that was killed is taken up where it stopped."""
        from data.build import build

        builder = getattr(importlib.import_module(f"data.{self.name}.{self.name}"), self.builder)
        return build(builder, self.read(source, options), folder, digest, allow_partial=allow_partial)


@dataclass(frozen=True)
class OwnFaces(Downloaded):
    """Anyone's own faces, whose files change and leave open how they are to be read."""

    def options(self, config: DataConfig) -> dict[str, Any]:
        """How the files are to be read (data.coco.reading)."""
        return {name: getattr(config, name) for name in READING}

    def digest(self, source: str, options: Mapping[str, Any]) -> str:
        """As `FaceSet`: over the annotations' bytes, the images' names, sizes and sampled bytes, and the options."""
        return self.module().source_digest(Path(source), options)

    def stamp(self, source: str) -> str:
        """Of the images' time stamps and sizes."""
        return stamp_files(files_below(Path(source) / "images"))

    def read(self, source: str, options: Mapping[str, Any] = {}) -> Source:
        """As `Downloaded`, with the config's own options where they are not given."""
        return self.module().read_source(Path(source), options)


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

    def stamp(self, source: str) -> str:
        """None."""
        del source
        return ""

    def check(self, source: str, options: Mapping[str, Any], *, allow_partial: bool, sheet: Path | None) -> Report:
        """As `FaceSet`: options that make no sense raise ValueError."""
        from data.synthetic.synthetic import Synthetic

        del source, allow_partial, sheet
        Synthetic(cache_home(), source_digest="", **options)
        line = (
            f"synthetic needs no source: it draws {options['train']} training and {options['test']} test faces "
            f"with the points of {options['scheme']} from seed {options['seed']}"
        )
        return Report("synthetic", [line])

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
    "coco": OwnFaces("coco", "CocoFaces"),
}
FACE_SETS: dict[str, FaceSet] = {**DOWNLOADED, "synthetic": Drawn()}


def find_set(name: str) -> FaceSet:
    """The set of that name. Raises ValueError when there is none."""
    if name not in FACE_SETS:
        raise ValueError(f"unknown set {name!r}: there are {', '.join(FACE_SETS)}")
    return FACE_SETS[name]
