# SPDX-License-Identifier: Apache-2.0
"""A picture of 24 faces of a source with their points, boxes and contours, and of the mean shape with its flip pairs.

Doubtful faces come first: turned pictures, boxes that miss their points, points outside the picture, shapes unlike the
mean. The others are spread evenly over the splits.
"""

import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from barrel_jax import files
from barrel_jax.faces.landmarks import LandmarkScheme
from barrel_jax.faces.symmetry import mean_shape
from barrel_jax.pictures import turned
from data.duplicates import Contents
from data.grouping import printable
from data.source import Face, Source, points_missed
from data.warping import warp_square

COUNT, COLUMNS, TILE, CAPTION, GAP, HEADER = 24, 6, 224, 34, 8, 40  # faces, faces in a row, pixels
GREEN, RED, YELLOW, BLUE, INK, PAPER = (60, 220, 60), (60, 60, 255), (0, 220, 255), (200, 130, 0), (40, 40, 40), 250
UNLIKE = 3.0  # times the median distance from the mean shape at which a face is doubtful
SHIFT = 4  # bits of a pixel's fractions in which OpenCV draws


@dataclass(frozen=True)
class Choice:
    """A face to show, and why."""

    split: str
    face: Face
    why: str


def write_sheet(source: Source, contents: Contents, path: Path) -> list[str]:
    """Writes the sheet as a PNG; a sentence on the faces that it marks. Raises OSError when it cannot be written."""
    faces = [
        (split, face) for split, group in source.splits.items() for face in group
        if face.file in contents.seen.get(split, {})
    ]  # fmt: skip
    points = np.stack([np.where(face.labelled[:, None], face.points, np.nan) for _, face in faces]).astype(np.float64)
    labelled = np.isfinite(points).all(axis=2)
    known = labelled.any(axis=1).any() and labelled.any(axis=0).all()
    shape = mean_shape(points, labelled) if known and points.shape[1] > 1 else None
    chosen = choose(faces, shape, COUNT)
    picture = _sheet(source, chosen, shape)
    encoded = cv2.imencode(".png", picture, (cv2.IMWRITE_PNG_COMPRESSION, 1))[1].tobytes()
    files.write_bytes(path, encoded)
    marked = [one for one in chosen if one.why and one.face.orientation == 1]  # of turned pictures it is said elsewhere
    if not marked:
        return []
    first = f"{marked[0].face.file}: {marked[0].why}"
    many = "1 face looks" if len(marked) == 1 else f"{len(marked)} {'or more ' * (len(marked) == COUNT)}faces look"
    return [f"{source.directory}: {many} unlike the others (such as {first}); see the sheet"]


def choose(faces: list[tuple[str, Face]], shape: np.ndarray | None, count: int) -> list[Choice]:
    """At most `count` of the faces with their splits, doubtful ones first, the worst of them in front.

    Args: the mean `shape` [K, 2], None where it is not known.
    """
    distances = _distances([face for _, face in faces], shape)
    usual = max(float(np.median(distances)), 1e-3) if len(distances) else 1.0
    doubts = [_doubt(face, distance / usual) for (_, face), distance in zip(faces, distances.tolist(), strict=True)]
    order = sorted((number for number, (_, why) in enumerate(doubts) if why), key=lambda number: -doubts[number][0])
    chosen = order[:count]
    rest = [number for number, (_, why) in enumerate(doubts) if not why]
    places = np.linspace(0, len(rest) - 1, min(count - len(chosen), len(rest))).astype(int)
    chosen += [rest[place] for place in places]
    return [Choice(*faces[number], doubts[number][1]) for number in chosen]


def _doubt(face: Face, unlike: float) -> tuple[float, str]:
    """How doubtful a face is, and in what; '' when it is not."""
    labelled = face.points[face.labelled]
    missed = points_missed(face.box, labelled) / len(labelled)
    if missed > 0.5:
        return 100 + missed, f"box misses {100 * missed:.0f} % of the points"
    if unlike > UNLIKE:
        return 10 + unlike, f"shape {unlike:.0f} times as far from the mean"
    if face.size and (labelled.min() < -0.5 or (labelled.max(axis=0) > np.array(face.size) - 0.5).any()):
        outside = float(((labelled < -0.5) | (labelled > np.array(face.size) - 0.5)).any(axis=1).mean())
        if outside > 0.25:
            return 5 + outside, f"{100 * outside:.0f} % of the points outside"
    if face.orientation != 1:
        return 1.0, f"turned by EXIF orientation {face.orientation}"
    return 0.0, ""


def _distances(faces: list[Face], shape: np.ndarray | None) -> np.ndarray:
    """Root mean square distances [n] of the points of faces from the mean shape laid on them, in radii of the shape.

    0 for faces of fewer than three labelled points, of which every shape is like every other.
    """
    if shape is None or not faces:
        return np.zeros(len(faces))
    # As complex numbers x + iy, one factor scales and turns.
    labelled = np.stack([face.labelled for face in faces])
    count = np.maximum(labelled.sum(axis=1, keepdims=True), 1)
    z = np.where(labelled, np.nan_to_num(np.stack([face.points for face in faces])) @ np.array([1, 1j]), 0)
    z = np.where(labelled, z - z.sum(axis=1, keepdims=True) / count, 0)
    target = np.where(labelled, shape @ np.array([1, 1j]), 0)
    target = np.where(labelled, target - target.sum(axis=1, keepdims=True) / count, 0)
    power = (np.abs(z) ** 2).sum(axis=1, keepdims=True)
    factor = (np.conj(z) * target).sum(axis=1, keepdims=True) / np.maximum(power, 1e-12)
    distances = np.sqrt((np.abs(factor * z - target) ** 2).sum(axis=1) / count[:, 0])
    return np.where(labelled.sum(axis=1) < 3, 0.0, distances)


def _sheet(source: Source, chosen: list[Choice], shape: np.ndarray | None) -> np.ndarray:
    rows = max(math.ceil(len(chosen) / COLUMNS), 1)
    side = 2 * (TILE + GAP)
    width = COLUMNS * (TILE + GAP) + GAP + side
    height = max(HEADER + rows * (TILE + CAPTION) + GAP, HEADER + side + CAPTION)
    sheet = np.full((height, width, 3), PAPER, np.uint8)
    doubtful = sum(bool(choice.why) for choice in chosen)
    total = len(source.faces())
    _write(sheet, f"{source.dataset}: {len(chosen)} of {total:,} faces, {doubtful} doubtful ones first", (GAP, 26), 0.6)
    for number, choice in enumerate(chosen):
        x, y = GAP + number % COLUMNS * (TILE + GAP), HEADER + number // COLUMNS * (TILE + CAPTION)
        sheet[y : y + TILE, x : x + TILE] = draw_tile(source, choice.face)
        _write(sheet, f"{choice.split} {choice.face.face}: {Path(choice.face.file).name}", (x, y + TILE + 12), 0.38)
        _write(sheet, choice.why, (x, y + TILE + 27), 0.38, RED)
    if shape is not None:
        x = width - side
        _write(sheet, f"mean shape and flip pairs ({source.scheme.name})", (x, HEADER + side), 0.5)
        sheet[HEADER : HEADER + side - GAP - 8, x : x + side - GAP - 8] = draw_mean(
            shape, source.scheme, side - GAP - 8
        )
    return sheet


def draw_tile(source: Source, face: Face) -> np.ndarray:
    """The face and its surroundings, uint8 [TILE, TILE, 3], BGR: contours, visible points green, hidden ones red."""
    pixels = source.image(face.file)[1]
    pixels = turned(pixels, face.orientation) if face.orientation != 1 else pixels
    points = face.points[face.labelled] + 0.5
    low, high = (
        np.minimum(face.box[:2], points.min(axis=0)),
        np.maximum(face.box[:2] + face.box[2:], points.max(axis=0)),
    )
    extent = np.array(pixels.shape[1::-1], np.float64)
    centre, half = (low + high) / 2, min(0.65 * float((high - low).max()), float(extent.max()))
    scale = TILE / max(2 * half, 1.0)
    corner = centre - half
    matrix = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])
    matrix[:, 2] += 0.5 * scale - 0.5  # between the frame of edges and that of pixels' centres
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    tile = warp_square(pixels, matrix, TILE, how, cv2.BORDER_CONSTANT)
    placed = (face.points + 0.5 - corner) * scale - 0.5
    _contours(tile, placed, face.labelled, source.scheme)
    x, y, w, h = ((np.array([*(face.box[:2] - corner), *face.box[2:]])) * scale).tolist()
    cv2.rectangle(tile, _fixed((x, y)), _fixed((x + w, y + h)), YELLOW, 1, cv2.LINE_AA, SHIFT)
    for point, visible, shown in zip(placed, face.visible, face.labelled, strict=True):
        if shown:
            cv2.circle(tile, _fixed(point), 2 << SHIFT, GREEN if visible == 2 else RED, -1, cv2.LINE_AA, SHIFT)
    return tile


def draw_mean(shape: np.ndarray, scheme: LandmarkScheme, side: int) -> np.ndarray:
    """The mean shape [K, 2] with the numbers of its points and a line between each and its partner: uint8, BGR."""
    picture = np.full((side, side, 3), 255, np.uint8)
    span = np.ptp(shape, axis=0).max()
    placed = (shape - (shape.min(axis=0) + shape.max(axis=0)) / 2) * (0.86 * side / max(span, 1e-9)) + side / 2
    for one, other in enumerate(scheme.flip):
        if one < other:
            cv2.line(picture, _fixed(placed[one]), _fixed(placed[other]), (215, 215, 215), 1, cv2.LINE_AA, SHIFT)
    _contours(picture, placed, np.ones(len(placed), bool), scheme)
    for number, point in enumerate(placed):
        middle = bool(scheme.flip) and scheme.flip[number] == number
        cv2.circle(picture, _fixed(point), 3 << SHIFT, RED if middle else BLUE, -1, cv2.LINE_AA, SHIFT)
        _write(picture, str(number), (int(point[0]) + 4, int(point[1]) - 3), 0.32)
    if not scheme.flip:
        _write(picture, "left and right could not be paired", (8, side - 10), 0.45, RED)
    return picture


def _contours(picture: np.ndarray, placed: np.ndarray, shown: np.ndarray, scheme: LandmarkScheme) -> None:
    for contour in scheme.contours:
        for first, second in itertools.pairwise(contour):
            if shown[first] and shown[second]:
                cv2.line(picture, _fixed(placed[first]), _fixed(placed[second]), BLUE, 1, cv2.LINE_AA, SHIFT)


def _fixed(point: np.ndarray | tuple[float, float]) -> tuple[int, int]:
    """A place as OpenCV's drawing takes it, far ones brought near enough for it."""
    x, y = np.clip(np.asarray(point, np.float64) * (1 << SHIFT), -(1 << 20), 1 << 20)
    return round(float(x)), round(float(y))


def _write(
    picture: np.ndarray, text: str, place: tuple[int, int], size: float, color: tuple[int, int, int] = INK
) -> None:
    # OpenCV's own letters are those of ASCII.
    text = printable(text).encode("ascii", "replace").decode()
    cv2.putText(picture, text[:60] if size > 0.4 else text[:38], place, cv2.FONT_HERSHEY_SIMPLEX, size, color, 1, 16)
