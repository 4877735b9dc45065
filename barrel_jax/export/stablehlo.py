# SPDX-License-Identifier: Apache-2.0
"""The program as StableHLO (`jax.export`), with its weights, for CPUs, CUDA and TPUs and any batch."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import export

NAME = "model.stablehlo"
PLATFORMS = ("cpu", "cuda", "tpu")


def serialise(predict: Callable[[Any, jax.Array], jax.Array], weights: Any, image_size: int) -> bytes:
    """The file's content.

    Args:
      predict: `inference.make_inference`'s, weights and images uint8 [B, S, S, 3] -> points [B, K, 2].
      weights: constants of the program.
      image_size: S.
    """
    (batch,) = export.symbolic_shape("B")
    images = jax.ShapeDtypeStruct((batch, image_size, image_size, 3), jnp.uint8)
    program = export.export(jax.jit(lambda images: predict(weights, images)), platforms=PLATFORMS)(images)
    return bytes(program.serialize())


def deserialise(content: bytes) -> Callable[[jax.Array], jax.Array]:
    """The program, compiled at the first call with each B."""
    return jax.jit(export.deserialize(bytearray(content)).call)
