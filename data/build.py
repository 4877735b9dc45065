# SPDX-License-Identifier: Apache-2.0
"""The build of a TFDS set from the faces of a source."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.duplicates import Contents
from data.grouping import grouped, printable
from data.metadata import face_metadata
from data.regions import Region, stored_regions
from data.source import Face, Source
from data.tfds_builder import FaceSetBuilder, build_faces


class SourceFaces(FaceSetBuilder, skip_registration=True):
    """Writes the faces of a source. Faults of its images end the build after the last split, when all are known."""

    def __init__(self, data_dir: str | Path, source: Source, metadata: dict[str, Any], parts: Path) -> None:
        self.source, self.parts, self.contents = source, parts, Contents()
        super().__init__(data_dir, metadata, {split: len(faces) for split, faces in source.splits.items() if faces})

    def faces(self, split: str) -> Iterator[tuple[Face, Region]]:
        """Yields every face of a split with its region. Raises ValueError when images have faults."""
        empty = True
        for face, stored in stored_regions(self.source, split, self.parts):
            empty = False
            self.contents.add(split, face.file, stored.content)
            yield face, stored
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
    remarks = [
        *(f"note: {note}" for note in findings.notes),
        *(f"doubt: {doubt}" for doubt in grouped(findings.doubts)),
    ]
    print(printable("\n".join([source.summary(), source.found, source.about, *remarks, source.partial])))
    metadata = face_metadata(
        source.dataset, source.scheme, source.found, digest, source.flag_names, findings.counts, source.partial,
        [printable(doubt) for doubt in grouped(findings.doubts)],
    )  # fmt: skip
    faces = builder(folder, source, metadata, folder / "parts")
    built = build_faces(faces)
    for note in faces.contents.notes(source):
        print(printable(f"note: {note}"))
    return built
