# SPDX-License-Identifier: Apache-2.0
"""PIPNet's training augmentation (docs/protocols.md, "Augmentation") on the device, inside the jitted step.

The geometric operations (translate, flip, rotate, scale, another box) are composed into one map and the image is
sampled once, bilinearly, black outside what is given of the picture; the occlusion patch is drawn in the frame that the
original has after translating, so that it flips and turns with the face. PIPNet rotates with nearest neighbours;
bilinear sampling keeps points and pixels registered below half a pixel. Every draw is a function of the key.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt8

from barrel_jax.arrays import AnyArray
from barrel_jax.config import AugmentConfig

Flip = Int[jax.Array | np.ndarray, " K"]


class Draw(NamedTuple):
    """What happens to one image; lengths in crop units, angle in radians. Arrays have a leading [B] after vmap."""

    shift: jax.Array  # [2], (x, y)
    patch: jax.Array  # [4], left, top, right, bottom in the translated frame; empty when left == right
    colour: jax.Array  # [3], of the patch, 0..1
    flip: jax.Array  # bool
    angle: jax.Array
    zoom: jax.Array
    sigma: jax.Array  # of the blur
    grey: jax.Array  # bool
    window: jax.Array | None = None  # [4], the box that is looked at in the end: x, y, w, h; None for the whole crop


def draw(key: PRNGKeyArray, config: AugmentConfig) -> Draw:
    """Draws what happens to one image."""
    *others, box_key = jax.random.split(key, 15)
    keys = iter(others)

    def chance(probability: float) -> jax.Array:
        return jax.random.bernoulli(next(keys), probability)

    def uniform(shape: tuple[int, ...], low: float, high: float) -> jax.Array:
        return jax.random.uniform(next(keys), shape, minval=low, maxval=high)

    shift = jnp.where(chance(config.translate_prob), uniform((2,), -config.translate, config.translate), 0.0)
    size = jnp.where(chance(config.occlude_prob), uniform((2,), 0.0, config.occlude), 0.0)
    corner = uniform((2,), 0.0, 1.0) * jnp.maximum(1 - config.occlude_margin - size, 0.0)
    return Draw(
        shift=shift,
        patch=jnp.concatenate([corner, corner + size]),
        colour=uniform((3,), 0.0, 1.0),
        flip=chance(config.flip_prob),
        angle=jnp.where(chance(config.rotate_prob), uniform((), -1.0, 1.0) * math.radians(config.rotate), 0.0),
        zoom=jnp.where(chance(config.scale_prob), uniform((), 1 - config.scale, 1 + config.scale), 1.0),
        sigma=jnp.where(chance(config.blur_prob), uniform((), 0.0, config.blur), 0.0),
        grey=chance(config.grey_prob),
        window=_draw_window(box_key, config) if config.box_prob else None,
    )


def _draw_window(key: jax.Array, config: AugmentConfig) -> jax.Array:
    """Another box around the face, as detectors' boxes differ from annotators': x, y, w, h [4] in units of the crop."""
    keys = iter(jax.random.split(key, 6))

    def log_factor(largest: float) -> jax.Array:
        return jax.random.uniform(next(keys), minval=-1.0, maxval=1.0) * math.log1p(largest)

    shift = jax.random.uniform(next(keys), (2,), minval=-1.0, maxval=1.0) * config.box_shift
    scale, aspect = log_factor(config.box_scale), log_factor(config.box_aspect) / 2
    size = jnp.exp(jnp.stack([scale + aspect, scale - aspect]))
    taller = jax.random.bernoulli(next(keys), 0.5) * jax.random.uniform(next(keys)) * config.box_forehead * size[1]
    top_left = 0.5 + shift - size / 2
    window = jnp.concatenate([top_left, size]) + taller * jnp.array([0.0, -1.0, 0.0, 1.0])
    return jnp.where(jax.random.bernoulli(next(keys), config.box_prob), window, jnp.array([0.0, 0.0, 1.0, 1.0]))


def _rotated(xy: jax.Array, angle: jax.Array) -> jax.Array:
    """Points [..., 2] turned about the origin.

    Written out: as a product of matrices TF32 would move a coordinate by up to 0.06 px, and a TPU's bfloat16 by half a
    pixel, unless it were asked for full precision; and so it is part of the sampling, where a product is a pass over
    memory of its own.
    """
    x, y = xy[..., 0], xy[..., 1]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)


def transform_points(points: Float[AnyArray, "K 2"], flip: Flip, one: Draw) -> Float[Array, "K 2"]:
    """Points [K, 2] in crop units after the draw; `flip` is the scheme's permutation [K].

    As in PIPNet, points that the shift carries over the edge are clamped to it, those that a rotation carries over
    are not. A point that the rest brings back into view is where its pixels are: PIPNet has lost them by then, here
    the image is sampled once.
    """

    def after_the_shift(shifted: jax.Array) -> jax.Array:
        mirrored = (shifted * jnp.array([[-1.0, 1.0]]) + jnp.array([[1.0, 0.0]]))[flip]
        centred = jnp.where(one.flip, mirrored, shifted) - 0.5
        turned = one.zoom * _rotated(centred, one.angle) + 0.5
        return turned if one.window is None else (turned - one.window[None, :2]) / one.window[None, 2:]

    shifted = jnp.asarray(points) + one.shift[None]
    free, clamped = after_the_shift(shifted), after_the_shift(jnp.clip(shifted, 0.0, 1.0))
    shown = jnp.all((free >= 0) & (free <= 1), axis=-1, keepdims=True)
    return jnp.where(shown | jnp.all(one.shift == 0), free, clamped)


def _sample(image: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Bilinear samples of image [S, S, 3] at pixel coordinates x, y [S, S]; black outside."""
    size = image.shape[0]
    # A border of two black pixels takes every sample from outside, so that no tap needs a mask of its own.
    padded = jnp.pad(image, ((2, 2), (2, 2), (0, 0))).reshape(-1, 3)
    x, y = jnp.clip(x, -1.5, size + 0.5) + 2, jnp.clip(y, -1.5, size + 0.5) + 2
    left, top = jnp.floor(x), jnp.floor(y)
    first = (top * (size + 4) + left).astype(jnp.int32)
    right_share, bottom_share = (x - left)[..., None], (y - top)[..., None]

    def tap(offset: int) -> jax.Array:
        return padded.at[first + offset].get(mode="promise_in_bounds").astype(jnp.float32)

    upper = tap(0) * (1 - right_share) + tap(1) * right_share
    lower = tap(size + 4) * (1 - right_share) + tap(size + 5) * right_share
    return upper * (1 - bottom_share) + lower * bottom_share


def _blur_matrix(sigma: jax.Array, size: int) -> jax.Array:
    """Gaussian weights [S, S], rows summing to one; the identity where sigma is 0."""
    distance = jnp.arange(size)[:, None] - jnp.arange(size)[None]
    weights = jnp.exp(-0.5 * (distance / jnp.maximum(sigma * size, 1e-3)) ** 2)
    return weights / weights.sum(axis=1, keepdims=True)


def transform_image(image: UInt8[AnyArray, "S S 3"], one: Draw, around: int = 0) -> Float[Array, "T T 3"]:
    """Image uint8 [S, S, 3] after the draw, float32 [T, T, 3] in 0..1.

    The image has `around` pixels of the picture on each side of the crop, whose side is T = S - 2 around.
    """
    size = image.shape[0] - 2 * around
    unit = (jnp.arange(size) + 0.5) / size - 0.5
    # From an output pixel back to the input: undo the box, then zoom and rotation, then the flip, then the shift.
    grid = jnp.stack(jnp.meshgrid(unit, unit, indexing="xy"), axis=-1)
    if one.window is not None:
        start, extent = one.window[None, None, :2], one.window[None, None, 2:]
        grid = start + (grid + 0.5) * extent - 0.5
    back = _rotated(grid, -one.angle) / one.zoom
    back = jnp.where(one.flip, back * jnp.array([[[-1.0, 1.0]]]), back) + 0.5
    source = (back - one.shift[None, None]) * size + (around - 0.5)
    sampled = _sample(image, source[..., 0], source[..., 1]) / 255.0
    patch, colour = one.patch[None, None], one.colour[None, None]
    inside = jnp.all((back >= patch[..., :2]) & (back < patch[..., 2:]), axis=-1, keepdims=True)
    patched = jnp.where(inside, colour, sampled)
    # Blur and grey are products of grey levels, not of coordinates: at the device's own precision TF32 rounds a level
    # by an eighth of a step of 8 bits and bfloat16, in which the network reads the image anyway, by half a step.
    matrix = _blur_matrix(one.sigma, size)
    blurred = jnp.einsum("gh,hwc->gwc", matrix, patched)
    blurred = jnp.einsum("vw,gwc->gvc", matrix, blurred)
    # ITU-R 601 luma, as PIL's and torchvision's grey.
    grey = jnp.einsum("hwc,c->hw", blurred, jnp.array([0.299, 0.587, 0.114]))[..., None]
    return jnp.where(one.grey, grey, blurred)


def augment(
    key: PRNGKeyArray,
    images: UInt8[AnyArray, "B S S 3"],
    points: Float[AnyArray, "B K 2"],
    flip: Flip,
    config: AugmentConfig,
    around: int = 0,
) -> tuple[Float[Array, "B T T 3"], Float[Array, "B K 2"], Bool[Array, " B"]]:
    """Augments a batch.

    Args:
        key: decides every draw.
        images: uint8 [B, S, S, 3], RGB.
        points: float32 [B, K, 2] in crop units.
        flip: the scheme's permutation [K].
        config: probabilities and amounts.
        around: how many pixels of the images are beyond the crop, on each side, so that T = S - 2 around.

    Returns:
        images float32 [B, T, T, 3] in 0..1, points [B, K, 2], and bool [B], which faces were flipped (whose labels of
        points must be permuted alike).
    """
    draws = jax.vmap(lambda one: draw(one, config))(jax.random.split(key, images.shape[0]))
    moved = jax.vmap(lambda p, one: transform_points(p, flip, one))(points, draws)
    return jax.vmap(lambda image, one: transform_image(image, one, around))(images, draws), moved, draws.flip
