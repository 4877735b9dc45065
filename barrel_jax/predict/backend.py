# SPDX-License-Identifier: Apache-2.0
"""Backends of a predictor: XLA anywhere, or ONNX Runtime on a CPU, where it is faster (docs/speed.md)."""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.util import find_spec

import jax
import numpy as np
from jaxtyping import Float, PyTree, UInt8

from barrel_jax.config import Config, ModelConfig
from barrel_jax.faces.crop_windows import protocol_of
from barrel_jax.models.build import build_model
from barrel_jax.models.inference import folded_model, inference_weights
from barrel_jax.onnx import runtime

BACKENDS = ("auto", "jax", "onnxruntime")
MOST_FACES = 64  # in one call of the network


def choose(backend: str, config: ModelConfig) -> str:
    """'jax' or 'onnxruntime'; 'auto' is the fastest that is installed for this device, which is said once.

    Raises:
        ValueError: an unknown backend, or ONNX Runtime, whose network is float32, for another compute type.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend={backend!r} is none of {', '.join(BACKENDS)}")
    whole = build_model(config, 1).dtype == jax.numpy.float32
    if backend == "onnxruntime" and not whole:
        raise ValueError("backend='onnxruntime' computes in float32: give dtype='float32', or backend='jax'")
    if backend != "auto":
        return backend
    if jax.default_backend() != "cpu" or not whole:
        return "jax"
    if find_spec("onnx") and find_spec("onnxruntime"):
        _say("points by ONNX Runtime, which is faster on a CPU than XLA; --backend jax or backend='jax' takes XLA")
        return "onnxruntime"
    _say(f"points by XLA; on a CPU ONNX Runtime is faster ({runtime.INSTALL})")
    return "jax"


@lru_cache(maxsize=len(BACKENDS))
def _say(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


def onnx_network(
    config: Config, num_landmarks: int, variables: Mapping[str, PyTree]
) -> Callable[[UInt8[np.ndarray, "H W 3"], Float[np.ndarray, "n 4"]], Float[np.ndarray, "n K C"]]:
    """The network with its crop in ONNX Runtime.

    Args:
        config: of the run.
        num_landmarks: K.
        variables: of its model, {params, batch_stats}.

    Returns:
        A function of an image uint8 [H, W, 3] and boxes [n, 4] in source pixels: float32 [n, K, C], x, y and, where
        the model says it, sigma.

    Raises:
        ValueError: onnx or onnxruntime is not installed.
    """
    model = folded_model(dataclasses.replace(config.model, dtype="float32"), num_landmarks)
    weights = inference_weights(model, variables)
    protocol = protocol_of(config.data.crop, config.data.dataset)
    size = config.data.image_size
    content = runtime.serialise(config.model, num_landmarks, size, weights, protocol=protocol)
    network = runtime.open_network(content)

    def run(image: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n K C"]:
        points, *sigma = network(np.ascontiguousarray(image), boxes.astype(np.float32))
        return np.concatenate([points, *(values[..., None] for values in sigma)], axis=-1)

    def in_parts(image: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n K C"]:
        starts = range(0, max(len(boxes), 1), MOST_FACES)
        return np.concatenate([run(image, boxes[start : start + MOST_FACES]) for start in starts])

    return in_parts
