# SPDX-License-Identifier: Apache-2.0
"""The conventions in a manifest, for those who have the files alone: boxes, the cut of a crop, frames of points."""

import dataclasses
from typing import Any

from barrel_jax.config import Config
from barrel_jax.faces.crop_windows import CropProtocol, protocol_of
from barrel_jax.faces.landmarks import REGIONS, SCHEMES

BOXES = {
    "box": "around the face as the boxes of the training set lie, most often tight from the brows to the chin",
    "landmarks": "the tight box of the face's points, from the brows to the chin, x and y of the points plus 0.5",
}
FRAMES = {
    "pixels": "(x, y); the centre of the picture's top-left pixel is (0, 0); the picture is upright, as its EXIF says",
    "edges": "(x, y) = pixels + 0.5; the left edge of the first column is 0; boxes and windows are in this frame",
    "crop units": "0 at the window's left or top edge, 1 at the other; pixel j of a crop lies at (j + 0.5) / S",
}


def conventions(config: Config, facts: dict[str, Any]) -> dict[str, Any]:
    """The part of a manifest that is the same for every format.

    Args:
        config: of the run.
        facts: of the run, as in its run.json.
    """
    protocol = protocol_of(config.data.crop, config.data.dataset)
    return {
        "frames": FRAMES,
        "box": {
            "form": "float32 [n, 4], x, y, w, h in edges of the picture",
            "what": BOXES[protocol.around],
            "of_points": _of_points(protocol, facts),
            "refine": facts.get("refine", 0),  # how often Predictor crops again around the points it found, by default
        },
        "window": _window(protocol),
        "sampling": {
            "size": [config.data.image_size] * 2,
            "shrinking": "where the window is larger than the crop along an axis, areas are averaged along it first",
            "interpolation": "bilinear, between centres of pixels",
            "beyond": "black" if protocol.padded else "the pixels at the border go on",
            "range": "0..255, RGB; the network subtracts the mean and divides itself",
        },
        "formula": {
            "points": "pixels = window[:2] + window[2:] * crop units - 0.5",
            "sigma": "standard deviation of a point's error along an axis; pixels = crop units * sqrt((w^2 + h^2) / 2) "
            "of the window"
            if config.model.uncertainty
            else None,
        },
        "landmarks": _landmarks(config, facts),
    }


def _window(protocol: CropProtocol) -> dict[str, Any]:
    left, top, right, bottom = protocol.margins
    steps = [
        f"x - {left:g} w, y - {top:g} h to x + w + {right:g} w, y + h + {bottom:g} h of the box",
        "a square of the longer side about the same centre" if protocol.square else "",
        "" if protocol.padded else "cut off at the picture's edges",
        "brought to a square crop" + ("" if protocol.square else ", whatever its own shape (squash)"),
    ]
    return {**dataclasses.asdict(protocol), "steps": [step for step in steps if step]}


def _of_points(protocol: CropProtocol, facts: dict[str, Any]) -> dict[str, Any] | None:
    """The box of a face whose points are known, such as in a video's frame before this one."""
    if protocol.around == "landmarks":
        shift, size = [0.0, 0.0], [1.0, 1.0]
    elif facts.get("box_fit"):
        shift, size = facts["box_fit"]
    else:
        return None
    return {
        "shift": shift,
        "size": size,
        "how": "of the tight box of the points, x and y plus 0.5: its centre moved by `shift` in its widths and "
        "heights, its sides times `size`",
    }


def _landmarks(config: Config, facts: dict[str, Any]) -> dict[str, Any]:
    name, count = facts["scheme"], facts["num_landmarks"]
    scheme = SCHEMES.get(name)
    flip = scheme.flip if scheme else facts.get("flip", ())
    pair = config.data.normaliser or (scheme.normaliser.points if scheme else ())
    return {
        "scheme": name,
        "names": _names(name, count),
        "flip_pairs": [[first, second] for first, second in enumerate(flip) if first < second] if flip else None,
        "contours": [list(line) for line in scheme.contours] if scheme else None,
        "normaliser": {"points": list(pair), "how": "the distance of the two divides the error"} if pair else None,
    }


def _names(scheme: str, count: int) -> list[str]:
    names = [f"point {number}" for number in range(count)]
    for region, points in REGIONS.get(scheme, {}).items():
        for place, number in enumerate(points):
            names[number] = f"{region} {place}"
    return names
