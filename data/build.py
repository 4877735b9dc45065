# SPDX-License-Identifier: Apache-2.0
"""From a source as read to a TFDS set of its faces, and what a look at the source alone finds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from barrel_jax.progress import follow
from data.metadata import face_metadata
from data.regions import inspect_images, stored_regions
from data.source import Source
from data.tfds_builder import FaceSetBuilder, build_faces, face_record


class SourceFaces(FaceSetBuilder, skip_registration=True):
    """Writes the faces of a source. Faults of its images end the build after the last split, when all are known."""

    def __init__(self, data_dir: str | Path, source: Source, metadata: dict[str, Any], parts: Path) -> None:
        self.source, self.parts = source, parts
        super().__init__(data_dir, metadata, {split: len(faces) for split, faces in source.splits.items() if faces})

    def faces(self, split: str) -> Iterator[dict[str, Any]]:
        """Yields the `face_record` of every face of a split. Raises ValueError when images have faults."""
        empty = True
        for face, stored in stored_regions(self.source, split, self.parts):
            empty = False
            yield face_record(
                stored.image, face.points, face.visible, face.box, stored.region, stored.size, face.flags, face.file,
                face.face,
            )  # fmt: skip
        # TFDS cannot write a split without faces, so that an empty one ends the build too.
        if empty or split == list(self.sizes)[-1]:
            self.source.raise_faults(allow_partial=True)


def build(builder: type[SourceFaces], source: Source, folder: Path, digest: str, *, allow_partial: bool) -> Path:
    """Builds the set of a source below `folder` and returns its own folder, for `tfds.builder_from_directory`.

    A build that was killed is taken up where it stopped: its parts lie in `folder/parts`.

    Raises:
        ValueError: the source has faults, or gaps that are not allowed; the first ten are listed. Or it has no images,
            or no faces.
        OSError: the disk is full.
    """
    source.raise_faults(allow_partial)
    if not source.has_images:
        raise ValueError(
            f"{source.directory}: annotations without images can score predictions, not make a set; "
            "put the images there too"
        )
    if not source.faces():
        raise ValueError(f"{source.directory}: no faces at all in {', '.join(source.splits)}; complete the download")
    findings = source.findings
    print("\n".join([source.summary(), source.found, source.about, *findings.notes, *findings.doubts, source.partial]))
    metadata = face_metadata(
        source.dataset, source.scheme, source.found, digest, source.flag_names, findings.counts, source.partial
    )
    return build_faces(builder(folder, source, metadata, folder / "parts"))


def check(source: Source, *, allow_partial: bool) -> tuple[list[str], list[str]]:
    """Looks at a source and its images without writing: lines to read, and a line for every fault.

    Gaps are faults unless they are allowed.
    """
    if source.has_images:
        total = len(source.faces())
        for _ in follow(inspect_images(source), total, f"check {source.dataset}", "face"):
            pass
    findings = source.findings
    gaps = [f"gap: {gap}" for gap in findings.gaps]
    lines = [source.summary(), source.found, source.about, *(f"note: {note}" for note in findings.notes)]
    faults = [f"fault: {fault}" for fault in findings.faults] + [f"doubt: {doubt}" for doubt in findings.doubts]
    lines, faults = (lines + gaps, faults) if allow_partial else (lines, gaps + faults)
    return [line for line in lines if line], faults
