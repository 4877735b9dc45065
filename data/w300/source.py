# SPDX-License-Identifier: Apache-2.0
"""300W as it is unpacked: six folders of images with `.pts` files beside them (docs/protocols.md)."""

from collections import Counter
from pathlib import Path

import numpy as np

from barrel_jax.faces.crop_windows import landmark_box
from barrel_jax.faces.landmarks import W300_68
from data.source import Face, Findings, Source, digest_files, first_few, meant_instead
from data.w300.folders import FOLDERS, Listing, list_folder
from data.w300.pts import NUM_POINTS, parse_pts

PUBLISHED = {"train": 3148, "test": 689}
GET = (
    "unpack afw.zip, helen.zip, ibug.zip and lfpw.zip of "
    "https://ibug.doc.ic.ac.uk/resources/facial-point-annotations/, each to a folder of its name,"
)
ABOUT = (
    "300W is for research only, not for commercial use (iBUG, Imperial College London). Cite: Sagonas et al., 300 "
    "Faces in-the-Wild Challenge: The first facial landmark localization challenge, ICCV Workshops 2013."
)


def source_digest(directory: Path) -> str:
    """SHA-256 over the bytes of the `.pts` files and the names and sizes of the images.

    Raises:
        FileNotFoundError: the folder is not 300W.
    """
    listings = _list_folders(directory).values()
    points = [path for listing in listings for paths in listing.points.values() for path in paths]
    images = [path for listing in listings for paths in listing.images.values() for path in paths]
    return digest_files(directory, points, images)


def read_source(directory: Path) -> Source:
    """Reads every `.pts` file; faults are collected, images are not opened.

    Splits hold the faces in the order of `FOLDERS`, sorted by name in each. `Face.face` is the number in the split,
    `flags` are (common, challenging), which no training face has, `box` is the tight box of the points. A face without
    its image is left out, unless there is no image at all: then all are kept (`has_images` is False).

    Raises:
        FileNotFoundError: the folder is not 300W.
    """
    listings, findings = _list_folders(directory), Findings()
    has_images = any(listing.images for listing in listings.values())
    splits: dict[str, list[Face]] = {split: [] for split in PUBLISHED}
    numbers = Counter()  # of names in every split: a face keeps its number when the image of another is missing
    for name, listing in listings.items():
        split = FOLDERS[name].split
        faces = _read_folder(directory / name, name, listing, numbers[split], has_images, findings)
        _count_folder(directory / name, len(faces), FOLDERS[name].faces, findings)
        splits[split] += faces
        numbers[split] += len(listing.stems)
    count = sum(map(len, splits.values()))
    findings.counts.update(images=count if has_images else 0, faces=count)
    if not has_images:
        findings.notes.append(
            f"{directory}: no image in any folder; annotations alone can score predictions, and nothing else: unpack "
            "the images beside their .pts files to train"
        )
    _note_names(directory, listings, findings)
    source = Source(
        "w300", directory, W300_68, "The points are those of 300w-68, by the set's definition.", splits, findings,
        ("common", "challenging"), PUBLISHED, ABOUT, has_images,
    )  # fmt: skip
    source.count_splits()
    return source


def _is_source(directory: Path) -> bool:
    return any((directory / name).is_dir() for name in FOLDERS)


def _list_folders(directory: Path) -> dict[str, Listing]:
    if not _is_source(directory):
        raise FileNotFoundError(
            f"{directory}: {'none' if directory.is_dir() else 'no such folder, so none'} of {', '.join(FOLDERS)} in "
            "it; --source is the folder in which afw.zip, helen.zip, ibug.zip and lfpw.zip were unpacked, each into a "
            f"folder of its name{meant_instead(directory, _is_source)}"
        )
    return {name: list_folder(directory / name) for name in FOLDERS}


def _read_folder(
    folder: Path, name: str, listing: Listing, first: int, has_images: bool, findings: Findings
) -> list[Face]:
    """The faces of a folder, the first name being number `first`; what has no partner is a gap."""
    faces, lonely_points, lonely_images, wrong = [], [], [], []
    for number, stem in enumerate(listing.stems, first):
        images, points = listing.images.get(stem, []), listing.points.get(stem, [])
        if len(images) > 1 or len(points) > 1:
            names = ", ".join(path.name for path in [*images, *points])
            wrong.append(f"{folder}: {names} have one name; keep one image and one .pts of them")
        elif not points:
            lonely_images.append(f"{images[0]}: no .pts beside it; unpack the folder again, or remove the image")
        elif not images and has_images:
            lonely_points.append(f"{points[0]}: no image beside it; unpack the folder again, or remove the .pts")
        else:
            try:
                pixels = parse_pts(points[0])
            except ValueError as error:
                wrong.append(str(error))
                continue
            file = images[0].name if images else stem + FOLDERS[name].suffix
            faces.append(_face(number, f"{name}/{file}", pixels, FOLDERS[name].flags))
    findings.gaps += first_few(lonely_points, f".pts files in {folder} have no image beside them; unpack it again")
    findings.gaps += first_few(lonely_images, f"images in {folder} have no .pts beside them; unpack it again")
    findings.faults += first_few(wrong, f"files in {folder} have faults; unpack it again")
    return faces


def _face(number: int, file: str, points_px: np.ndarray, flags: tuple[int, int]) -> Face:
    return Face(
        face=number,
        file=file,
        box=landmark_box(points_px, np.ones(NUM_POINTS, bool)).astype(np.float32),
        points=points_px.astype(np.float32),
        visible=np.full(NUM_POINTS, 2, np.uint8),
        flags=flags,
    )


def _count_folder(folder: Path, count: int, published: int, findings: Findings) -> None:
    if not folder.is_dir():
        findings.gaps.append(f"{folder}: no such folder; unpack it, the published set has {published:,} faces there")
    elif count < published:
        findings.gaps.append(f"{folder}: {count:,} of {published:,} faces; unpack it again, or take it as it is")
    elif count > published:
        findings.faults.append(
            f"{folder}: {count:,} faces, the published set has {published:,} there; remove what is not 300W's"
        )


def _note_names(directory: Path, listings: dict[str, Listing], findings: Findings) -> None:
    """Notes what was left out, and names that trip other readers (docs/protocols.md, "Traps")."""
    mirrors = [f"{name}/{stem}" for name, listing in listings.items() for stem in sorted(listing.mirrors)]
    if mirrors:
        findings.counts["mirror_copies"] = len(mirrors)
        findings.notes.append(
            f"{directory}: {len(mirrors):,} mirrored copies (of dlib's distribution) are left out: "
            f"{', '.join(first_few(mirrors, 'mirrored copies'))}"
        )
    others = [f"{name}/{other}" for name, listing in listings.items() for other in listing.others]
    if others:
        findings.counts["other_files"] = len(others)
        findings.notes.append(
            f"{directory}: files that are neither image nor .pts are ignored: {', '.join(first_few(others, 'files'))}"
        )
    names = [f"{name}/{stem}" for name, listing in listings.items() for stem in listing.stems]
    spaced = [repr(name) for name in names if " " in name]
    if spaced:
        findings.notes.append(
            f"{directory}: names with a space, which the original download has too (ibug/image_092 _01), are read as "
            f"they are: {', '.join(first_few(spaced, 'names'))}"
        )
    homes: dict[str, list[str]] = {}
    for name in names:
        homes.setdefault(name.rpartition("/")[2], []).append(name)
    equal = [" and ".join(places[:2]) for places in homes.values() if len(places) > 1]
    if equal:
        findings.notes.append(
            f"{directory}: {len(equal):,} equal names in two folders or more (such as {equal[0]}); a face is told by "
            "its folder and name"
        )
