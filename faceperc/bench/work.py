"""How much arithmetic a network is, and how much the machine can do: these need the package onnx.

Multiply-adds are counted where nearly all of them are, in convolutions and matrix products.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

#: Side of the square matrices whose product gives the machine's peak; larger ones are no faster.
SIDE = 1024
#: Multiply-adds of that product.
PEAK_WORK = SIDE**3

_PRODUCTS = ("MatMul", "MatMulInteger", "QLinearMatMul", "Gemm")
_CONVOLUTIONS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}  # which input is the kernel

Shapes = dict[str, tuple[int, ...]]


def multiply_adds(path: Path) -> int | None:
    """Multiply-adds of an ONNX file for one crop; None where ONNX cannot tell a shape, as after an operator
    of ONNX Runtime's own.

    Args:
        path: the file; the only free size of its inputs is the first one.
    """
    model = onnx.load(path)
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    shapes = _shapes(onnx.shape_inference.infer_shapes(model, data_prop=True))
    try:
        return sum(_multiply_adds(node, shapes) for node in model.graph.node)
    except KeyError:
        return None


def _shapes(model: ModelProto) -> Shapes:
    graph = model.graph
    shapes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    known = {name: shape for name, shape in shapes.items() if 0 not in shape}
    return known | {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}


def _multiply_adds(node: NodeProto, shapes: Shapes) -> int:
    if node.op_type in _CONVOLUTIONS:
        kernel = shapes[node.input[_CONVOLUTIONS[node.op_type]]]
        return math.prod(shapes[node.output[0]]) * math.prod(kernel[1:])
    if node.op_type in _PRODUCTS:
        left = shapes[node.input[0]]
        transposed = any(each.name == "transA" and each.i for each in node.attribute)
        return math.prod(shapes[node.output[0]]) * left[-2 if transposed else -1]
    return 0


def matrix_product(threads: int) -> Callable[[], object]:
    """A function that multiplies two float32 matrices of SIDE x SIDE in ONNX Runtime."""
    random = np.random.default_rng(0)
    left, right = (random.standard_normal((SIDE, SIDE), dtype=np.float32) for _ in range(2))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["left", "right"], ["product"])],
        "peak",
        [helper.make_tensor_value_info("left", TensorProto.FLOAT, [SIDE, SIDE])],
        [helper.make_tensor_value_info("product", TensorProto.FLOAT, [SIDE, SIDE])],
        [numpy_helper.from_array(right, "right")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"left": left})
