# SPDX-License-Identifier: Apache-2.0
"""The TFDS builder of a folder of COCO keypoints, and the inspection of such a folder."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from barrel_jax.landmarks import LandmarkScheme, find_scheme
from data.coco.annotations import Face
from data.coco.images import encode_region, read_image, region_of
from data.coco.source import CocoSource, read_source
from data.faces import FaceSetBuilder, build_faces, face_metadata, face_record

IMAGES_AHEAD = 64  # how many images may be read before their records are written; bounds memory


class CocoFaces(FaceSetBuilder):
    """Writes the faces of a source. Faults of its images end the build after the last split, when all are known."""

    def __init__(self, data_dir: str | Path, source: CocoSource, metadata: dict[str, Any]) -> None:
        self.source = source
        super().__init__(data_dir, metadata, {split: len(faces) for split, faces in source.splits.items()})

    def faces(self, split: str) -> Iterator[dict[str, Any]]:
        """Yields the `face_record` of every face of a split. Raises ValueError when images have faults."""
        yield from face_records(self.source, split)
        if split == list(self.sizes)[-1]:
            self.source.raise_faults()


def face_records(source: CocoSource, split: str) -> Iterator[dict[str, Any]]:
    """Yields the `face_record` of every face of a split; faults of images are added to those of the source."""

    def read(faces: list[Face]) -> list[dict[str, Any]] | str:
        try:
            encoded, pixels = read_image(source.directory / "images" / faces[0].file, faces[0].size)
        except (ValueError, FileNotFoundError) as error:
            return str(error)
        records = []
        for face in faces:
            region = region_of(face.box, face.size)
            image = encode_region(encoded, pixels, region)
            records.append(face_record(image, face.points, face.visible, face.box, region, (), face.file, face.face))
        return records

    by_image = [list(faces) for _, faces in groupby(source.splits[split], key=lambda face: face.file)]
    with ThreadPoolExecutor() as threads:
        for start in range(0, len(by_image), IMAGES_AHEAD):
            for records in threads.map(read, by_image[start : start + IMAGES_AHEAD]):
                if isinstance(records, str):
                    source.findings.faults.append(records)
                else:
                    yield from records


def build(directory: Path, data_dir: Path, source_digest: str) -> Path:
    """Builds the set of a source folder below `data_dir` and returns the folder for `tfds.builder_from_directory`.

    Raises:
        FileNotFoundError: the source folder or a part of it is missing.
        ValueError: the source has faults; the first ten are listed.
        OSError: the disk is full.
    """
    source = read_source(directory)
    source.raise_faults()
    scheme, found = scheme_of(source)
    print("\n".join([summary(source), found, *source.findings.doubts]))
    metadata = face_metadata("coco", scheme, found, source_digest, counts=source.findings.counts)
    return build_faces(CocoFaces(data_dir, source, metadata))


def check(directory: Path) -> tuple[str, list[str]]:
    """Inspects a source folder and its images without writing: a summary, and a line for every fault and doubt.

    Raises:
        FileNotFoundError: the source folder or a part of it is missing.
    """
    source = read_source(directory)
    for split in source.splits:
        for _ in face_records(source, split):
            pass
    found = [scheme_of(source)[1]] if source.faces() else []
    return "\n".join([summary(source), *found]), source.findings.faults + source.findings.doubts


def scheme_of(source: CocoSource) -> tuple[LandmarkScheme, str]:
    """The landmark scheme that the labelled points of all splits tell, and a sentence on it.

    When left and right points cannot be paired, the scheme has an empty `flip` and `normaliser` and the sentence names
    the points: the set can be built, and the config must give both (`barrel_jax.landmarks.make_scheme`).
    """
    points = np.stack([face.points for face in source.faces()])
    visible = np.stack([face.visible for face in source.faces()])
    try:
        return find_scheme(points, visible)
    except ValueError as error:
        return LandmarkScheme(f"custom-{source.num_points}", source.num_points, (), (), "", ()), str(error)


def summary(source: CocoSource) -> str:
    """What a source holds, for people: faces by split, points, the range of face sizes, and what was counted."""
    splits = ", ".join(f"{split} {len(faces)}" for split, faces in source.splits.items())
    sides = [np.sqrt(face.box[2] * face.box[3]) for face in source.faces()]
    spread = f" of {min(sides):.0f} to {max(sides):.0f} pixels (root of the box's area)" if sides else ""
    counts = "".join(f"\n  {name.replace('_', ' ')}: {count}" for name, count in source.findings.counts.items())
    return f"{source.directory}: faces{spread} with {source.num_points} points: {splits or 'none'}{counts}"
