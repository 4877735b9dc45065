# SPDX-License-Identifier: Apache-2.0
"""Crop protocols: how a square crop's window is laid around a face (docs/protocols.md, "Crops").

Windows and boxes are x, y, w, h in source pixels, edge coordinates (the left edge of the first column is 0); points are
in the pixel frame (the centre of the top-left pixel is (0, 0)).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Real

from barrel_jax.arrays import OneKind


@dataclass(frozen=True)
class CropProtocol:
    """How a window is laid around a face."""

    around: str  # 'box': the given box; 'landmarks': the tight box of the labelled points
    margins: tuple[float, float, float, float]  # left, top, right, bottom, in widths and heights of that box
    square: bool = False  # True takes a square of the longer side; False squashes the window to the square crop
    padded: bool = False  # True fills with black beyond the image; False clips the window to the image

    @classmethod
    def grown(cls, around: str, factor: float, *, square: bool = False, padded: bool = False) -> "CropProtocol":
        """The box grown by `factor` about its centre."""
        return cls(around, ((factor - 1) / 2,) * 4, square, padded)


OTHERS = "others"  # the key for sets that a protocol does not name
PROTOCOLS: dict[str, dict[str, CropProtocol]] = {
    # PIPNet's supervised rule (lib/preprocess.py). Its 1.2 of WFLW and LaPa is taken for anyone's own faces.
    "pipnet": {
        "w300": CropProtocol.grown("landmarks", 1.1),
        "cofw": CropProtocol.grown("box", 1.0),
        # 300W's rule, which a model trained under it knows; the set's detector boxes are for pipnet_cross.
        "cofw68": CropProtocol.grown("landmarks", 1.1),
        OTHERS: CropProtocol.grown("box", 1.2),
    },
    # PIPNet's rule across sets (lib/preprocess_gssl.py): train on 300W, test on COFW-68.
    "pipnet_cross": {
        "w300": CropProtocol.grown("landmarks", 1.3),
        "wflw": CropProtocol("box", (0.1, -0.1, 0.1, 0.1)),
        OTHERS: CropProtocol.grown("box", 1.3),
    },
    # HRNet's and mmpose's: an oracle box, since it needs the landmarks.
    "hrnet": {OTHERS: CropProtocol.grown("landmarks", 1.25, square=True, padded=True)},
}


def protocol_of(name: str, dataset: str) -> CropProtocol:
    """What the protocol `name` does with the faces of `dataset`. Raises ValueError when there is none of that name."""
    if name not in PROTOCOLS:
        raise ValueError(f"config.data.crop={name!r} is none of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name].get(dataset, PROTOCOLS[name][OTHERS])


def landmark_box(
    points_px: Real[np.ndarray, "K 2"], labelled: Bool[np.ndarray, " K"]
) -> Float[np.ndarray, " 4"] | None:
    """The tight box float64 [4] of the labelled points [K, 2], at least a pixel wide and high; None without points."""
    if not labelled.any():
        return None
    points = np.asarray(points_px, np.float64)[labelled] + 0.5
    low, high = points.min(axis=0), points.max(axis=0)
    return np.concatenate([low, np.maximum(high - low, 1.0)])


def crop_window(
    protocol: CropProtocol,
    box: Real[np.ndarray, " 4"],
    points_px: Real[np.ndarray, "K 2"],
    labelled: Bool[np.ndarray, " K"],
    size: Real[np.ndarray, " 2"],
) -> Float[np.ndarray, " 4"]:
    """The window float64 [4] of a face with the given box [4], points [K, 2], labels bool [K] in an image of size w, h.

    A face without labelled points is cropped around its box whatever the protocol says.
    """
    tight = landmark_box(points_px, labelled) if protocol.around == "landmarks" else None
    start = np.asarray(box if tight is None else tight, np.float64)
    return windows_around(protocol, start[None], np.asarray(size, np.float64))[0]


def windows_around(
    protocol: CropProtocol, boxes: Float[OneKind, "n 4"], size: Float[OneKind, " 2"]
) -> Float[OneKind, "n 4"]:
    """The windows [n, 4] that a protocol lays around the boxes [n, 4] it starts from, in an image of size w, h."""
    arrays = boxes.__array_namespace__()
    corner, sides = boxes[:, :2], boxes[:, 2:]
    margins = arrays.asarray(protocol.margins, dtype=boxes.dtype)[None]
    low = corner - margins[:, :2] * sides
    high = corner + sides + margins[:, 2:] * sides
    if protocol.square:
        centre, side = (low + high) / 2, (high - low).max(axis=1, keepdims=True)
        low, high = centre - side / 2, centre + side / 2
    if not protocol.padded:
        # A box wholly outside still gets a window of one pixel at the nearest border.
        low = arrays.clip(low, 0, size[None] - 1)
        high = arrays.clip(high, low + 1, size[None])
    return arrays.concat([low, high - low], axis=1)
