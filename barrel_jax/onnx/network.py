# SPDX-License-Identifier: Apache-2.0
"""BarrelNet written as an ONNX graph, operator by operator, from its folded weights.

Why not jax2onnx, which converts the traced program: its latest release, 0.17.1, asks for orbax-checkpoint < 0.11.37,
and what it and 0.12.5, which does not, make of BarrelNet-18 takes 1.5 times as long in ONNX Runtime (104 ms a face of
256 px against 72 ms, in turns on two shared cores; 65 ms against 38 ms at best). It is the NHWC program as traced:
395 nodes against 124; the pooling as maxima of slices behind an 8 ms transpose, where one MaxPool takes 0.2 ms;
QAMem as an Einsum of 15 ms, where a MatMul takes 3 ms; lengths worked out at run time.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from barrel_jax.config import ModelConfig
from barrel_jax.faces.crop_windows import CropProtocol
from barrel_jax.models.barrelnet import MEAN, STD
from barrel_jax.models.norms import EPSILON
from barrel_jax.models.positions import sine_positions
from barrel_jax.models.uncertainty import LEAST, MOST, START
from barrel_jax.onnx.backbone import convolution, write_backbone
from barrel_jax.onnx.crop import write_crops, write_windows
from barrel_jax.onnx.graph import Graph, Port

Params = Mapping[str, Any]


def write_network(
    config: ModelConfig, num_landmarks: int, image_size: int, params: Params, facts: dict[str, str]
) -> onnx.ModelProto:
    """The network of a config: `images` uint8 [B, S, S, 3] to `points` float32 [B, K, 2] in crop units, any B.

    A model with uncertainty gives `sigma` float32 [B, K] too, the standard deviation of a point's error along an axis.

    Args:
        config: of the model; whatever its `dtype` is, the graph is of float32.
        num_landmarks: K.
        image_size: S.
        params: the folded weights (`folding.fold`), NumPy leaves.
        facts: kept in the file's metadata.
    """
    graph = Graph()
    crops = graph("Cast", graph("Transpose", "images", perm=(0, 3, 1, 2)), to=onnx.TensorProto.FLOAT)
    nodes = _found(graph, crops, config, num_landmarks, image_size, params)
    inputs = {"images": Port(onnx.TensorProto.UINT8, ["B", image_size, image_size, 3])}
    return graph.model(inputs, _outputs(nodes, "B", num_landmarks), nodes, facts)


def write_image_network(
    config: ModelConfig,
    num_landmarks: int,
    image_size: int,
    params: Params,
    protocol: CropProtocol,
    facts: dict[str, str],
) -> onnx.ModelProto:
    """The network with its crop: `image` uint8 [H, W, 3] and `boxes` float32 [n, 4] to `points` float32 [n, K, 2].

    Boxes are x, y, w, h in source pixels, edge coordinates; points are in source pixels, the centre of the top-left one
    is (0, 0), and so is `sigma` float32 [n, K]. Any n, 0 too.

    Args: `protocol` lays the crop's window around a box; the others are `write_network`'s.
    """
    graph = Graph()
    size = graph("Cast", graph("Shape", "image"), to=onnx.TensorProto.DOUBLE)
    extent = graph("Gather", size, np.array([1, 0]))
    windows = write_windows(graph, "boxes", extent, protocol)
    crops = write_crops(graph, "image", extent, windows, image_size, protocol.padded)
    found = _found(graph, crops, config, num_landmarks, image_size, params)
    windows = graph("Cast", windows, to=onnx.TensorProto.FLOAT)
    corners, sides = (graph("Slice", windows, np.array([a]), np.array([a + 2]), np.array([1])) for a in (0, 2))
    nodes = {"points": graph("Sub", _placed(graph, found["points"], corners, sides), np.float32(0.5))}
    if "sigma" in found:
        square = graph("ReduceMean", graph("Mul", sides, sides), axes=[1], keepdims=1)
        nodes["sigma"] = graph("Mul", found["sigma"], graph("Sqrt", square))
    inputs = {
        "image": Port(onnx.TensorProto.UINT8, ["H", "W", 3]),
        "boxes": Port(onnx.TensorProto.FLOAT, ["n", 4]),
    }
    return graph.model(inputs, _outputs(nodes, "n", num_landmarks), nodes, facts)


def _placed(graph: Graph, points: str, corners: str, sides: str) -> str:
    # Of crop units [n, K, 2], in edge coordinates of the image.
    corners, sides = (_reshaped(graph, pair, 0, 1, 2) for pair in (corners, sides))
    return graph("Add", corners, graph("Mul", sides, points))


def _outputs(nodes: Mapping[str, str], count: str, num_landmarks: int) -> dict[str, Port]:
    ports: dict[str, list[int | str]] = {"points": [count, num_landmarks, 2], "sigma": [count, num_landmarks]}
    return {name: Port(onnx.TensorProto.FLOAT, ports[name]) for name in nodes}


def _found(
    graph: Graph, crops: str, config: ModelConfig, num_landmarks: int, image_size: int, params: Params
) -> dict[str, str]:
    """The points of crops [B, 3, S, S] in grey levels, and sigma where the model says it, both in crop units."""
    points, queries = _points(graph, crops, config, num_landmarks, image_size, params)
    if not config.uncertainty:
        return {"points": points}
    layers = params["scale"]
    last = _dense(graph, graph("Relu", _dense(graph, queries, layers["layer1"])), layers["layer2"])
    log_scale = graph("Clip", graph("Add", last, np.float32(START)), np.float32(LEAST), np.float32(MOST))
    # The standard deviation of a Laplace distribution of scale b is sqrt(2) b.
    sigma = graph("Mul", graph("Exp", log_scale), np.float32(2**0.5))
    return {"points": points, "sigma": _reshaped(graph, sigma, 0, num_landmarks)}


def _points(
    graph: Graph, x: str, config: ModelConfig, num_landmarks: int, image_size: int, params: Params
) -> tuple[str, str]:
    # The points, and the queries that they were read from ('' without a decoder).
    mean, std = (np.array(value, np.float32)[:, None, None] for value in (MEAN, STD))
    x = graph("Mul", graph("Sub", x, 255 * mean), 1 / (255 * std))
    features = write_backbone(graph, x, params["backbone"], config.backbone, config.stride)
    if config.decoder_layers == 0:
        pooled = graph("Flatten", graph("GlobalAveragePool", features))
        return _reshaped(graph, _dense(graph, pooled, params["regression"]), 0, num_landmarks, 2), ""

    side = -(-image_size // config.stride)
    memory = convolution(graph, features, params["projection"])
    memory = graph("Transpose", _reshaped(graph, memory, 0, config.width, side * side), perm=(0, 2, 1))
    positions = np.asarray(sine_positions(side, side, config.width))
    for index in range(config.encoder_layers):
        memory = _encoder_layer(graph, memory, positions, params[f"encoder{index}"], config.heads)

    if config.dqinit:
        pooled = graph("ReduceMean", memory, axes=[1], keepdims=0)
        if config.dqinit_rank:
            pooled = graph("MatMul", pooled, params["dqinit"]["reduce"]["kernel"])
        queries = _reshaped(graph, _dense(graph, pooled, params["dqinit"]["dense"]), 0, num_landmarks, config.width)
    else:
        # For any batch: it is the memory that makes the cross-attention's output [B, K, D].
        queries = graph("Identity", np.zeros((1, num_landmarks, config.width), np.float32))
    query_positions = params["query_positions"]["embedding"]
    located_memory = graph("Add", memory, positions)
    look = query_positions
    if config.reference_points:
        origin = _head(graph, _norm(graph, queries, params["decoder_norm"]), params["head"])
        look = graph("Add", query_positions, _reference(graph, origin, params["reference"], side, config.width))
    for index in range(config.decoder_layers):
        layer = params[f"decoder{index}"]
        queries = _decoder_layer(graph, queries, query_positions, look, memory, located_memory, layer, config.heads)
    found = _norm(graph, queries, params["decoder_norm"])
    if config.reference_points:
        return graph("Sigmoid", graph("Add", origin, _head(graph, found, params["offset_head"]))), found
    return graph("Sigmoid", _head(graph, found, params["head"])), found


def _head(graph: Graph, x: str, params: Params) -> str:
    for name in ("layer1", "layer2"):
        x = graph("Relu", _dense(graph, x, params[name]))
    return _dense(graph, x, params["layer3"])


def _reference(graph: Graph, origin: str, params: Params, side: int, width: int) -> str:
    """`ReferencePositions` of the points whose logits are given: sines of their coordinates through two layers."""
    half = width // 2
    # The encoding of DETR, [2, D]: the first half of the channels is of y, the second of x, each channel an angle and
    # a sine or, a quarter of a turn later, a cosine.
    rate = 2 * np.pi / 10000.0 ** (2 * (np.arange(half) // 2) / half)
    rates = np.zeros((2, width), np.float32)
    rates[1, :half], rates[0, half:] = rate, rate
    quarter = np.tile(np.array([0, np.pi / 2], np.float32), half)
    shifted = graph("Add", graph("Sigmoid", origin), np.float32(0.5 / side))
    x = graph("Sin", graph("Add", graph("MatMul", shifted, rates), quarter))
    return _dense(graph, graph("Relu", _dense(graph, x, params["layer1"])), params["layer2"])


def _encoder_layer(graph: Graph, memory: str, positions: np.ndarray, params: Params, heads: int) -> str:
    located = graph("Add", memory, positions)
    attended = _attention(graph, located, located, memory, params["self_attention"], heads)
    memory = _norm(graph, graph("Add", memory, attended), params["norm1"])
    return _norm(graph, graph("Add", memory, _feedforward(graph, memory, params)), params["norm2"])


def _decoder_layer(
    graph: Graph,
    queries: str,
    positions: np.ndarray,
    look: Any,
    memory: str,
    located_memory: str,
    params: Params,
    heads: int,
) -> str:
    located = graph("Add", queries, positions)
    attended = _attention(graph, located, located, queries, params["self_attention"], heads)
    queries = _norm(graph, graph("Add", queries, attended), params["norm1"])
    located = graph("Add", queries, look)
    extracted = _attention(graph, located, located_memory, memory, params["cross_attention"], heads)
    if "qamem" in params:
        extracted = _qamem(graph, extracted, params["qamem"])
    queries = _norm(graph, graph("Add", queries, extracted), params["norm2"])
    return _norm(graph, graph("Add", queries, _feedforward(graph, queries, params)), params["norm3"])


def _qamem(graph: Graph, extracted: str, params: Params) -> str:
    # One product for each landmark: [K, B, D] x [K, D, D].
    x = graph("Transpose", extracted, perm=(1, 0, 2))
    for index in range(1, 1 + sum(name.startswith("bias") for name in params)):
        x = graph("Relu", x) if index > 1 else x
        if f"u{index}" in params:
            back = np.ascontiguousarray(params[f"v{index}"].transpose(0, 2, 1))
            moved = graph("Add", x, graph("MatMul", graph("MatMul", x, params[f"u{index}"]), back))
        else:
            moved = graph("MatMul", x, params[f"kernel{index}"])
        x = graph("Add", moved, params[f"bias{index}"][:, None])
    return graph("Transpose", x, perm=(1, 0, 2))


def _attention(graph: Graph, query: str, key: str, value: str, params: Params, heads: int) -> str:
    width = params["out"]["kernel"].shape[0]

    def project(x: str, name: str, perm: tuple[int, ...], scale: float = 1.0) -> str:
        weights = {leaf: array * np.float32(scale) for leaf, array in params[name].items()}
        return graph("Transpose", _reshaped(graph, _dense(graph, x, weights), 0, 0, heads, width // heads), perm=perm)

    # The scores' scale is in the query's weights.
    q = project(query, "query", (0, 2, 1, 3), (width // heads) ** -0.5)
    scores = graph("MatMul", q, project(key, "key", (0, 2, 3, 1)))
    extracted = graph("MatMul", graph("Softmax", scores, axis=-1), project(value, "value", (0, 2, 1, 3)))
    joined = _reshaped(graph, graph("Transpose", extracted, perm=(0, 2, 1, 3)), 0, 0, width)
    return _dense(graph, joined, params["out"])


def _feedforward(graph: Graph, x: str, params: Params) -> str:
    layers = params["feedforward"]
    return _dense(graph, graph("Relu", _dense(graph, x, layers["linear1"])), layers["linear2"])


def _dense(graph: Graph, x: str, params: Params) -> str:
    return graph("Add", graph("MatMul", x, params["kernel"]), params["bias"])


def _norm(graph: Graph, x: str, params: Params) -> str:
    return graph("LayerNormalization", x, params["scale"], params["bias"], axis=-1, epsilon=EPSILON)


def _reshaped(graph: Graph, x: str, *shape: int) -> str:
    # 0 keeps a length. None is left to be worked out, which a batch of no images does not allow.
    return graph("Reshape", x, np.array(shape, np.int64))
