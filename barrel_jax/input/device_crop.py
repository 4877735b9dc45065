# SPDX-License-Identifier: Apache-2.0
"""The crop at inference: the host takes the pixels around a window out of the frame, the device samples them.

Sampling is that of `barrel_jax.input.crops.cut`, which made the training crops: area average where the window is larger
than the crop, then bilinear. Both are linear and act on each axis alone, so that a crop is two matrix products, and a
program's shapes depend on the size of a padded region only, never on the frame.
"""

import math

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from barrel_jax.arrays import AnyArray, OneKind

SMALLEST_REGION = 256  # side of the smallest padded region; the others are its doubles


def take_region(
    image: UInt8[np.ndarray, "H W 3"], window: Float[np.ndarray, " 4"], size: int
) -> tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, " 4"]]:
    """The part of an image that a crop of a window reads.

    Args:
        image: uint8 [H, W, 3].
        window: x, y, w, h float64 [4] in source pixels, edge coordinates; it touches the image.
        size: S, the crop's side.

    Returns:
        Pixels uint8 [h, w, 3], a view where nothing had to be shrunk, at most `largest_region(size)` wide and high; the
        window float64 [4] in their edge coordinates.
    """
    corners = _reach(window, np.array([image.shape[1], image.shape[0]], np.float64), size)
    low, high = (corner.astype(int) for corner in corners)
    region = image[low[1] : high[1], low[0] : high[0]]
    inside = np.concatenate([window[:2] - low, window[2:]])
    taken = high - low
    smaller = np.ceil(taken / np.ceil(taken / largest_region(size))).astype(int)
    if (smaller < taken).any():
        region = cv2.resize(region, smaller.tolist(), interpolation=cv2.INTER_AREA)
        inside *= np.tile(smaller / taken, 2)
    return region, inside


def _reach(window: OneKind, extent: OneKind, size: int) -> tuple[OneKind, OneKind]:
    """First column and row [2] of an image of `extent` [2] that a crop of a window [4] reads, and those behind it."""
    arrays = window.__array_namespace__()
    # A crop's pixel averages w / S source pixels and its bilinear neighbours as many; one more for rounding.
    margin = arrays.ceil(arrays.maximum(window[2:] / size, 1)) + 1
    low = arrays.clip(arrays.floor(window[:2] - margin), 0, extent - 1)
    return low, arrays.clip(arrays.ceil(window[:2] + window[2:] + margin), low + 1, extent)


def crop_image(
    image: UInt8[AnyArray, "H W 3"], windows: Float[AnyArray, "n 4"], size: int, padded: bool
) -> Float[jax.Array, "n {size} {size} 3"]:
    """What `take_region` and `crop_regions` do, with nothing done on the host: H, W and n may be any.

    Slower on large images, of which it reads all for each face, one after the other. Windows are float32 [n, 4].
    """
    extent = jnp.array([image.shape[1], image.shape[0]], jnp.float32)
    largest = largest_region(size)

    def one(window: jax.Array) -> jax.Array:
        low, high = _reach(window, extent, size)
        taken = high - low
        smaller = jnp.ceil(taken / jnp.ceil(taken / largest))
        scale = smaller / taken
        inside, width = (window[:2] - low) * scale, window[2:] * scale

        def axis(index: int) -> jax.Array:
            pixel = jnp.arange(image.shape[1 - index])[None] - low[index]
            lines = _share(pixel, jnp.arange(largest)[:, None], scale[index], taken[index])
            weights = _weights(smaller[index], inside[index], width[index], size, largest, padded)
            return jnp.matmul(weights, lines, precision="highest")

        rows = jnp.einsum("sr,rwc->swc", axis(1), image.astype(jnp.float32), precision="highest")
        return jnp.einsum("tw,swc->stc", axis(0), rows, precision="highest")

    return jax.lax.map(one, windows)


def largest_region(size: int) -> int:
    """Side of the largest padded region for crops of `size` pixels.

    It is four crops wide: what is larger was shrunk on the host, by a factor that leaves at least two crops.
    """
    return max(SMALLEST_REGION, 1 << math.ceil(math.log2(4 * size)))


def region_side(region: UInt8[np.ndarray, "h w 3"]) -> int:
    """Side of the padded region that takes these pixels [h, w, 3]."""
    return max(SMALLEST_REGION, 1 << math.ceil(math.log2(max(region.shape[:2]))))


def crop_regions(
    regions: UInt8[AnyArray, "n R R 3"],
    extents: Float[AnyArray, "n 2"],
    windows: Float[AnyArray, "n 4"],
    size: int,
    padded: bool,
) -> Float[jax.Array, "n {size} {size} 3"]:
    """Samples a window of each region: float32 [n, S, S, 3] in grey levels 0..255, not rounded.

    Args:
        regions: uint8 [n, R, R, 3], the pixels at the top left.
        extents: width and height of those pixels, float32 [n, 2], at least 1.
        windows: x, y, w, h float32 [n, 4] in a region's edge coordinates.
        size: S.
        padded: whether black lies beyond the pixels; otherwise their border goes on.
    """
    side = regions.shape[1]

    def axis(index: int) -> jax.Array:
        def one(extent: jax.Array, window: jax.Array) -> jax.Array:
            return _weights(extent[index], window[index], window[index + 2], size, side, padded)

        return jax.vmap(one)(extents, windows)

    # Full precision: TF32 or bfloat16 weights would move a grey level by half a step.
    rows = jnp.einsum("nsr,nrwc->nswc", axis(1), regions.astype(jnp.float32), precision="highest")
    return jnp.einsum("ntw,nswc->nstc", axis(0), rows, precision="highest")


def _weights(extent: jax.Array, start: jax.Array, width: jax.Array, size: int, side: int, padded: bool) -> jax.Array:
    """What each of `side` pixels of a line, `extent` of them real, gives to each of `size` crop pixels: [S, R]."""
    smaller = jnp.maximum(jnp.round(extent * jnp.minimum(size / width, 1)), 1)
    scale = smaller / extent
    # Where the crop's pixels lie in the line shrunk to `smaller` pixels, as in `cut`.
    at = (start + width * (jnp.arange(size) + 0.5) / size) * scale - 0.5
    first = jnp.floor(at)
    pixel = jnp.arange(side)[None]

    def averaged(taken: jax.Array) -> jax.Array:
        """The share of every pixel in pixel `taken` [S] of the shrunk line."""
        kept = jnp.clip(taken, 0, smaller - 1)
        share = _share(pixel, kept[:, None], scale, extent)
        return jnp.where((kept == taken)[:, None], share, 0) if padded else share

    return (1 - (at - first))[:, None] * averaged(first) + (at - first)[:, None] * averaged(first + 1)


def _share(pixel: jax.Array, number: jax.Array, scale: jax.Array, extent: jax.Array) -> jax.Array:
    """What each pixel [1, R] of a line gives to pixel `number` [S, 1] of the line shrunk by `scale`: [S, R]."""
    low, high = number / scale, jnp.minimum((number + 1) / scale, extent)
    return jnp.maximum(jnp.minimum(pixel + 1, high) - jnp.maximum(pixel, low), 0) * scale
