# SPDX-License-Identifier: Apache-2.0
"""Faces of several sets as one split, and a part of a split as a split of its own; pixels stay where they lie."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Int

from barrel_jax.faces.landmarks import LandmarkScheme
from barrel_jax.input.crops import FaceCrops, MadeImages, Part


def select(crops: FaceCrops, rows: Int[np.ndarray, " m"], split: str) -> FaceCrops:
    """The faces `rows` (int [m]) of a split, as a split of that name."""
    stored, numbers = crops.records
    return replace(
        crops,
        split=split,
        stored=(stored, numbers[rows]),
        images=MadeImages(len(rows), lambda index: crops.images[rows[index]]),
        points_px=crops.points_px[rows],
        visible=crops.visible[rows],
        windows=crops.windows[rows],
        boxes=crops.boxes[rows],
        flags=crops.flags[rows],
        files=tuple(crops.files[row] for row in rows.tolist()),
        faces=crops.faces[rows],
    )


def join(main: FaceCrops, others: Sequence[tuple[FaceCrops, float]]) -> FaceCrops:
    """The faces of `main`, then those of the other sets, each with the share of an epoch's faces that it is to have.

    An epoch visits every face of `main` once, and so many of the others that the shares hold
    (`barrel_jax.training.order.epoch_order_of`). What the result says of itself is said of `main`; no face has a flag.

    Raises:
        ValueError: a set has other landmarks than `main`, or a share so small that an epoch visits none of its faces.
    """
    if not others:
        return main
    remaining = 1 - sum(share for _, share in others)
    parts = [Part(main.dataset, main.fingerprint, len(main), len(main))]
    for crops, share in others:
        _check_scheme(main, crops)
        visits = round(len(main) * share / remaining)
        if not visits:
            raise ValueError(
                f"config.data.also: with a share of {share} an epoch of {len(main)} faces of {main.dataset} has none "
                f"of {crops.dataset}; give it a larger one"
            )
        parts.append(Part(crops.dataset, crops.fingerprint, len(crops), visits))
    sets = [main, *(crops for crops, _ in others)]
    return replace(
        main,
        parts=tuple(parts),
        images=_joined([crops.images for crops in sets]),
        points_px=np.concatenate([crops.points_px for crops in sets]),
        visible=np.concatenate([crops.visible for crops in sets]),
        windows=np.concatenate([crops.windows for crops in sets]),
        boxes=np.concatenate([crops.boxes for crops in sets]),
        flag_names=(),
        flags=np.zeros((sum(map(len, sets)), 0), bool),
        files=tuple(file for crops in sets for file in crops.files),
        faces=np.concatenate([crops.faces for crops in sets]),
    )


def _joined(images: Sequence[Any]) -> MadeImages:
    starts = np.cumsum([0, *map(len, images)])

    def make(index: np.ndarray | slice | int) -> np.ndarray:
        rows = np.arange(starts[-1])[index]
        made = np.empty((*rows.shape, *images[0][:1].shape[1:]), np.uint8)
        for part, first, end in zip(images, starts, starts[1:], strict=False):
            here = (first <= rows) & (rows < end)
            made[here] = part[rows[here] - first]
        return made

    return MadeImages(int(starts[-1]), make)


def _check_scheme(main: FaceCrops, other: FaceCrops) -> None:
    """Raises ValueError when the faces of two sets are not annotated alike."""

    def facts(scheme: LandmarkScheme) -> dict[str, object]:
        return {
            "points": scheme.num_points,
            "left/right pairs": [(i, j) for i, j in enumerate(scheme.flip) if i < j],
            "normaliser": f"{scheme.normaliser} {scheme.normaliser.points}",
        }

    theirs, ours = facts(other.scheme), facts(main.scheme)
    different = [
        f"{name}: {theirs[name]} there, {value} in {main.dataset}"
        for name, value in ours.items()
        if theirs[name] != value
    ]
    if different:
        raise ValueError(
            f"config.data.also: {other.dataset} ({other.scheme.name}) cannot be trained on together with "
            f"{main.dataset} ({main.scheme.name}), its landmarks are others ({'; '.join(different)}); where the points "
            "are the same, config.data.flip_pairs and config.data.normaliser say so for all sets"
        )
