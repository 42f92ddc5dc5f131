"""GraphBuilder: ONNX graphs written node by node, with finished models as parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import compose, helper, numpy_helper

#: A tensor of the graph by its name; or a constant: floats become float32, integers int64.
Value = str | float | Sequence[float] | NDArray[Any]


class GraphBuilder:
    """Adds a node for each call of an operator by its name, and returns the name of its output.

    Examples:
        >>> op = GraphBuilder()
        >>> doubled = op.Mul("points", 2.0)
        >>> moved = op.ReduceMax(op.Add(doubled, [0.5, 0.5]), axis=0)

    Args:
        prefix: of the names of all tensors that are made here; unique among the graphs that are nested.
    """

    def __init__(self, prefix: str = "") -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._prefix = prefix

    def __getattr__(self, operator: str) -> Callable[..., str]:
        """The function that adds a node: inputs are values, keywords attributes, or the output's ``name``."""
        if operator.startswith("_"):
            raise AttributeError(operator)
        return partial(self._add, operator)

    def constant(self, value: Value, name: str | None = None) -> str:
        """A tensor that holds a constant."""
        array = np.asarray(value)
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        name = name or f"{self._prefix}constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def include(self, model: onnx.ModelProto, inputs: Mapping[str, str], prefix: str) -> dict[str, str]:
        """Add all nodes of a model.

        Args:
            model: of the same opset.
            inputs: the values that its inputs are to have.
            prefix: of the names of its tensors, unique in this graph.

        Returns:
            Its outputs by the names that they have in the model.
        """
        part = compose.add_prefix(model, prefix).graph
        self.initializers += part.initializer
        for name, value in inputs.items():
            self.nodes.append(helper.make_node("Identity", [value], [prefix + name]))
        self.nodes += part.node
        return {output.name: prefix + output.name for output in model.graph.output}

    def graph(
        self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.GraphProto:
        """The finished graph."""
        return helper.make_graph(self.nodes, name, inputs, outputs, self.initializers)

    def _add(self, operator: str, *inputs: Value, name: str | None = None, **attributes: Any) -> str:
        name = name or f"{self._prefix}{operator}_{len(self.nodes)}"
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self.nodes.append(helper.make_node(operator, names, [name], name=name, **attributes))
        return name


def tensor(name: str, dtype: int, *shape: int | str) -> onnx.ValueInfoProto:
    """Name, type (of ``onnx.TensorProto``) and shape of a graph's input or output."""
    return helper.make_tensor_value_info(name, dtype, shape)


def model_of(graph: onnx.GraphProto, like: onnx.ModelProto) -> onnx.ModelProto:
    """The model that holds a graph, in the IR version and with the operator sets of another one."""
    return helper.make_model(graph, ir_version=like.ir_version, opset_imports=like.opset_import)
