"""Eight-bit graphs, by ONNX Runtime's quantiser.

For a CPU, linear layers are quantised dynamically: the weights here, the activations at run time, which was
both faster and more exact than fixed ranges. Convolutions have fixed ranges, found on photographs.
docs/export.md has the measurements.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

_BATCH = 16
#: A scale per output, and weights of seven bits: in eight, the products of x86 processors without VNNI
#: instructions overflow. It costs no accuracy: the activations are the coarser half.
WEIGHTS = {"weight_type": QuantType.QInt8, "per_channel": True, "reduce_range": True}


class _Crops(CalibrationDataReader):
    """The crops in batches, as ONNX Runtime's calibration reads them."""

    def __init__(self, crops: NDArray[np.uint8]) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = (
            crops[start : start + _BATCH] for start in range(0, len(crops), _BATCH)
        )

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """The next batch, or None."""
        batch = next(self._batches, None)
        return None if batch is None else {"crops": batch}


def quantise_for_cpu(
    graph: onnx.ModelProto, layers: Collection[str], crops: NDArray[np.uint8] | None = None
) -> onnx.ModelProto:
    """Linear layers dynamically, convolutions by ranges seen on photographs.

    Args:
        graph: the float32 graph.
        layers: names of the nodes to quantise.
        crops: (N, S, S, 3) uint8 face crops; needed where ``layers`` holds a convolution.
    """
    kinds = {node.name: node.op_type for node in graph.graph.node}
    convolutions = [name for name in layers if kinds[name] == "Conv"]
    # the quantiser turns a Gemm into a MatMul, and adds to its name
    linear = [
        f"{name}_MatMul" if kinds[name] == "Gemm" else name for name in layers if name not in convolutions
    ]
    if convolutions:
        assert crops is not None
        static = partial(
            quantize_static, calibration_data_reader=_Crops(crops), nodes_to_quantize=convolutions,
            op_types_to_quantize=["Conv"], activation_type=QuantType.QUInt8, **WEIGHTS,
        )  # fmt: skip
        graph = run_quantiser(static, graph)
    if linear:
        dynamic = partial(
            quantize_dynamic, nodes_to_quantize=linear, op_types_to_quantize=["MatMul", "Gemm"],
            **WEIGHTS,
        )  # fmt: skip
        graph = run_quantiser(dynamic, graph)
    return graph


def quantise_for_tensorrt(
    graph: onnx.ModelProto, layers: Collection[str], crops: NDArray[np.uint8]
) -> onnx.ModelProto:
    """QuantizeLinear and DequantizeLinear around each layer, as TensorRT wants them: signed and symmetric
    throughout, biases in float. The arguments are those of ``quantise_for_cpu``."""
    static = partial(
        quantize_static, calibration_data_reader=_Crops(crops), nodes_to_quantize=list(layers),
        op_types_to_quantize=["MatMul", "Gemm", "Conv"],
        per_channel=True, activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
    )  # fmt: skip
    return run_quantiser(static, graph)


def run_quantiser(quantiser: Callable[..., None], graph: onnx.ModelProto) -> onnx.ModelProto:
    """The quantised graph, which ONNX Runtime's quantisers only write to a file; the metadata stays ours."""
    source = onnx.ModelProto()
    source.CopyFrom(graph)
    add_pre_process_metadata(source)  # torch and onnxslim did what the quantiser would warn of
    with tempfile.TemporaryDirectory(prefix="faceperc-quantise-") as folder:
        path = Path(folder, "model.onnx")
        quantiser(source, path)
        result = onnx.load(path)
    del result.metadata_props[:]
    result.metadata_props.extend(graph.metadata_props)
    return result
