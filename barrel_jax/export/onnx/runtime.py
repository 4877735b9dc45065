# SPDX-License-Identifier: Apache-2.0
"""The network as an ONNX file, and ONNX Runtime to run one. Both come with `barrel-jax[export]`."""

import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from barrel_jax.config import ModelConfig

NAME = "model.onnx"
INSTALL = "ONNX needs onnx and onnxruntime: python -m pip install 'barrel-jax[export]'"


def serialise(
    config: ModelConfig, num_landmarks: int, image_size: int, weights: Any, facts: dict[str, str] | None = None
) -> bytes:
    """The file's content, float32.

    Args:
      config: of the model.
      num_landmarks: K.
      image_size: S.
      weights: `inference.make_inference`'s of float32.
      facts: kept in the file's metadata.

    Raises:
      ValueError: onnx is not installed.
    """
    try:
        from barrel_jax.export.onnx.network import write_network
    except ModuleNotFoundError as error:
        raise ValueError(f"{INSTALL} ({error})") from error
    params = jax.device_get(weights)["params"]
    return write_network(config, num_landmarks, image_size, params, facts or {}).SerializeToString()


def deserialise(content: bytes, threads: int | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """The network on the CPU, in ONNX Runtime with `threads` threads (all cores by default).

    Raises:
      ValueError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ValueError(f"{INSTALL} ({error})") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["points"], {"images": images})[0]
