"""The exported graph in half precision: to compute in it, or only to store weights in it."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from faceperc.errors import UsageError
from faceperc.export.nodes import module_of

#: Smaller weights are not worth an operator more.
_MIN_STORED = 1024


def round_weights(model: nn.Module) -> None:
    """Round matrices and filters to the nearest half-precision number, in place.

    Raises:
        UsageError: if one is too large for half precision.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                if parameter.abs().max() > torch.finfo(torch.float16).max:
                    raise UsageError(f"{name} holds values too large for half precision; leave --store out")
                parameter.copy_(parameter.half())


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph computing in half precision.

    Normalisation, and what heads and their parts do outside of their layers, stay in float32, and so do the
    outputs: squares and exponentials overflow, and coordinates need more digits. (ONNX Runtime's converter
    rounds between any two nodes that are to stay in float32.)
    """
    result = onnx.shape_inference.infer_shapes(model)
    graph = result.graph
    weights = {each.name: each for each in graph.initializer}
    types = {each.name: each.data_type for each in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        types[value.name] = value.type.tensor_type.elem_type
    halves: set[str] = set()  # tensors that are half precision now
    made: set[str] = set()
    nodes = []
    modules = {module_of(node.name) for node in graph.node}
    for node in graph.node:
        is_half = _is_layer(module_of(node.name), modules)
        for place, name in enumerate(node.input):
            # of Resize's inputs only the first may be half
            wants_half = is_half and not (node.op_type == "Resize" and place > 0)
            if types.get(name) != TensorProto.FLOAT or wants_half == (name in halves):
                continue
            node.input[place] = cast = f"{name}.{'half' if wants_half else 'float'}"
            if cast not in made:
                made.add(cast)
                if name in weights:
                    values = numpy_helper.to_array(weights[name]).astype(np.float16)
                    graph.initializer.append(numpy_helper.from_array(values, cast))
                else:
                    to = TensorProto.FLOAT16 if wants_half else TensorProto.FLOAT
                    nodes.append(helper.make_node("Cast", [name], [cast], f"{cast}/Cast", to=to))
        if is_half:
            halves |= {name for name in node.output if types.get(name) == TensorProto.FLOAT}
            for attribute in node.attribute:
                if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT:
                    attribute.i = TensorProto.FLOAT16
        nodes.append(node)
    if rounded := halves & {output.name for output in graph.output}:
        raise UsageError(f"{', '.join(rounded)}: a head's layer gives it undecoded; fp16 cannot be written")
    _replace(graph.node, nodes)
    read = {name for node in nodes for name in node.input}
    _replace(graph.initializer, [each for each in graph.initializer if each.name in read])
    del graph.value_info[:]  # the types have changed
    return result


def _is_layer(module: str, modules: Collection[str]) -> bool:
    """Whether a module computes in half precision: all of the model's but normalisation, which has no name,
    the heads, and parts of a head that have layers of their own."""
    if not module or re.fullmatch(r"heads[.]\w+", module):
        return False
    return not module.startswith("heads.") or not any(name.startswith(f"{module}.") for name in modules)


def store_float16(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Store weights that are half-precision numbers as such; a Cast gives the float32 that they stand for.

    ONNX Runtime computes the casts once, when it opens the file.
    """
    result = onnx.ModelProto()
    result.CopyFrom(graph)
    casts = []
    for weight in result.graph.initializer:
        if weight.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(weight)
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and so differs
            halves = values.astype(np.float16)
        if values.size >= _MIN_STORED and np.array_equal(halves, values):
            name = weight.name
            weight.CopyFrom(numpy_helper.from_array(halves, f"{name}.half"))
            cast = helper.make_node("Cast", [weight.name], [name], f"{name}/Cast", to=TensorProto.FLOAT)
            casts.append(cast)
    _replace(result.graph.node, [*casts, *result.graph.node])
    return result


def _replace(field: Any, items: Sequence[Any]) -> None:
    """Give a repeated field of a protocol buffer other items."""
    copies = list(items)
    del field[:]
    field.extend(copies)
