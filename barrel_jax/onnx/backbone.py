# SPDX-License-Identifier: Apache-2.0
"""The backbones of models/ in ONNX, channels first, from folded weights whose names say what there is."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from barrel_jax.backbones import BACKBONES, Backbone, HRNetPlan, ResNetPlan
from barrel_jax.onnx.graph import Graph

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


def write_backbone(graph: Graph, images: str, params: Params, backbone: str, stride: int) -> str:
    """Normalised images [B, 3, H, W] -> features [B, C, ceil(H / stride), ceil(W / stride)] of a backbone by name."""
    plan = BACKBONES[backbone]
    return WRITERS[type(plan)](graph, images, params, plan, stride)


def _resnet(graph: Graph, images: str, params: Params, plan: ResNetPlan, output_stride: int) -> str:
    """models/resnet.py."""
    x = graph("Relu", convolution(graph, images, params["stem"]["conv"], 2))
    x = graph("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for stage in plan.stages(output_stride):
        for index in range(stage.blocks):
            stride_and_dilation = (1, stage.dilation) if index else (stage.stride, stage.first_dilation)
            x = _block(graph, x, params[f"{stage.name}_{index}"], *stride_and_dilation)
    return x


def _hrnet(graph: Graph, images: str, params: Params, plan: HRNetPlan, output_stride: int) -> str:
    """models/hrnet.py."""

    def conv(x: str, name: str, stride: int = 1) -> str:
        return convolution(graph, x, params[name]["conv"], stride)

    def raised(x: str, factor: int, **how: str) -> str:
        return graph("Resize", x, "", np.array([1, 1, factor, factor], np.float32), **how)

    x = graph("Relu", conv(graph("Relu", conv(images, "stem1", 2)), "stem2", 2))
    first, *branched = plan.stages(output_stride)
    for index in range(first.blocks):
        x = _block(graph, x, params[f"{first.name}_{index}"])
    branches, lowest = [graph("Relu", conv(x, "transition1_0"))], x
    for stage in branched:
        branches.append(graph("Relu", conv(lowest, f"{stage.transition}_{len(branches)}_0", 2)))
        for index in range(stage.modules):
            branches = _module(graph, branches, params[f"{stage.name}_{index}"], plan.blocks, raised)
        lowest = branches[-1]
    half_pixel = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    grown = [raised(y, 2**level, **half_pixel) for level, y in enumerate(branches[1:], start=1)]
    return graph("Concat", branches[0], *grown, axis=1)


def _module(graph: Graph, branches: list[str], params: Params, blocks: int, raised: Any) -> list[str]:
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    branches = list(branches)
    for i in range(len(branches)):
        for index in range(blocks):
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


WRITERS: dict[type[Backbone], Callable[..., str]] = {ResNetPlan: _resnet, HRNetPlan: _hrnet}
