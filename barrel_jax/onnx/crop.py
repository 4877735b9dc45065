# SPDX-License-Identifier: Apache-2.0
"""The crop as ONNX operators, so that a graph takes an image and boxes: any numbers of both pixels and faces.

It is input/device_crop.py's, with the letters of that file. A crop's pixel reads few pixels of a line: they are
gathered, so that a large picture costs what its face has of it. Places are of float64: where a window begins on a
pixel's edge, a rounding error would take one pixel more, and move the grid that pixels are averaged on.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto

from barrel_jax.faces.crop_windows import CropProtocol
from barrel_jax.input.device_crop import largest_region
from barrel_jax.onnx.graph import Graph


def write_windows(graph: Graph, boxes: str, extent: str, protocol: CropProtocol) -> str:
    """The windows float64 [n, 4] of boxes float32 [n, 4] in an image of `extent` w, h (float64 [2]): `crop_window`."""
    boxes = graph("Cast", boxes, to=TensorProto.DOUBLE)
    corner, sides = _part(graph, boxes, 0, 2, 1), _part(graph, boxes, 2, 4, 1)
    left, top, right, bottom = protocol.margins
    low = graph("Sub", corner, graph("Mul", sides, _double([left, top])))
    high = graph("Add", graph("Add", corner, sides), graph("Mul", sides, _double([right, bottom])))
    if protocol.square:
        centre = graph("Div", graph("Add", low, high), _double(2))
        half = graph("Div", graph("ReduceMax", graph("Sub", high, low), axes=[1], keepdims=1), _double(2))
        low, high = graph("Sub", centre, half), graph("Add", centre, half)
    if not protocol.padded:
        low = graph("Min", graph("Max", low, _double(0)), graph("Sub", extent, _double(1)))
        high = graph("Min", graph("Max", high, graph("Add", low, _double(1))), extent)
    return graph("Concat", low, graph("Sub", high, low), axis=1)


def write_crops(graph: Graph, image: str, extent: str, windows: str, size: int, padded: bool) -> str:
    """Windows float64 [n, 4] of an image uint8 [H, W, 3] as crops float32 [n, 3, S, S] in grey levels, not rounded.

    Args: `extent` is W, H as float64 [2]; `size` is S; `padded` says whether black lies beyond the image.
    """

    def one(graph: Graph, number: str) -> str:
        window = graph("Gather", windows, number)
        start, width = _part(graph, window, 0, 2), _part(graph, window, 2, 4)
        # `take_region`: the pixels that are read, and a large region shrunk, in grey levels.
        shrink = graph("Max", graph("Div", width, _double(size)), _double(1))
        margin = graph("Add", graph("Ceil", shrink), _double(1))
        low = graph("Max", graph("Floor", graph("Sub", start, margin)), _double(0))
        low = graph("Min", low, graph("Sub", extent, _double(1)))
        high = graph("Ceil", graph("Add", graph("Add", start, width), margin))
        high = graph("Min", graph("Max", high, graph("Add", low, _double(1))), extent)
        first, last = (graph("Cast", corner, to=TensorProto.INT64) for corner in (low, high))
        region = graph("Slice", image, _swapped(graph, first), _swapped(graph, last), np.array([0, 1]))
        taken = graph("Sub", high, low)
        times = graph("Ceil", graph("Div", taken, _double(largest_region(size))))
        smaller = graph("Ceil", graph("Div", taken, times))
        scale = graph("Div", smaller, taken)
        for axis in (1, 0):
            region = _shrunk(graph, region, _part(graph, taken, axis), _part(graph, smaller, axis))
        # OpenCV rounds halves to even numbers, and up where it halves both sides.
        halved = graph("Cast", graph("Equal", taken, graph("Mul", smaller, _double(2))), to=TensorProto.INT32)
        halved = graph("Cast", graph("ReduceMin", halved, keepdims=0), to=TensorProto.BOOL)
        up = graph("Floor", graph("Add", region, np.float32(0.5)))
        region = graph("Where", halved, up, graph("Round", region))
        # `crop_regions`.
        inside, width = graph("Mul", graph("Sub", start, low), scale), graph("Mul", width, scale)
        for axis in (1, 0):
            start, sides, length = (_part(graph, value, axis) for value in (inside, width, smaller))
            region = _sampled(graph, region, start, sides, length, size, padded)
        return graph("Transpose", region, perm=(2, 0, 1))

    count = graph("Squeeze", _part(graph, graph("Shape", windows), 0, 1))
    return graph.each(count, one, (3, size, size))


def _shrunk(graph: Graph, lines: str, length: str, smaller: str) -> str:
    """The first axis of `lines` [L, M, 3] shrunk to `smaller` pixels by area averaging, behind: [M, smaller, 3].

    Args: `length`, L, and `smaller` are float64 [1].
    """
    number = graph("Range", _double(0), graph("Squeeze", smaller), _double(1))
    number = graph("Unsqueeze", number, np.array([1]))
    scale = graph("Div", smaller, length)
    begin = graph("Floor", graph("Div", number, scale))
    more = graph("Cast", graph("Less", scale, _double(1)), to=TensorProto.DOUBLE)
    pixel = graph("Add", begin, _steps(graph, graph("Add", graph("Ceil", graph("Div", _double(1), scale)), more)))
    return _read(graph, lines, pixel, _share(graph, pixel, number, scale, length), length)


def _sampled(graph: Graph, lines: str, start: str, width: str, length: str, size: int, padded: bool) -> str:
    """`size` pixels of a window along the first axis of `lines` [L, M, 3], behind: float32 [M, S, 3].

    Args: `start` and `width` of the window along it, and `length`, L, are float64 [1].
    """
    shrink = graph("Min", graph("Div", _double(size), width), _double(1))
    smaller = graph("Max", graph("Round", graph("Mul", length, shrink)), _double(1))
    scale = graph("Div", smaller, length)
    centres = (np.arange(size)[:, None] + 0.5) / size  # [S, 1], against the pixels that are read
    at = graph("Add", start, graph("Mul", width, centres))
    at = graph("Sub", graph("Mul", at, scale), _double(0.5))
    first = graph("Floor", at)
    part = graph("Sub", at, first)
    # Two pixels of the shrunk line lie on 2 / scale pixels, which begin within one.
    begin = graph("Floor", graph("Div", _kept(graph, first, smaller), scale))
    reads = graph("Add", graph("Ceil", graph("Div", _double(2), scale)), _double(1))
    pixel = graph("Add", begin, _steps(graph, reads))  # [S, T]

    def averaged(number: str) -> str:
        kept = _kept(graph, number, smaller)
        share = _share(graph, pixel, kept, scale, length)
        if padded:
            share = graph("Mul", share, graph("Cast", graph("Equal", kept, number), to=TensorProto.DOUBLE))
        return share

    near = graph("Mul", graph("Sub", _double(1), part), averaged(first))
    far = graph("Mul", part, averaged(graph("Add", first, _double(1))))
    return _read(graph, lines, pixel, graph("Add", near, far), length)


def _share(graph: Graph, pixel: str, number: str, scale: str, length: str) -> str:
    """What each pixel [N, T] of a line gives to pixel `number` [N, 1] of the shrunk line."""
    low = graph("Div", number, scale)
    high = graph("Min", graph("Div", graph("Add", number, _double(1)), scale), length)
    top = graph("Min", graph("Add", pixel, _double(1)), high)
    return graph("Mul", graph("Max", graph("Sub", top, graph("Max", pixel, low)), _double(0)), scale)


def _read(graph: Graph, lines: str, pixel: str, weights: str, length: str) -> str:
    """The sums of lines [L, M, 3] that `weights` [N, T] of pixels [N, T] make: float32 [M, N, 3]."""
    index = graph("Cast", graph("Min", pixel, graph("Sub", length, _double(1))), to=TensorProto.INT64)
    weights = graph("Cast", graph("Unsqueeze", weights, np.array([1])), to=TensorProto.FLOAT)
    columns = graph("Shape", lines, start=1, end=2)
    # [L, 3 M] -> [N, T, 3 M], times [N, 1, T].
    read = graph("Gather", graph("Flatten", lines, axis=1), index, axis=0)
    summed = graph("MatMul", weights, graph("Cast", read, to=TensorProto.FLOAT))
    shape = graph("Concat", np.array([-1]), columns, np.array([3]), axis=0)
    return graph("Transpose", graph("Reshape", summed, shape), perm=(1, 0, 2))


def _steps(graph: Graph, count: str) -> str:
    return graph("Range", _double(0), graph("Squeeze", count), _double(1))


def _kept(graph: Graph, number: str, smaller: str) -> str:
    return graph("Min", graph("Max", number, _double(0)), graph("Sub", smaller, _double(1)))


def _part(graph: Graph, x: str, first: int, last: int | None = None, axis: int = 0) -> str:
    return graph("Slice", x, np.array([first]), np.array([last or first + 1]), np.array([axis]))


def _swapped(graph: Graph, pair: str) -> str:
    return graph("Gather", pair, np.array([1, 0]))


def _double(value: float | Sequence[float]) -> Any:
    return np.array(value, np.float64)
