# SPDX-License-Identifier: Apache-2.0
"""The backbones of models/ in ONNX, channels first, from folded weights whose names say what there is."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from barrel_jax.export.onnx.graph import Graph
from barrel_jax.models.hrnet import BLOCKS, MODULES
from barrel_jax.models.resnet import LAYOUTS

Params = Mapping[str, Any]


def convolution(graph: Graph, x: str, params: Params, stride: int = 1, dilation: int = 1) -> str:
    """A convolution with a bias, [B, C, H, W] -> [B, features, ceil(H / stride), ceil(W / stride)].

    Args: `params` {kernel [H, W, inputs, features], bias [features]}.
    """
    kernel = params["kernel"].transpose(3, 2, 0, 1)
    pad = dilation * (kernel.shape[-1] // 2)
    where = {"strides": [stride] * 2, "dilations": [dilation] * 2, "pads": [pad] * 4}
    return graph("Conv", x, kernel, params["bias"], kernel_shape=kernel.shape[2:], **where)


def _block(graph: Graph, x: str, params: Params, stride: int = 1, dilation: int = 1) -> str:
    # A bottleneck's stride is that of its 3x3 convolution, which is the second of three.
    if "conv3" in params:
        y = graph("Relu", convolution(graph, x, params["conv1"]["conv"]))
        y = graph("Relu", convolution(graph, y, params["conv2"]["conv"], stride, dilation))
        y = convolution(graph, y, params["conv3"]["conv"])
    else:
        y = graph("Relu", convolution(graph, x, params["conv1"]["conv"], stride, dilation))
        y = convolution(graph, y, params["conv2"]["conv"], dilation=dilation)
    if "downsample" in params:
        x = convolution(graph, x, params["downsample"]["conv"], stride)
    return graph("Relu", graph("Add", x, y))


def resnet(graph: Graph, images: str, params: Params, layout: str, output_stride: int) -> str:
    """models/resnet.py: normalised images [B, 3, H, W] -> [B, C, ceil(H / stride), ceil(W / stride)]."""
    x = graph("Relu", convolution(graph, images, params["stem"]["conv"], 2))
    x = graph("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    reached, dilation = 4, 1
    for stage, count in enumerate(LAYOUTS[layout][0]):
        stride, first = (1 if stage == 0 else 2), dilation
        if stride == 2 and reached == output_stride:
            stride, dilation = 1, dilation * 2
        reached *= stride
        for index in range(count):
            given = (1, dilation) if index else (stride, first)
            x = _block(graph, x, params[f"layer{stage + 1}_{index}"], *given)
    return x


def hrnet(graph: Graph, images: str, params: Params) -> str:
    """models/hrnet.py: normalised images [B, 3, H, W] -> [B, 270, H / 4, W / 4]."""

    def conv(x: str, name: str, stride: int = 1) -> str:
        return convolution(graph, x, params[name]["conv"], stride)

    def raised(x: str, factor: int, **how: str) -> str:
        return graph("Resize", x, "", np.array([1, 1, factor, factor], np.float32), **how)

    x = graph("Relu", conv(graph("Relu", conv(images, "stem1", 2)), "stem2", 2))
    for index in range(BLOCKS):
        x = _block(graph, x, params[f"layer1_{index}"])
    branches = [graph("Relu", conv(x, "transition1_0"))]
    for stage, modules in enumerate(MODULES, start=2):
        lowest = x if stage == 2 else branches[-1]
        branches.append(graph("Relu", conv(lowest, f"transition{stage - 1}_{stage - 1}_0", 2)))
        for index in range(modules):
            branches = _module(graph, branches, params[f"stage{stage}_{index}"], raised)
    half_pixel = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    grown = [raised(y, 2**level, **half_pixel) for level, y in enumerate(branches[1:], start=1)]
    return graph("Concat", branches[0], *grown, axis=1)


def _module(graph: Graph, branches: list[str], params: Params, raised: Any) -> list[str]:
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    branches = list(branches)
    for i in range(len(branches)):
        for index in range(BLOCKS):
            branches[i] = _block(graph, branches[i], params[f"branch{i}_{index}"])

    def brought(x: str, j: int, i: int) -> str:
        if j > i:
            x = raised(convolution(graph, x, params[f"fuse{i}_{j}"]["conv"]), 2 ** (j - i), **nearest)
        for step in range(i - j):
            x = convolution(graph, x, params[f"fuse{i}_{j}_{step}"]["conv"], 2)
            x = x if step == i - j - 1 else graph("Relu", x)
        return x

    sums = []
    for i in range(len(branches)):
        total = brought(branches[0], 0, i)
        for j in range(1, len(branches)):
            total = graph("Add", total, brought(branches[j], j, i))
        sums.append(graph("Relu", total))
    return sums
