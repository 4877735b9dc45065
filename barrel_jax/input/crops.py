# SPDX-License-Identifier: Apache-2.0
"""Protocol crops: cut once on the host, kept beside the built set, memory-mapped afterwards."""

import math
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int, Real, Shaped, UInt8

from barrel_jax import files
from barrel_jax.config import DataConfig
from barrel_jax.faces.annotated import FaceTruth, clamp
from barrel_jax.faces.crop_windows import CropProtocol, crop_window, protocol_of
from barrel_jax.faces.geometry import px_to_unit
from barrel_jax.input.source import decode, open_split, read_info
from barrel_jax.progress import follow


class Part(NamedTuple):
    """A set that is trained on together with others."""

    dataset: str
    fingerprint: str
    faces: int  # it has
    visits: int  # of them in an epoch


@dataclass(frozen=True)
class FaceCrops(FaceTruth):
    """One split on the host. A point of window (x, y, w, h) lies at `xy + wh * unit - 0.5` source pixels."""

    images: Any = field(kw_only=True)  # uint8 [n, S, S, 3], RGB, memory-mapped, or `MadeImages`
    windows: np.ndarray = field(kw_only=True)  # float32 [n, 4], never None
    stored: tuple[str, np.ndarray] | None = None  # what `records` says; None for all of `split`
    parts: tuple[Part, ...] = ()  # the sets that the faces are of, in their order; () when they are of one

    @property
    def records(self) -> tuple[str, Int[np.ndarray, " n"]]:
        """Where the faces lie in the built set: the split, and their rows in it, int [n]."""
        return self.stored or (self.split, np.arange(len(self)))

    @property
    def points_unit(self) -> Float[np.ndarray, "n K 2"]:
        """float32 [n, K, 2] in crop units, NaN where not annotated."""
        return px_to_unit(self.points_px, self.windows)


def cut(
    image: UInt8[np.ndarray, "H W 3"],
    region: Real[np.ndarray, " 4"] | Sequence[int],
    window: Float[np.ndarray, " 4"],
    size: int,
    padded: bool,
) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """Samples a window of a stored region to uint8 [S, S, 3], bilinear; shrinking averages areas first."""
    offset = window[:2] - np.asarray(region[:2], np.float64)
    shrink = np.minimum(size / window[2:], 1.0)
    height, width = image.shape[:2]
    smaller = np.maximum(np.round(np.array([width, height]) * shrink), 1).astype(int)
    scale = smaller / np.array([width, height])
    if (scale < 1).any():
        image = cv2.resize(image, smaller.tolist(), interpolation=cv2.INTER_AREA)
    # Crop pixel j -> pixel of the (shrunk) region, through edge coordinates.
    slope = window[2:] / size * scale
    start = (offset + window[2:] * 0.5 / size) * scale - 0.5
    matrix = np.array([[slope[0], 0, start[0]], [0, slope[1], start[1]]])
    border = cv2.BORDER_CONSTANT if padded else cv2.BORDER_REPLICATE
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=border)


class MadeImages:
    """Images uint8 [n, S, S, 3] that are made when they are asked for, by the numbers of their faces; none is kept."""

    def __init__(self, count: int, make: Callable[[Any], UInt8[np.ndarray, "*m S S 3"]]) -> None:
        self._count = count
        self._make = make

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Shaped[np.ndarray, " _"] | slice | int) -> UInt8[np.ndarray, "*m S S 3"]:
        return self._make(index)


def _crop(
    record: dict[str, Any], protocol: CropProtocol, size: int, shift: np.ndarray, name: str, around: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Window [4] and crop [S, S, 3] of a record, the window moved by a share `shift` [2] of its width and height.

    The crop has `around` pixels more of the picture on every side.
    """
    labelled = (record["visible"] > 0) & np.isfinite(record["points"]).all(axis=-1)
    window = crop_window(protocol, record["box"], record["points"], labelled, record["size"])
    window[:2] += shift * window[2:]
    grown = np.concatenate([window[:2] - window[2:] * around / size, window[2:] * (1 + 2 * around / size)])
    if around and not _is_stored(grown, record, window[2:] / size):
        raise ValueError(
            f"{name}: the built set does not hold so much of the picture around this crop; give a smaller "
            "config.data.context, or a config.data.crop that starts from boxes"
        )
    image = decode(record["image"], name)
    return window, cut(image, record["region"], grown, size + 2 * around, protocol.padded)


def _is_stored(window: np.ndarray, record: dict[str, Any], pixel: np.ndarray) -> bool:
    """Whether the stored region covers the part of a window that lies in the picture, to within a pixel of the crop and
    one of the source; `pixel` [2] is the crop's in source pixels.
    """
    low, high = np.maximum(window[:2], 0), np.minimum(window[:2] + window[2:], record["size"])
    begin, end = record["region"][:2], record["region"][:2] + record["region"][2:]
    return bool((low > begin - pixel - 1).all() and (high < end + pixel + 1).all())


def recut(directory: Path, crops: FaceCrops, protocol: str, shifts: Float[np.ndarray, "n 2"]) -> FaceCrops:
    """The same faces under windows moved by `shifts` [n, 2], in shares of their widths and heights.

    They are cut from the stored regions when they are asked for. A moved window keeps its size: where it leaves the
    region (the box grown twofold, and all protocols' windows, in the image), it shows what `cut` shows there.

    Args: `directory` of the built set and `protocol` are those that `crops` were loaded with. Raises ValueError as
    `load_crops`, and when a stored image cannot be decoded.
    """
    split, rows = crops.records
    source, rule = open_split(directory, split), protocol_of(protocol, crops.dataset)
    size = crops.images[:1].shape[1]

    def one(face: int) -> np.ndarray:
        row = int(rows[face])
        return _crop(source[row], rule, size, shifts[face], f"{directory}, split {split!r}, record {row}")[1]

    def make(index: np.ndarray) -> np.ndarray:
        with ThreadPoolExecutor() as pool:
            return np.stack(list(pool.map(one, index.tolist())))

    windows = crops.windows + np.concatenate([shifts * crops.windows[:, 2:], np.zeros_like(shifts)], axis=1)
    return replace(crops, images=MadeImages(len(crops), make), windows=windows.astype(np.float32))


def _cut_split(directory: Path, split: str, size: int, protocol: CropProtocol, target: Path, around: int) -> None:
    """Cuts all crops of a split into the folder `target`, which appears only when whole."""
    source = open_split(directory, split)
    count = len(source)
    if not count:
        raise ValueError(f"{directory}: split {split!r} has no faces")
    temporary = files.beside(target)
    temporary.mkdir(parents=True)
    try:
        shape = (count, size + 2 * around, size + 2 * around, 3)
        images = np.lib.format.open_memmap(temporary / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
        files.reserve(temporary / "images.npy")

        def one(index: int) -> dict[str, Any]:
            record = source[index]
            name = f"{directory}, split {split!r}, record {index}"
            window, images[index] = _crop(record, protocol, size, np.zeros(2), name, around)
            return record | {"window": window, "image": b""}

        with ThreadPoolExecutor() as pool:
            records = list(follow(pool.map(one, range(count)), count, f"crop {split}", "face"))
        images.flush()
        np.savez(
            temporary / "faces.npz",
            points=np.stack([r["points"] for r in records]),
            visible=np.stack([r["visible"] for r in records]),
            windows=np.stack([r["window"] for r in records]).astype(np.float32),
            boxes=np.stack([r["box"] for r in records]),
            sizes=np.stack([r["size"] for r in records]),
            flags=np.stack([r["flags"] for r in records]).astype(bool),
            files=np.array([r["file"] if isinstance(r["file"], str) else r["file"].decode() for r in records]),
            faces=np.array([r["face"] for r in records], np.int64),
        )
        try:
            os.replace(temporary, target)
        except OSError:
            if not target.is_dir():  # a run that started beside this one was sooner, with the same crops
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def most_context(rule: CropProtocol) -> float:
    """How much of the picture a stored region surely has around a crop, on each side, in shares of the crop's side.

    Known where crops start from the set's boxes: a region is the box grown twofold about its centre. Infinite where
    they start from the landmarks: each face's region is looked at when its crop is cut.
    """
    if rule.around != "box":
        return math.inf
    left, top, right, bottom = rule.margins
    return min((0.5 - max(low, high)) / (1 + low + high) for low, high in ((left, right), (top, bottom)))


def load_crops(data: DataConfig, directory: Path, split: str, context: float = 0.0) -> FaceCrops:
    """The crops of a split of a built set; cut at the first call, memory-mapped from then on.

    Args:
        data: size and protocol of the crops, whether points outside the image are moved to its border, and what is put
            on top of the landmarks that were found in the set.
        directory: of the built set, from data.prepare.
        split: its name.
        context: how much of the picture around the crops the images show too, on each side, in shares of S; windows and
            points are those of the crops.

    Raises:
        FileNotFoundError: no built set in `directory`.
        ValueError: an unknown split or protocol, overrides that do not fit the set, or more `context` than it holds.
    """
    directory = Path(directory)
    info = read_info(directory, data.flip_pairs, data.normaliser)
    rule = protocol_of(data.crop, info.dataset)
    around = round(context * data.image_size)
    if (most := most_context(rule)) < context:
        raise ValueError(
            f"config.data.context={context}: a built set keeps the boxes grown twofold, which is {most:.2f} of the "
            f"crop's side around the crops of config.data.crop={data.crop!r}; give at most that"
        )
    cache = directory / "crops" / f"{split}-{data.crop}-{data.image_size}{f'-and-{around}' if around else ''}"
    if not cache.exists():
        _cut_split(directory, split, data.image_size, rule, cache, around)
    with np.load(cache / "faces.npz") as faces:
        return FaceCrops(
            dataset=info.dataset,
            split=split,
            fingerprint=info.fingerprint,
            scheme=info.scheme,
            flag_names=info.flag_names,
            images=np.load(cache / "images.npy", mmap_mode="r"),
            points_px=clamp(faces["points"], faces["sizes"]) if data.clamp_points else faces["points"],
            visible=faces["visible"],
            windows=faces["windows"],
            boxes=faces["boxes"],
            flags=faces["flags"],
            files=tuple(faces["files"].tolist()),
            faces=faces["faces"],
            partial=info.partial,
            clamped=data.clamp_points,
        )
