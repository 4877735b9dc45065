# SPDX-License-Identifier: Apache-2.0
"""WFLW as it is unpacked: `WFLW_images/` beside `WFLW_annotations/` (docs/protocols.md).

Nobody states whether its coordinates start at 0 or 1; they are taken as given, as all public code does.
"""

import os
from collections import Counter
from pathlib import Path

import numpy as np

from barrel_jax.faces.landmarks import WFLW_98
from data.source import Face, Findings, Source, digest_files, files_below, first_few, meant_instead, points_missed
from data.wflw.annotations import REMEDY, Row, parse_row, read_list
from data.wflw.subsets import SUBSETS, check_subsets, subset_files

PUBLISHED = {"train": 7500, "test": 2500}
LISTS = "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_{}.txt"
# Rects that are known to be wrong: folder and end of the image's name, rect, line of the train list (LAB issue 55).
WRONG_RECTS = (
    ("12--Group/", "12_839.jpg", (710, 58, 948, 370), 1035),
    ("28--Sports_Fan/", "28_959.jpg", (496, 50, 956, 706), 2748),
)
GET = (
    "unpack WFLW_images.tar.gz and WFLW_annotations.tar.gz of https://wywu.github.io/projects/LAB/WFLW.html "
    "(both links are there)"
)
ABOUT = (
    "WFLW is for research only, not for commercial use. Cite: Wu et al., Look at Boundary: A Boundary-Aware Face "
    "Alignment Algorithm, CVPR 2018."
)


class WflwSource(Source):
    """WFLW; its images lie in `WFLW_images/`."""

    def image_path(self, file: str) -> Path:
        """Where the image lies."""
        return self.directory / "WFLW_images" / file


def list_files(directory: Path) -> dict[str, Path]:
    """The lists of the splits.

    Raises:
        FileNotFoundError: neither is there; says how the folder looks, and which one was meant if that can be told.
    """
    if not _is_source(directory):
        raise FileNotFoundError(
            f"{directory}: {'no' if directory.is_dir() else 'no such folder, so no'} {LISTS.format('train')} and no "
            f"{LISTS.format('test')} in it; --source is the folder in which WFLW_images.tar.gz and "
            "WFLW_annotations.tar.gz were unpacked, which holds WFLW_images and WFLW_annotations"
            f"{meant_instead(directory, _is_source)}"
        )
    return {split: directory / LISTS.format(split) for split in PUBLISHED}


def source_digest(directory: Path) -> str:
    """SHA-256 over the bytes of the lists and the names and sizes of the images.

    Raises:
        FileNotFoundError: the folder is not WFLW.
    """
    lists = [*list_files(directory).values(), *subset_files(directory).values()]
    return digest_files(directory, filter(Path.is_file, lists), files_below(directory / "WFLW_images"))


def read_source(directory: Path) -> Source:
    """Reads both lists; faults are collected, images are not opened.

    `Face.face` is the row number in its list, `flags` are the six attributes, `file` the image's name in the list.
    Without `WFLW_images` all faces are kept (`has_images` is False); else those whose image is missing are left out.

    Raises:
        FileNotFoundError: the folder is not WFLW.
    """
    files, findings = list_files(directory), Findings()
    findings.gaps += [f"{path}: no such file; {REMEDY}" for path in files.values() if not path.is_file()]
    rows = {
        split: read_list(path, parse_row, findings.faults) if path.is_file() else [] for split, path in files.items()
    }
    every = [row for split in rows.values() for row in split]
    _check_rects(every, findings)
    _check_repeated(every, findings)
    _note_shared_images(directory, rows, findings)
    check_subsets(directory, rows["test"], len(rows["test"]) == PUBLISHED["test"], findings)
    images = {row.image for row in every}
    has_images = (directory / "WFLW_images").is_dir()
    if has_images:
        images = {image for image in images if os.path.isfile(directory / "WFLW_images" / image)}
        _report_missing_images(directory, [row for row in every if row.image not in images], findings)
    else:
        findings.notes.append(
            f"{directory}/WFLW_images: no such folder; annotations alone can score predictions, and nothing else: "
            "unpack WFLW_images.tar.gz there to train"
        )
    splits = {split: [_face(row) for row in rows[split] if row.image in images] for split in rows}
    findings.counts.update(images=len(images), faces=sum(map(len, splits.values())))
    source = WflwSource(
        "wflw", directory, WFLW_98, "The points are those of wflw-98, by the set's definition.", splits, findings,
        tuple(SUBSETS), PUBLISHED, ABOUT, has_images,
    )  # fmt: skip
    source.count_splits()
    return source


def _is_source(directory: Path) -> bool:
    return any((directory / LISTS.format(split)).is_file() for split in PUBLISHED)


def _face(row: Row) -> Face:
    return Face(
        face=row.index,
        file=row.image,
        box=row.box.astype(np.float32),
        points=row.points.astype(np.float32),
        visible=np.full(98, 2, np.uint8),
        flags=row.flags,
    )


def _known_wrong(row: Row) -> int:
    """The line of the published train list where this rect is known to be wrong, or 0."""
    for folder, end, rect, line in WRONG_RECTS:
        if row.image.startswith(folder) and row.image.endswith(end) and tuple(row.rect) == rect:
            return line
    return 0


def _check_rects(rows: list[Row], findings: Findings) -> None:
    doubts = []
    for row in rows:
        missed, known = points_missed(row.box, row.points), _known_wrong(row)
        if known:
            findings.notes.append(
                f"{row.place} ({row.image}): the rect misses {missed} of 98 points and is known to be wrong (line "
                f"{known} of the published train list); the face is kept, as others do"
            )
        elif missed > 98 / 2:
            doubts.append(
                f"{row.place} ({row.image}): the rect misses {missed} of 98 points, so a crop around it does not show "
                f"the face; {REMEDY}, or correct the rect"
            )
    if doubts:
        findings.counts["boxes_missing_points"] = len(doubts)
    findings.doubts += first_few(doubts, f"rects that miss more than half of their points; {REMEDY}")


def _check_repeated(rows: list[Row], findings: Findings) -> None:
    seen: dict[tuple[str, bytes], str] = {}
    doubts = []
    for row in rows:
        first = seen.setdefault((row.image, row.points.tobytes()), row.place)
        if first != row.place:
            doubts.append(f"{row.place} ({row.image}): the same image and points as {first}; remove one of the lines")
    findings.doubts += first_few(doubts, "lines that repeat another one; remove them")


def _note_shared_images(directory: Path, rows: dict[str, list[Row]], findings: Findings) -> None:
    counts = Counter(row.image for split in rows.values() for row in split)
    several = {image: count for image, count in counts.items() if count > 1}
    across = set.intersection(*({row.image for row in split} for split in rows.values()))
    if several:
        both = f" ({len(across):,} of them in both train and test)" if across else ""
        findings.notes.append(
            f"{directory}: {sum(several.values()):,} faces share {len(several):,} image(s){both}, at most "
            f"{max(several.values())} in one ({max(several, key=several.__getitem__)}); a face is told "
            "by its row, not by its image"
        )


def _report_missing_images(directory: Path, rows: list[Row], findings: Findings) -> None:
    missing = Counter(row.image for row in rows)
    if missing:
        findings.counts["faces_without_image"] = len(rows)
    findings.gaps += first_few(
        [
            f"{directory}/WFLW_images/{image}: image of {count} face(s) is missing; unpack WFLW_images.tar.gz again"
            for image, count in missing.items()
        ],
        f"images are missing, {len(rows):,} faces of {len(missing):,} images in all are left out",
    )
