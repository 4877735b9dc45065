# SPDX-License-Identifier: Apache-2.0
"""An ONNX graph that is written node by node."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# LayerNormalization is an operator since 17; the intermediate representation that came with it.
OPSET, IR = 17, 8


class Graph:
    """Nodes and constants; calling it adds a node: `graph("Add", x, bias)` is the name of the sum."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def __call__(self, op: str, *inputs: str | Any, **attributes: Any) -> str:
        """Adds a node with one output and returns that output's name; inputs that are arrays become constants."""
        name = f"{op}_{len(self._nodes)}"
        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        self._nodes.append(helper.make_node(op, names, [name], name=name, **attributes))
        return name

    def _constant(self, value: Any) -> str:
        name = f"constant_{len(self._constants)}"
        # C order, since from_array takes the bytes as they lie.
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def model(self, image_size: int, num_landmarks: int, last: str, facts: dict[str, str]) -> onnx.ModelProto:
        """The whole, checked: `images` uint8 [B, S, S, 3] to `points` float32 [B, K, 2], any B.

        Args:
          image_size: S.
          num_landmarks: K.
          last: name of the node that is the points.
          facts: kept in the file's metadata.
        """
        self._nodes.append(helper.make_node("Identity", [last], ["points"], name="points"))
        graph = helper.make_graph(
            self._nodes,
            "barrelnet",
            [helper.make_tensor_value_info("images", TensorProto.UINT8, ["B", image_size, image_size, 3])],
            [helper.make_tensor_value_info("points", TensorProto.FLOAT, ["B", num_landmarks, 2])],
            self._constants,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR, producer_name="barrel_jax"
        )
        helper.set_model_props(model, facts)
        onnx.checker.check_model(model, full_check=True)
        return model
