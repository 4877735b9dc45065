# SPDX-License-Identifier: Apache-2.0
"""The frame of a turned picture's points: that of the stored pixels, or of the picture as viewers show it.

A file whose orientation is not 1 (barrel_jax.pictures) looks different in a tool that heeds it and in one that does
not, and annotations tell neither. What decides, in this order: the points, when they lie inside the picture in one
frame alone; the stated width and height, when they are those of one frame alone and the faces do not speak against
them; `config.data.exif`; the faces, which are upright in the picture that viewers show and turned the other way in the
stored one; and over the faces the pixels under their points (data.pixel_evidence). What stays open is a doubt.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from barrel_jax.faces.symmetry import mean_shape
from barrel_jax.files import open_file, read_bytes
from barrel_jax.picture_heads import JPEG, stored_size
from barrel_jax.pictures import HEAD, TURNS, decode, orientation, turned
from data.coco.annotations import Row
from data.coco.upright import Axes
from data.pixel_evidence import MOST, alike_in, patch_of
from data.source import Findings

EXIF = ("auto", "stored", "upright")  # what `config.data.exif` may be
AGAINST = "size against faces"  # decides until pixels do, and stays a doubt
UNCERTAIN = ("", AGAINST, "faces")  # what pixels may overrule


@dataclass(frozen=True)
class Frame:
    """The frame of one picture's points."""

    orientation: int  # what the file states
    stored: tuple[int, int]  # width and height of the stored pixels
    upright: bool  # the points are of the picture as viewers show it
    by: str  # what decided: 'border', 'size', 'switch', 'faces', 'pixels' or `AGAINST`; '' when nothing did

    @property
    def turn(self) -> int:
        """The orientation by which the stored pixels are turned into the frame."""
        return self.orientation if self.upright else 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in the frame."""
        return self.stored[::-1] if TURNS[self.turn][0] else self.stored


def read_orientation(path: Path) -> tuple[int, tuple[int, int] | None]:
    """The orientation of a picture file, and its stored width and height where that is not 1; 1 for what is no file."""
    if not path.is_file():
        return 1, None
    with open_file(path) as file:
        encoded = file.read(HEAD)
        if not encoded.startswith(JPEG):
            encoded += file.read()
    stated = orientation(encoded)
    if stated == 1:
        return 1, None
    if size := stored_size(encoded):
        return stated, size
    pixels = decode(read_bytes(path))
    return stated, None if pixels is None else (pixels.shape[1], pixels.shape[0])


def frame_of(stated: int, stored: tuple[int, int], rows: Sequence[Row], axes: Axes | None, switch: str) -> Frame:
    """The frame of a picture of an orientation, whose stored pixels are of width and height `stored`, by its faces."""
    shown = stored[::-1] if TURNS[stated][0] else stored
    outside = {"stored": _share_outside(rows, stored), "upright": _share_outside(rows, shown)}
    nearest = min(outside, key=lambda frame: outside[frame])
    by_size = "" if stored == shown else {stored: "stored", shown: "upright"}.get(rows[0].size, "")
    by_faces = _by_faces(stated, rows, axes)
    # A tool may have stated the size of the one frame beside the points of the other, or have left an orientation
    # behind in a picture that it turned.
    agree = by_size == by_faces or not by_faces
    evidence = {
        "border": nearest if max(outside.values()) > outside[nearest] + 0.05 and outside[nearest] < 0.02 else "",
        "size": by_size if agree else "",
        "switch": "" if switch == "auto" else switch,
        AGAINST: by_size,
        "faces": by_faces,
    }
    by, frame = next(((by, frame) for by, frame in evidence.items() if frame), ("", "stored"))
    return Frame(stated, stored, frame == "upright", by)


def frames(
    directory: Path, rows: Sequence[Row], paths: dict[str, Path], axes: Axes | None, switch: str, findings: Findings
) -> dict[str, Frame]:
    """The frames of the turned pictures by file name; every orientation but 1 is counted and said.

    Where nothing decides, the frame is that of most other turned pictures of the set, or the stored one.
    """
    of_file: dict[str, list[Row]] = {}
    for row in rows:
        of_file.setdefault(row.file, []).append(row)
    found: dict[str, Frame] = {}
    for file, faces in of_file.items():
        stated, stored = read_orientation(paths[file]) if file in paths else (1, None)
        if stored is not None:
            found[file] = frame_of(stated, stored, faces, axes, switch)
    if any(frame.by in UNCERTAIN for frame in found.values()):
        found |= _by_pixels(found, of_file, paths)
    decided = Counter(frame.upright for frame in found.values() if frame.by not in ("", AGAINST))
    usual = decided[True] > decided[False]
    found = {file: frame if frame.by else replace(frame, upright=usual) for file, frame in found.items()}
    _say(directory, found, findings)
    return found


def _by_pixels(found: dict[str, Frame], of_file: dict[str, list[Row]], paths: dict[str, Path]) -> dict[str, Frame]:
    """The frames that the pixels decide, of pictures whose sizes do not: a stated orientation may be left over.

    Pictures whose frame is sure are what the others are compared with. In a second round those decided in the first are
    too, since faces in the middle of square pictures are as alike among each other when all of them are turned, and
    what is left of one orientation is taken together.
    """
    points = np.stack([row.points for faces in of_file.values() for row in faces])
    labelled = np.stack([row.labelled for faces in of_file.values() for row in faces])
    if points.shape[1] < 3 or not labelled.any(axis=0).all():
        return {}
    shape = mean_shape(points, labelled)
    decided: dict[str, Frame] = {}
    for together in (False, True):
        groups: dict[tuple[int | bool | str, ...], list[str]] = {}
        for file, frame in found.items():
            if frame.by in UNCERTAIN and file not in decided:
                key = (frame.orientation,) if together else (frame.orientation, frame.upright, frame.by)
                groups.setdefault(key, []).append(file)
        sure = {file: 1 for file in of_file if file not in found and file in paths}
        sure |= {file: frame.turn for file, frame in (found | decided).items() if frame.by not in UNCERTAIN}
        others = [
            patch
            for file in _some(list(sure))
            if (shown := decode(read_bytes(paths[file]))) is not None
            and (patch := patch_of(turned(shown, sure[file]), of_file[file][0], shape)) is not None
        ]
        for files in groups.values():
            pixels = {file: of for file in _some(files) if (of := decode(read_bytes(paths[file]))) is not None}
            faces = [of_file[file][0] for file in pixels]
            to = alike_in(found[files[0]].orientation, [*pixels.values()], faces, shape, np.array(others))
            if to:
                decided |= {file: replace(found[file], upright=to == "upright", by="pixels") for file in files}
    # What the faces say is open again where pixels, or else sizes, speak against it in others of that orientation.
    against = {file: frame for file, frame in found.items() if frame.by == AGAINST}
    overruled = {(frame.orientation, not frame.upright) for frame in (against | decided).values()}
    open_again = {
        file: replace(frame, by="")
        for file, frame in found.items()
        if frame.by in UNCERTAIN and file not in decided and (frame.orientation, frame.upright) in overruled
    }
    return decided | open_again


def _some(files: list[str]) -> list[str]:
    return files[:: max(len(files) // MOST, 1)][:MOST]


def _say(directory: Path, found: dict[str, Frame], findings: Findings) -> None:
    whys = {"size": "the stated width and height", "border": "the points inside the picture",
            "faces": "the faces, upright in that frame", "switch": "the switch",
            "pixels": "the pixels, whose faces are alike under the points in that frame"}  # fmt: skip
    groups: dict[tuple[int, bool, bool], list[str]] = {}
    for file, frame in found.items():
        findings.counts[f"pictures_of_EXIF_orientation_{frame.orientation}"] += 1
        groups.setdefault((frame.orientation, frame.upright, frame.by not in ("", AGAINST)), []).append(file)
    for (stated, upright, is_decided), files in sorted(groups.items()):
        frame = "as viewers show them, and are turned" if upright else "as stored, and are not turned"
        count = f"{directory}/images: {len(files):,} pictures of EXIF orientation {stated} (such as {files[0]})"
        own, other = ("upright", "stored") if upright else ("stored", "upright")
        switch = f"--exif {other} (training: --config.data.exif={other})"
        if is_decided:
            by = ", ".join(sorted({whys[found[file].by] for file in files}))
            findings.notes.append(f"{count} were taken {frame}, by {by}; the other way: {switch}")
        else:
            findings.doubts.append(
                f"{count} may have been annotated as viewers show them or as stored: sizes and points fit both; "
                f"they were taken {frame}; look at the contact sheet, and if they are wrong read them with {switch}, "
                f"else with --exif {own}"
            )


def _by_faces(stated: int, rows: Sequence[Row], axes: Axes | None) -> str:
    """The frame in which the faces are upright; '' when they are so in both, in neither or nobody can tell."""
    if axes is None:
        return ""
    downs = np.array([axes.down(np.where(row.labelled[:, None], row.points, np.nan)) for row in rows])
    lengths = np.linalg.norm(downs, axis=1)
    known = np.isfinite(lengths) & (lengths > 0)
    if not known.any():
        return ""
    down = (downs[known] / lengths[known, None]).mean(axis=0)
    # How the downward direction of an upright face lies among the stored pixels.
    exchange, reverse_rows, _ = TURNS[stated]
    stored_down = np.array([0.0, -1.0 if reverse_rows else 1.0])
    stored_down = stored_down[::-1] if exchange else stored_down
    upright, stored = down[1], down @ stored_down
    if max(upright, stored) < 0.7 or abs(upright - stored) < 0.5:
        return ""
    return "upright" if upright > stored else "stored"


def _share_outside(rows: Sequence[Row], size: tuple[int, int]) -> float:
    points = np.concatenate([row.points[row.labelled] for row in rows])
    return float(((points < -1) | (points > np.array(size))).any(axis=1).mean())
