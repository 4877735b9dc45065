# SPDX-License-Identifier: Apache-2.0
"""Faces of three points that scores are worked out for by hand: eyes 20 px apart and a mouth."""

import json

import numpy as np

from barrel_jax.faces.annotated import FaceTruth
from barrel_jax.faces.landmarks import LandmarkScheme, Normaliser
from barrel_jax.input.crops import FaceCrops

SCHEME = LandmarkScheme("custom-3", 3, (1, 0, 2), Normaliser(points=(0, 1)), ((0, 2, 1),))
SHAPE = np.array([[10, 10], [30, 10], [20, 30]], np.float32)


def make_crops(count, flags=None, names=()):
    """Faces whose first red pixel is their number, at different places of a 100 px wide window of one source image."""
    images = np.zeros((count, 8, 8, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(count)
    windows = np.tile(np.array([[50, 20, 100, 80]], np.float32), (count, 1))
    windows[:, 0] += np.arange(count)
    points_px = SHAPE + windows[:, None, :2]
    flags = np.zeros((count, 0), bool) if flags is None else np.array(flags, bool)
    return FaceCrops(
        dataset="toy", split="test", fingerprint="f00d", scheme=SCHEME, flag_names=tuple(names), images=images,
        points_px=points_px, visible=np.full((count, 3), 2, np.uint8), windows=windows,
        boxes=windows + np.float32(3), flags=flags,
        files=tuple(f"{face // 2}.png" for face in range(count)), faces=np.arange(count) + 100,
    )  # fmt: skip


def make_truth(scheme, points_px, **fields):
    """Faces without pixels, all points visible."""
    count, points = len(points_px), scheme.num_points
    given = {
        "dataset": "toy", "split": "test", "fingerprint": "f00d", "scheme": scheme, "flag_names": (),
        "points_px": np.asarray(points_px, np.float32), "visible": np.full((count, points), 2, np.uint8),
        "boxes": np.zeros((count, 4), np.float32), "flags": np.zeros((count, 0), bool),
        "files": tuple(f"{face}.png" for face in range(count)), "faces": np.arange(count) + 1,
    }  # fmt: skip
    return FaceTruth(**given | fields)


def shifted(faces, pixels):
    """Predictions that miss every point of face i by pixels[i] (straight down)."""
    return faces.points_px + np.array(pixels, np.float32)[:, None, None] * np.array([0, 1], np.float32)


def written(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path
