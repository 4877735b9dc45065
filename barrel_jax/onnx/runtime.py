# SPDX-License-Identifier: Apache-2.0
"""The network as an ONNX file, and ONNX Runtime to run one. Both come with `barrel-jax[export]`."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from barrel_jax.config import ModelConfig
from barrel_jax.faces.crop_windows import CropProtocol
from barrel_jax.provenance import usable_cores

NAME, IMAGE_NAME = "model.onnx", "model-image.onnx"
INSTALL = "ONNX needs onnx and onnxruntime: python -m pip install 'barrel-jax[export]'"


def serialise(
    config: ModelConfig,
    num_landmarks: int,
    image_size: int,
    weights: Any,
    facts: dict[str, str] | None = None,
    protocol: CropProtocol | None = None,
) -> bytes:
    """The file's content, float32.

    Args:
        config: of the model.
        num_landmarks: K.
        image_size: S.
        weights: `inference.inference_weights` of float32.
        facts: kept in the file's metadata.
        protocol: of the crops: the network takes an image and boxes then (`network.write_image_network`).

    Raises:
        ValueError: onnx is not installed.
    """
    try:
        from barrel_jax.onnx.network import write_image_network, write_network
    except ModuleNotFoundError as error:
        raise ValueError(f"{INSTALL} ({error})") from error
    params = jax.device_get(weights)["params"]
    if protocol is None:
        model = write_network(config, num_landmarks, image_size, params, facts or {})
    else:
        model = write_image_network(config, num_landmarks, image_size, params, protocol, facts or {})
    return model.SerializeToString()


def deserialise(content: bytes, threads: int | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """Images to points, by the network in a file. Arguments and errors are those of `open_network`."""
    network = open_network(content, threads)
    return lambda images: network(images)[0]


def open_network(content: bytes, threads: int | None = None) -> Callable[..., list[np.ndarray]]:
    """The network on the CPU, in ONNX Runtime with `threads` threads (all cores by default).

    The function takes images, or an image and boxes, and returns points and, where the model says it, sigma.

    Raises:
        ValueError: onnx or onnxruntime is not installed, or the content is no network that `serialise` writes: it is
          broken, takes numbers from other files, or has operators that are not ONNX's own.
    """
    try:
        import onnx
        import onnxruntime
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
        from onnxruntime.capi import onnxruntime_pybind11_state as states
    except ModuleNotFoundError as error:
        raise ValueError(f"{INSTALL} ({error})") from error
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise ValueError(f"this is no ONNX network ({error})") from error
    if strange := _strange(model):
        raise ValueError(f"this is no network of an export: {strange}")
    del model
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or usable_cores()
    options.log_severity_level = 3  # errors
    refusals = (states.Fail, states.InvalidGraph, states.InvalidProtobuf, states.InvalidArgument, states.NotImplemented)
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except refusals as error:
        raise ValueError(f"this is no network of an export: ONNX Runtime does not take it ({error})") from error
    names = [argument.name for argument in session.get_inputs()]
    return lambda *values: session.run(None, dict(zip(names, values, strict=True)))


def _strange(message: Any) -> str:
    """What of a network would reach beyond its own bytes; '' for nothing.

    ONNX lets any tensor, wherever in a graph it stands, name a file that its numbers are read from.
    """
    kind = message.DESCRIPTOR.name
    if kind == "TensorProto":
        return "a tensor's numbers are in another file" if message.data_location or message.external_data else ""
    if kind == "NodeProto" and message.domain not in ("", "ai.onnx"):
        return f"it has an operator {message.op_type!r} of {message.domain!r}"
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for part in value if not hasattr(value, "DESCRIPTOR") else (value,):
                if found := _strange(part):
                    return found
    return ""
