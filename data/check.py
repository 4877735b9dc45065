# SPDX-License-Identifier: Apache-2.0
"""A look at a source and its images that writes no set. Does without TFDS, which takes seconds to import."""

from pathlib import Path

from barrel_jax.progress import follow
from data.contact_sheet import write_sheet
from data.duplicates import Contents
from data.regions import inspect_images
from data.report import Report
from data.source import Source


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
            write_sheet(source, contents, sheet)
            report.sheet = str(sheet)
        except OSError as error:
            report.notes.append(
                f"{sheet}: the contact sheet cannot be written ({error.strerror}); name one with --sheet"
            )
    return report
