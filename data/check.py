# SPDX-License-Identifier: Apache-2.0
"""A look at a source and its images that writes no set. Does without TFDS, which takes seconds to import."""

from pathlib import Path

import numpy as np

from barrel_jax.faces.symmetry import mean_shape
from barrel_jax.pictures import turned
from barrel_jax.progress import follow
from data.contact_sheet import write_sheet
from data.duplicates import Contents
from data.pixel_evidence import FEW, MOST, turn_of_pixels
from data.regions import inspect_images
from data.report import Report
from data.source import Face, Source


def check(source: Source, *, allow_partial: bool, sheet: Path | None = None) -> Report:
    """The report on a source, every image of which is decoded; gaps are faults unless they are allowed.

    Args:
        source: as read.
        allow_partial: takes a part of a published set as it is.
        sheet: where a picture of some faces and their mean shape is written; None for none.
    """
    contents = Contents()
    if source.has_images:
        total = len(source.faces())
        for _ in follow(inspect_images(source, contents), total, f"check {source.dataset}", "face"):
            pass
    findings = source.findings
    findings.notes += contents.notes(source)
    findings.doubts += [
        doubt for split, faces in source.splits.items() if (doubt := _turned_pixels(source, split, faces, contents))
    ]
    report = Report(
        source.dataset,
        [source.summary(), source.found, source.about],
        source=str(source.directory),
        splits={split: len(faces) for split, faces in source.splits.items()},
        scheme=source.scheme.name,
        num_points=source.scheme.num_points,
        counts=dict(findings.counts),
        faults=findings.faults,
        gaps=findings.gaps,
        doubts=findings.doubts,
        notes=findings.notes,
        partial_allowed=allow_partial,
    )
    if sheet and source.has_images and contents.seen:
        try:
            report.notes += write_sheet(source, contents, sheet)
            report.sheet = str(sheet)
        except OSError as error:
            report.notes.append(
                f"{sheet}: the contact sheet cannot be written ({error.strerror}); name one with --sheet"
            )
    return report


def _turned_pixels(source: Source, split: str, faces: list[Face], contents: Contents) -> str:
    """A doubt when the pixels of a split were turned or mirrored under the points; '' when they look like faces there.

    Points that are doubted tell nothing of their pixels. Whoever saves a picture anew, as a viewer shows it or as it is
    stored, can turn it and leave no trace.
    """
    faces = [face for face in faces if face.file in contents.seen.get(split, {})]
    if split in source.findings.doubted or len(faces) < FEW or source.scheme.num_points < 3:
        return ""
    labelled = np.array([face.labelled for face in faces])
    if not labelled.any(axis=0).all():
        return ""
    shape = mean_shape(np.stack([face.points for face in faces]), labelled)
    some = faces[:: max(len(faces) // MOST, 1)][:MOST]
    pixels = [source.image(face.file)[1] for face in some]
    pixels = [turned(of, face.orientation) for of, face in zip(pixels, some, strict=True)]
    turn = turn_of_pixels(pixels, some, shape)
    if turn == 1:
        return ""
    return (
        f"{source.directory}: the faces of {split} look alike under their points when the pictures are turned as EXIF "
        f"orientation {turn} says, and less so as they are: they may have been turned or mirrored after they were "
        "annotated; look at the contact sheet and put back the pictures that were annotated"
    )
