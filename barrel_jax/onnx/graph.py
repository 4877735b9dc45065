# SPDX-License-Identifier: Apache-2.0
"""An ONNX graph that is written node by node."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# LayerNormalization is an operator since 17; the intermediate representation that came with it.
OPSET, IR = 17, 8


class Port(NamedTuple):
    """An input or output of a model: its type and shape, letters for lengths that may be any."""

    type: int
    shape: Sequence[int | str]

    def named(self, name: str) -> onnx.ValueInfoProto:
        """As ONNX writes it."""
        return helper.make_tensor_value_info(name, self.type, self.shape)


class Graph:
    """Nodes and constants; calling it adds a node: `graph("Add", x, bias)` is the name of the sum."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def __call__(self, op: str, *inputs: str | Any, **attributes: Any) -> str:
        """Adds a node with one output and returns that output's name; inputs that are arrays become constants."""
        name = f"{self._prefix}{op}_{len(self._nodes)}"
        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        self._nodes.append(helper.make_node(op, names, [name], name=name, **attributes))
        return name

    def _constant(self, value: Any) -> str:
        name = f"{self._prefix}constant_{len(self._constants)}"
        # C order, since from_array takes the bytes as they lie.
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def each(self, count: str, write: Callable[["Graph", str], str], shape: Sequence[int]) -> str:
        """What `write` makes of every number 0, 1, ... below `count` (an int64), float32 [count, *shape].

        `write` is given the graph of one turn, which may name nodes of this one, and the name of the number [].
        """
        body = Graph(f"{self._prefix}each{len(self._nodes)}_")
        turn, going = f"{body._prefix}number", f"{body._prefix}going"
        last = write(body, turn)
        on = body("Identity", going)
        inputs = [helper.make_tensor_value_info(turn, TensorProto.INT64, [])]
        inputs += [helper.make_tensor_value_info(going, TensorProto.BOOL, [])]
        outputs = [helper.make_tensor_value_info(on, TensorProto.BOOL, []), Port(TensorProto.FLOAT, shape).named(last)]
        graph = helper.make_graph(body._nodes, f"{body._prefix}body", inputs, outputs, body._constants)
        return self("Loop", count, "", body=graph)

    def model(
        self, inputs: Mapping[str, Port], outputs: Mapping[str, Port], nodes: Mapping[str, str], facts: dict[str, str]
    ) -> onnx.ModelProto:
        """The whole, checked.

        Args:
            inputs: by the names that nodes know them by.
            outputs: by their names.
            nodes: the nodes that the outputs are, by the same names.
            facts: kept in the file's metadata.
        """
        self._nodes += [helper.make_node("Identity", [nodes[name]], [name], name=name) for name in outputs]
        graph = helper.make_graph(
            self._nodes,
            "barrelnet",
            [port.named(name) for name, port in inputs.items()],
            [port.named(name) for name, port in outputs.items()],
            self._constants,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR, producer_name="barrel_jax"
        )
        helper.set_model_props(model, facts)
        onnx.checker.check_model(model, full_check=True)
        return model
