# SPDX-License-Identifier: Apache-2.0
"""Faces in one small file: crops of a set as JPEG, with all that their score in source pixels needs.

python -m benchmarks.gpu pack --source W300 --out w300.npz [--mb 30]
python -m benchmarks.gpu pack --dataset coco --source DIR --size 128 --out own.npz

The JPEG's quality is the best that fits. 300W is for research only: a pack of it belongs neither in a repository nor
in a release.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from barrel_jax import files
from barrel_jax.config import DataConfig
from barrel_jax.input.crops import load_crops
from barrel_jax.input.source import decode
from benchmarks.gpu import cut_set

SPLITS = {"w300": ("train", "test"), "coco": ("train", "val")}
QUALITIES = (98, 95, 92, 89, 86, 82, 78, 74, 70, 60, 50)


def _encode(image: np.ndarray, quality: int) -> bytes:
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), settings)[1].tobytes()


def write_pack(
    out: Path,
    metadata: Mapping[str, Any],
    splits: Mapping[str, tuple[np.ndarray, Mapping[str, np.ndarray]]],
    most_bytes: float,
) -> dict[str, float]:
    """Writes images uint8 [n, S, S, 3] and columns (`cut_set.COLUMNS`) of each split.

    Returns:
        `quality` of the JPEG, the `error` (mean absolute difference in grey levels of 255) and the file's `mb`.

    Raises:
        ValueError: they do not fit into `most_bytes` at any of `QUALITIES`.
    """
    columns = {f"{split}/{name}": column for split, (_, found) in splits.items() for name, column in found.items()}
    rest = sum(column.nbytes for column in columns.values()) + 100_000  # names and heads in the archive
    with ThreadPoolExecutor() as threads:
        for quality in QUALITIES:
            jpegs = {
                split: list(threads.map(lambda image, quality=quality: _encode(image, quality), images))
                for split, (images, _) in splits.items()
            }
            if rest + sum(len(jpeg) for found in jpegs.values() for jpeg in found) <= most_bytes:
                break
        else:
            raise ValueError(f"{out}: these faces do not fit into {most_bytes / 1e6:.0f} MB at quality {QUALITIES[-1]}")
    for split, found in jpegs.items():
        columns[f"{split}/jpegs"] = np.frombuffer(b"".join(found), np.uint8)
        columns[f"{split}/ends"] = np.cumsum([len(jpeg) for jpeg in found])
    errors = [
        np.abs(decode(jpeg, str(out)).astype(np.float32) - image).mean()
        for split, (images, _) in splits.items()
        for jpeg, image in zip(jpegs[split], images, strict=True)
    ]

    def fill(path: Path) -> None:
        with path.open("wb") as file:  # np.savez appends .npz to a name that has another ending
            np.savez(file, metadata=np.array(json.dumps(metadata)), **columns)

    files.write(out, fill)
    return {"quality": quality, "error": float(np.mean(errors)), "mb": out.stat().st_size / 1e6}


def unpack(pack: Path, directory: Path, sizes: Sequence[int]) -> None:
    """Makes of a pack a folder that `load_crops` reads, with crops of each of `sizes`; nothing where it is made.

    Crops of another size than the pack's are made from those, where `barrel_jax.input.crops` would cut them from the
    source: shrunk by averaging areas, enlarged linearly.

    Raises:
        ValueError: the file is no pack.
    """
    if cut_set.is_whole(directory):
        return
    with np.load(pack) as content:
        if "metadata" not in content:
            raise ValueError(f"{pack}: this is no pack; make one with python -m benchmarks.gpu pack")
        splits = [name.removesuffix("/ends") for name in content.files if name.endswith("/ends")]
        for split in splits:
            parts = np.split(content[f"{split}/jpegs"], content[f"{split}/ends"][:-1])
            names = [f"{pack}, split {split!r}, face {index}" for index in range(len(parts))]
            with ThreadPoolExecutor() as threads:
                images = np.stack(list(threads.map(lambda part, name: decode(part.tobytes(), name), parts, names)))
            columns = {name: content[f"{split}/{name}"] for name in cut_set.COLUMNS}
            for size in sizes:
                cut_set.write_split(directory, split, _resized(images, size), columns)
        metadata = json.loads(str(content["metadata"]))
    cut_set.write_metadata(directory, metadata)


def _resized(images: np.ndarray, size: int) -> np.ndarray:
    if images.shape[1] == size:
        return images
    how = cv2.INTER_AREA if size < images.shape[1] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(image, (size, size), interpolation=how) for image in images])


def main(arguments: list[str]) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu pack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", required=True, metavar="DIR", help="as data.prepare takes it; may be a part")
    parser.add_argument("--dataset", choices=SPLITS, default="w300", help="(default: %(default)s)")
    parser.add_argument("--size", type=int, default=256, help="side of the crops in pixels (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.npz")
    parser.add_argument("--mb", type=float, default=30.0, help="at most (default: %(default)s)")
    parser.add_argument("--data-dir", default="", help="where the built set goes, as for data.prepare")
    args = parser.parse_args(arguments)
    from data.prepare import prepare  # TFDS takes seconds

    try:
        directory = prepare(args.dataset, args.source, args.data_dir, allow_partial=True)
        for split in SPLITS[args.dataset]:
            load_crops(DataConfig(image_size=args.size, crop=cut_set.PROTOCOL), directory, split)
        splits = {split: cut_set.read_split(directory, split, args.size) for split in SPLITS[args.dataset]}
        metadata = json.loads((directory / "metadata.json").read_text())
        written = write_pack(args.out, metadata, splits, 1e6 * args.mb)
    except (ValueError, OSError) as error:
        print(f"pack: {error}", file=sys.stderr)
        return 1
    counts = ", ".join(f"{len(images)} {split}" for split, (images, _) in splits.items())
    print(
        f"{args.out}: {counts}; {written['mb']:.1f} MB, JPEG of quality {written['quality']}, mean error "
        f"{written['error']:.2f} of 255 grey levels. The set's licence holds for it too (300W's: research only)."
    )
    return 0
