# SPDX-License-Identifier: Apache-2.0
"""The stored regions of faces, cut and encoded on all cores, in parts that a killed build leaves for the next."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from barrel_jax import files
from barrel_jax.faces.crop_windows import PROTOCOLS, crop_window, protocol_of
from barrel_jax.pictures import turned
from data.duplicates import Contents, content_of
from data.images import check_size, encode_region, region_of
from data.source import Face, Source

PART = 256  # faces in a part: what a killed build loses at most, and twice what is held in memory


@dataclass(frozen=True)
class Region:
    """What is stored of a face's image."""

    image: bytes  # encoded
    region: np.ndarray  # int32 [4], x, y, w, h in source pixels
    size: np.ndarray  # int32 [2], width and height of the source image
    content: int = 0  # what tells the picture from others (data.duplicates); of drawn ones nobody asks


def stored_regions(source: Source, split: str, parts: Path) -> Iterator[tuple[Face, Region]]:
    """Yields every face of a split, in order, with its region. Faults of images are added to the source's findings.

    Args:
        source: the download as read.
        split: its name.
        parts: folder where parts are kept; it belongs to this content of the source alone.
    """
    faces = source.splits[split]
    waiting: deque[tuple[list[Face], Path, list[Future]]] = deque()
    with ThreadPoolExecutor() as threads:
        for start in range(0, len(faces), PART):
            part = faces[start : start + PART]
            path = parts / f"{split}-{start:07d}.npz"
            jobs = [] if path.exists() else [threads.submit(_cut, source, group) for group in _by_image(part)]
            waiting.append((part, path, jobs))
            if len(waiting) > 1:  # the cores cut the next part while this one is written
                yield from _finish(source, *waiting.popleft())
        while waiting:
            yield from _finish(source, *waiting.popleft())


def inspect_images(source: Source, contents: Contents) -> Iterator[None]:
    """Reads the image of every face without keeping it, yielding once a face.

    Faults are added to the findings, but for those that reading the annotations found; `contents` takes the others.
    """
    known = set(source.findings.faults)
    with ThreadPoolExecutor() as threads:
        for split in source.splits:
            faces = source.splits[split]
            for start in range(0, len(faces), PART):
                groups = _by_image(faces[start : start + PART])
                for group, seen in zip(groups, threads.map(lambda group: _content(source, group), groups), strict=True):
                    if isinstance(seen, int):
                        contents.add(split, group[0][1].file, seen)
                    elif seen not in known:
                        source.findings.faults.append(seen)
                    yield from [None] * len(group)


def _by_image(faces: Sequence[Face]) -> list[list[tuple[int, Face]]]:
    """The faces with their places, those of an image together, so that it is decoded once."""
    groups: dict[str, list[tuple[int, Face]]] = {}
    for place, face in enumerate(faces):
        groups.setdefault(face.file, []).append((place, face))
    return list(groups.values())


def _read(source: Source, group: list[tuple[int, Face]]) -> tuple[bytes, np.ndarray]:
    face = group[0][1]
    encoded, pixels = source.image(face.file)
    pixels = turned(pixels, face.orientation) if face.orientation != 1 else pixels
    check_size(source.image_path(face.file), pixels, face.size)
    return encoded, pixels


def _content(source: Source, group: list[tuple[int, Face]]) -> int | str:
    """What tells the picture of a group from others (`content_of`), or its fault."""
    try:
        return content_of(_read(source, group)[1])
    except (ValueError, FileNotFoundError) as error:
        return str(error)


def _cut(source: Source, group: list[tuple[int, Face]]) -> list[tuple[int, Region]] | str:
    """The regions of the faces of one image, or its fault."""
    try:
        encoded, pixels = _read(source, group)
    except (ValueError, FileNotFoundError) as error:
        return str(error)
    size, content = (pixels.shape[1], pixels.shape[0]), content_of(pixels)
    cut = []
    for place, face in group:
        rules = [protocol_of(name, source.dataset) for name in PROTOCOLS]
        windows = [crop_window(rule, face.box, face.points, face.labelled, np.array(size)) for rule in rules]
        region = region_of(face.box, windows, size)
        stored = Region(
            encode_region(encoded, pixels, region, turned=face.orientation != 1),
            np.array(region, np.int32),
            np.array(size, np.int32),
            content,
        )
        cut.append((place, stored))
    return cut


def _finish(source: Source, part: list[Face], path: Path, jobs: list[Future]) -> Iterator[tuple[Face, Region]]:
    """The faces of a part with their regions, from its file or from the jobs that cut it; keeps what has no fault."""
    if not jobs:
        yield from zip(part, _load(path), strict=True)
        return
    results = [job.result() for job in jobs]
    faults = [result for result in results if isinstance(result, str)]
    source.findings.faults += faults
    placed = dict(pair for result in results if not isinstance(result, str) for pair in result)
    if not faults:
        _keep([placed[place] for place in range(len(part))], path)
    yield from ((face, placed[place]) for place, face in enumerate(part) if place in placed)


def _keep(regions: list[Region], path: Path) -> None:
    content = {
        "bytes": np.frombuffer(b"".join(region.image for region in regions), np.uint8),
        "ends": np.cumsum([len(region.image) for region in regions]),
        "regions": np.stack([region.region for region in regions]),
        "sizes": np.stack([region.size for region in regions]),
        "contents": np.array([region.content for region in regions], np.uint64),
    }
    files.write(path, lambda temporary: np.savez(temporary, **content))


def _load(path: Path) -> list[Region]:
    with np.load(path, allow_pickle=False) as kept:
        encoded, ends = kept["bytes"].tobytes(), kept["ends"].tolist()
        starts = [0, *ends[:-1]]
        rows = zip(starts, ends, kept["regions"], kept["sizes"], kept["contents"].tolist(), strict=True)
        return [Region(encoded[start:end], region, size, content) for start, end, region, size, content in rows]
