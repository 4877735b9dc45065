# SPDX-License-Identifier: Apache-2.0
"""Synthetic faces drawn on all cores into a folder that `load_crops` reads: nothing of them has to travel."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from barrel_jax.faces.crop_windows import crop_window, protocol_of
from barrel_jax.faces.landmarks import SCHEMES
from barrel_jax.input.crops import cut
from barrel_jax.input.source import decode
from barrel_jax.provenance import usable_cores
from benchmarks.gpu import cut_set

SCHEME = "300w-68"
LIKE = "w300"  # the set whose crops these faces are cut as
AT_ONCE = 64  # faces of a task of a process


def draw(directory: Path, counts: dict[str, int], sizes: Sequence[int], seed: int = 0) -> None:
    """Draws the splits `counts`, with crops of each of `sizes` px, on all cores; nothing where the folder is whole."""
    from data.metadata import face_metadata
    from data.synthetic.sample import FLAG_NAMES

    if cut_set.is_whole(directory):
        return
    workers = usable_cores()
    # Spawned: a process that runs JAX has threads and must not fork.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), cv2.setNumThreads, (1,)) as pool:
        for split, count in counts.items():
            tasks = [(seed, split, first, min(first + AT_ONCE, count), sizes) for first in range(0, count, AT_ONCE)]
            parts = list(pool.map(_draw_some, *zip(*tasks, strict=True)))
            columns = {name: np.concatenate([found[name] for _, found in parts]) for name in cut_set.COLUMNS}
            for size in sizes:
                images = np.concatenate([images[size] for images, _ in parts])
                cut_set.write_split(directory, split, images, columns)
    found = f"The points are those of {SCHEME}, by construction."
    digest = f"drawn {counts} {seed}"
    cut_set.write_metadata(directory, face_metadata("synthetic", SCHEMES[SCHEME], found, digest, FLAG_NAMES))


def _draw_some(
    seed: int, split: str, first: int, end: int, sizes: Sequence[int]
) -> tuple[dict[int, np.ndarray], dict[str, np.ndarray]]:
    """Crops by size, and columns, of the faces first..end-1."""
    from data.synthetic.sample import sample_face

    rule = protocol_of(cut_set.PROTOCOL, LIKE)
    images, columns = {size: [] for size in sizes}, {name: [] for name in cut_set.COLUMNS}
    for index in range(first, end):
        face = sample_face(seed, split, index, SCHEME)
        window = crop_window(rule, face["box"], face["points"], face["visible"] > 0, face["region"][2:])
        for size, made in images.items():
            made.append(cut(decode(face["image"], face["file"]), face["region"], window, size, rule.padded))
        row = {
            "points": face["points"],
            "visible": face["visible"],
            "windows": window.astype(np.float32),
            "boxes": face["box"],
            "sizes": face["region"][2:],
            "flags": face["flags"].astype(bool),
            "files": face["file"],
            "faces": np.int64(face["face"]),
        }
        for name, value in row.items():
            columns[name].append(value)
    stacked = {name: np.array(values) for name, values in columns.items()}
    return {size: np.stack(made) for size, made in images.items()}, stacked
