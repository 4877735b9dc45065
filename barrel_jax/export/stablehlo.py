# SPDX-License-Identifier: Apache-2.0
"""The program as StableHLO (`jax.export`), with its weights, for CPUs, CUDA and TPUs and any batch.

It comes in two forms: crops to points, and an image of any size and boxes to points in its pixels.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import export
from jaxtyping import Float, PyTree, UInt8

from barrel_jax.faces.crop_windows import CropProtocol, windows_around
from barrel_jax.input.device_crop import crop_image
from barrel_jax.models.barrelnet import BarrelNet
from barrel_jax.models.source_points import source_points

NAME, IMAGE_NAME = "model.stablehlo", "model-image.stablehlo"
# Of an image uint8 [H, W, 3] and boxes [n, 4]: points [n, K, 2] and, where the model says it, sigma [n, K].
ImageProgram = Callable[[UInt8[jax.Array, "H W 3"], Float[jax.Array, "n 4"]], tuple[Float[jax.Array, "n ..."], ...]]
PLATFORMS = ("cpu", "cuda", "tpu")


def serialise(
    predict: Callable[[PyTree, UInt8[jax.Array, "B S S 3"]], Float[jax.Array, "B K 2"]],
    weights: PyTree,
    image_size: int,
) -> bytes:
    """The content of the file of crops.

    Args:
        predict: `inference.make_inference`'s, weights and images uint8 [B, S, S, 3] -> points [B, K, 2].
        weights: constants of the program.
        image_size: S.
    """
    (batch,) = export.symbolic_shape("B")
    images = jax.ShapeDtypeStruct((batch, image_size, image_size, 3), jnp.uint8)
    return _serialised(lambda images: predict(weights, images), images)


def serialise_image(run: ImageProgram) -> bytes:
    """The content of the file of images: `run` is `image_program`'s."""
    height, width, faces = export.symbolic_shape("H, W, n")
    image = jax.ShapeDtypeStruct((height, width, 3), jnp.uint8)
    return _serialised(run, image, jax.ShapeDtypeStruct((faces, 4), jnp.float32))


def _serialised(run: Callable, *shapes: jax.ShapeDtypeStruct) -> bytes:
    return bytes(export.export(jax.jit(run), platforms=PLATFORMS)(*shapes).serialize())


def image_program(model: BarrelNet, weights: PyTree, protocol: CropProtocol, image_size: int) -> ImageProgram:
    """The function of an image uint8 [H, W, 3] and boxes float32 [n, 4], n at least 1.

    It gives points float32 [n, K, 2] in source pixels and, where the model says it, sigma float32 [n, K].

    Args:
        model: `inference.folded_model`'s.
        weights: of it.
        protocol: of the crops.
        image_size: S.
    """

    def run(image: UInt8[jax.Array, "H W 3"], boxes: Float[jax.Array, "n 4"]) -> tuple[Float[jax.Array, "n ..."], ...]:
        extent = jnp.array([image.shape[1], image.shape[0]], jnp.float32)
        windows = windows_around(protocol, boxes, extent)
        crops = crop_image(image, windows, image_size, protocol.padded)
        points, sigma = source_points(model, weights, crops, windows)
        return (points,) if sigma is None else (points, sigma)

    return run


def deserialise(content: bytes) -> Callable[..., Any]:
    """The program, compiled at the first call with each shape of what it is given."""
    return jax.jit(export.deserialize(bytearray(content)).call)
