# SPDX-License-Identifier: Apache-2.0
"""Boxes and points as tools write them: which numbers stand where, in which unit; and a look at which it is.

A layout is `xywh`, `xyxy`, `cxcywh` (the centre), `yxhw` or `yxyx` for boxes, `xy` or `yx` for points, in pixels; or
with `-fraction` or `-percent` of the picture's width and height behind it, such as `cxcywh-fraction`, which is YOLO's.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

BOX_LAYOUTS, POINT_LAYOUTS = ("xywh", "xyxy", "cxcywh", "yxhw", "yxyx"), ("xy", "yx")
UNITS = {"": 0.0, "-fraction": 1.0, "-percent": 100.0}
BOXES = tuple(layout + unit for unit in UNITS for layout in BOX_LAYOUTS)
POINTS = tuple(layout + unit for unit in UNITS for layout in POINT_LAYOUTS)

FEW = 3  # faces that are measured at least
CLEAR = 0.2  # by how much another layout must fit better (intersection over union of box and points) to be a doubt
LEANS = 0.1  # boxes of faces that look left as often as right lie less to one side, in widths of a face


@dataclass(frozen=True)
class Numbers:
    """What the faces of one split say, as written: NaN for what is not labelled or has no box."""

    points: np.ndarray  # float64 [n, K, 2]
    boxes: np.ndarray  # float64 [n, 4]
    sizes: np.ndarray  # float64 [n, 2], width and height of the pictures

    @cached_property
    def spans(self) -> np.ndarray:
        """The tight boxes of the points as written: least x and y, and by how much the largest are larger [n, 4]."""
        known = np.isfinite(self.points)
        low = np.where(known, self.points, np.inf).min(axis=1)
        return np.concatenate([low, np.where(known, self.points, -np.inf).max(axis=1) - low], axis=1)


def to_pixels(points: np.ndarray, layout: str, sizes: np.ndarray) -> np.ndarray:
    """Points [n, K, 2] in a layout as x, y in pixels of pictures of w, h [n, 2]."""
    order, unit = _parted(layout)
    points = points[..., ::-1] if order == "yx" else points
    return points * sizes[:, None] / UNITS[unit] if UNITS[unit] else points


def boxes_to_pixels(boxes: np.ndarray, layout: str, sizes: np.ndarray) -> np.ndarray:
    """Boxes [n, 4] in a layout as x, y, w, h in pixels of pictures of w, h [n, 2]."""
    order, unit = _parted(layout)
    boxes = boxes[:, [1, 0, 3, 2]] if order in ("yxhw", "yxyx") else boxes
    boxes = boxes * np.tile(sizes, 2) / UNITS[unit] if UNITS[unit] else boxes
    low, high = boxes[:, :2], boxes[:, 2:]
    if order in ("xyxy", "yxyx"):
        return np.concatenate([low, high - low], axis=1)
    return np.concatenate([low - high / 2, high], axis=1) if order == "cxcywh" else boxes


def doubts_on(path: Path, numbers: Numbers, boxes: str, points: str, transposed: bool) -> list[str]:
    """What speaks against the layouts `boxes` and `points` in which a split was read, with the switch that mends it.

    `transposed` says whether the mean face is: where the points fit the boxes when either changes places, it decides.
    """
    labelled = np.isfinite(numbers.points).any(axis=(1, 2))
    numbers = Numbers(numbers.points[labelled], numbers.boxes[labelled], numbers.sizes[labelled])
    if not len(numbers.points):
        return []
    other = _points_by_picture(numbers, points, transposed)
    if other != points:
        found = _best_box(numbers, other, boxes)
        change = [("points", points, other)] + ([("boxes", boxes, found)] if found and found != boxes else [])
        return [_doubt(path, change, _share_of(numbers, other, points))]
    fit = _fit(numbers, boxes, points)
    if fit is None:
        return []
    options = [("boxes", boxes, layout, _fit(numbers, layout, points)) for layout in BOXES if layout != boxes]
    options += [("points", points, layout, _fit(numbers, boxes, layout)) for layout in POINTS if layout != points]
    better = [(*option, new) for *option, new in options if new is not None and new.is_better(fit)]
    if not better:
        return []
    # Where little else tells, x stands first.
    name, old, new, best = max(better, key=lambda option: option[3].score - 0.01 * option[2].startswith("y"))
    why = f"the points fill {100 * best.shared:.0f} % of the boxes then, and {100 * fit.shared:.0f} % as they are now"
    return [_doubt(path, [(name, old, new)], why)]


def _parted(layout: str) -> tuple[str, str]:
    order, hyphen, unit = layout.partition("-")
    return order, hyphen + unit


def _doubt(path: Path, changes: list[tuple[str, str, str]], why: str) -> str:
    words = " and ".join(f"the {name} look like {_words(new)} rather than {_words(old)}" for name, old, new in changes)
    switches = " ".join(f"--{name} {new}" for name, _, new in changes)
    fields = " ".join(f"--config.data.{name}={new}" for name, _, new in changes)
    return f"{path}: {words} ({why}); read them so with {switches} (training: {fields}), or correct the file"


def _words(layout: str) -> str:
    order, unit = _parted(layout)
    orders = {"xywh": "x, y, width, height", "xyxy": "x1, y1, x2, y2", "cxcywh": "centre x, centre y, width, height",
              "yxhw": "y, x, height, width", "yxyx": "y1, x1, y2, x2", "xy": "x, y", "yx": "y, x"}  # fmt: skip
    units = {"": "pixels", "-fraction": "fractions of the picture (0 to 1)", "-percent": "per cent of the picture"}
    return f"{orders[order]} in {units[unit]}"


@dataclass(frozen=True)
class Fit:
    """How boxes lie about the points of their faces in one layout."""

    shared: float  # median intersection over union of the boxes and the tight boxes of the points
    spread: float  # of the margins around the points, in widths and heights of them: small where faces are boxed alike
    beyond: float  # share of the boxes that leave their picture
    lean: float  # median of how much wider a box is on one side of its face than on the other, in widths of the face

    @property
    def score(self) -> float:
        """The larger, the likelier."""
        return self.shared - self.spread - self.lean

    def is_better(self, other: "Fit") -> bool:
        """Whether this layout fits clearly better.

        By much, or perfectly where the other does not; or it fits all faces alike, keeps boxes in the pictures, or has
        the faces in the middle of their boxes. What puts them to one side is never better.
        """
        gain = self.shared - other.shared
        if self.lean > other.lean + LEANS:
            return False
        if gain >= (CLEAR if self.shared >= 0.5 or other.shared < 0.05 else 2 * CLEAR):
            return True
        alike = self.spread + 0.01 < other.spread / 2
        inside = self.beyond < 0.05 and other.beyond > 0.25
        if other.lean > max(LEANS, 4 * self.lean) and (alike or gain > 0.15 * other.shared):
            return True
        return (self.shared >= 0.97 and gain >= 0.02) or (gain > 0.01 and (alike or inside))


def _fit(numbers: Numbers, boxes: str, points: str) -> Fit | None:
    """How the boxes fit the points in these layouts; None with too few boxes, or around single points."""
    in_pixels = boxes_to_pixels(numbers.boxes, boxes, numbers.sizes)
    usable = np.isfinite(in_pixels).all(axis=1)
    if usable.sum() < min(FEW, len(usable)) or not usable.any():
        return None
    tight = _spans(numbers, points)[usable]
    if np.median(tight[:, 2:].prod(axis=1)) < 1e-6:
        return None
    low, high = in_pixels[usable, :2], in_pixels[usable, :2] + in_pixels[usable, 2:]
    tight_low, tight_high, extent = tight[:, :2], tight[:, :2] + tight[:, 2:], np.maximum(tight[:, 2:], 1e-6)
    shared = np.clip(np.minimum(high, tight_high) - np.maximum(low, tight_low), 0, None).prod(axis=1)
    areas = np.clip(high - low, 0, None).prod(axis=1) + tight[:, 2:].prod(axis=1) - shared
    margins = np.concatenate([(low - tight_low) / extent, (high - tight_high) / extent], axis=1)
    sizes = numbers.sizes[usable]
    return Fit(
        float(np.median(shared / np.maximum(areas, 1e-9))),
        float(np.clip(margins, -5, 5).std(axis=0).mean()),
        float((high > 1.02 * sizes + 1).any(axis=1).mean()),
        float(abs(np.median(margins[:, 2] + margins[:, 0]))),
    )


def _spans(numbers: Numbers, points: str) -> np.ndarray:
    """Tight boxes x, y, w, h [n, 4] in pixels of points in a layout, not labelled ones being NaN."""
    order, unit = _parted(points)
    spans = boxes_to_pixels(numbers.spans, ("yxhw" if order == "yx" else "xywh") + unit, numbers.sizes)
    return np.concatenate([spans[:, :2], np.maximum(spans[:, 2:], 1e-9)], axis=1)


def _best_box(numbers: Numbers, points: str, boxes: str) -> str:
    """The layout of the boxes that fits points of a layout best; the one they are read in when nothing is clearer."""
    fits = {layout: fit for layout in BOXES if (fit := _fit(numbers, layout, points)) is not None}
    if not fits:
        return ""
    best = max(fits, key=lambda layout: fits[layout].score)
    return best if boxes not in fits or fits[best].is_better(fits[boxes]) else boxes


def _points_by_picture(numbers: Numbers, points: str, transposed: bool) -> str:
    """The layout of the points that the pictures, and a `transposed` mean face, speak for."""
    order, unit = _parted(points)
    if not UNITS[unit]:
        values = numbers.points[np.isfinite(numbers.points)]
        if np.abs(np.percentile(values, [1, 50, 99])).max() <= 1.5 and np.median(numbers.sizes) > 8:
            unit = "-fraction"
        elif _is_percent(numbers, order):
            unit = "-percent"
    other = {"xy": "yx", "yx": "xy"}[order]
    now, then = (_share_outside(numbers, layout + unit) for layout in (order, other))
    return (other if transposed or (now > 0.02 and then < now / 4) else order) + unit


def _is_percent(numbers: Numbers, order: str) -> bool:
    """Whether no point lies beyond 100 although most pictures are larger, in faces enough to tell.

    As pixels the faces lie in the upper left of their pictures then, and as per cent nearer to the middle.
    """
    large = (numbers.sizes > 105).all(axis=1)
    points = to_pixels(numbers.points, order, numbers.sizes)
    if large.sum() < max(2 * FEW, len(large) / 2) or np.nanmax(points) > 101 or not -1 <= np.nanmin(points) <= 98:
        return False
    points, sizes, spans = points[large], numbers.sizes[large], _spans(numbers, order)[large]
    centres = spans[:, :2] + spans[:, 2:] / 2
    as_pixels, as_percent = (np.abs(np.median(centres / size, axis=0) - 0.5).max() for size in (sizes, 100.0))
    return bool(np.nanmax(points) > 2 and as_percent + 0.03 < as_pixels)


def _share_outside(numbers: Numbers, points: str) -> float:
    placed = to_pixels(numbers.points, points, numbers.sizes)
    outside = ((placed < -1) | (placed > numbers.sizes[:, None] + 1)).any(axis=2)
    return float(outside.sum() / max(np.isfinite(placed).all(axis=2).sum(), 1))


def _share_of(numbers: Numbers, other: str, points: str) -> str:
    if _parted(other)[0] != _parted(points)[0]:
        now, then = (100 * _share_outside(numbers, layout) for layout in (points, other))
        if now == then:
            return "the mean face is transposed as they are read now"
        return f"{now:.0f} % of them lie outside their pictures as they are read now, and {then:.0f} % then"
    largest, side = np.nanmax(numbers.points), np.median(numbers.sizes)
    return f"the largest number is {largest:.4g}, and half the pictures are larger than {side:.0f} pixels"
