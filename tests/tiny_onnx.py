"""Builders of tiny model files that keep docs/contract.md; they need onnx, but no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIZE = 32  # side of the crop, pixels
SCALE, SHIFT = 1.5, (0.0, -0.1)

POINTS = np.array([[15.5, 15.5], [0.0, 0.0], [31.0, 15.5], [15.5, 31.0]])  # crop pixels
SIGMA = np.array([1.0, 2.0, 3.0, 4.0])
TURN = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # roll of 90 degrees
MASK = np.zeros((3, 8, 8))
MASK[0, :, :4] = MASK[1, :4, 4:] = MASK[2, 4:, 4:] = 1.0  # left: 0; right: 1 above 2
EXPRESSION = np.array([0.05, 0.9, 0.05])
ATTRIBUTES = np.array([0.2, 0.97, 0.6])
BINS = np.array([10.0, 20.0, 30.0])
AGES = np.array([0.25, 0.5, 0.25])

FaceTask = tuple[dict[str, Any], dict[str, NDArray[Any]]]

#: task -> (metadata, field -> value for every face)
FACE_TASKS: dict[str, FaceTask] = {
    "landmarks": (
        {"kind": "points", "description": "four points", "lines": [[0, 1, 2, 0]]},
        {"points": POINTS, "sigma": SIGMA},
    ),
    "pose": ({"kind": "rotation"}, {"matrix": TURN}),
    "parsing": ({"kind": "mask", "labels": ["background", "skin", "hair"]}, {"scores": MASK}),
    "expression": (
        {"kind": "classes", "labels": ["neutral", "happiness", "sadness"]},
        {"probabilities": EXPRESSION},
    ),
    "attributes": (
        {"kind": "probabilities", "labels": ["Eyeglasses", "Smiling", "Wearing_Hat"]},
        {"probabilities": ATTRIBUTES},
    ),
    "age": (
        {"kind": "scalar", "unit": "years", "bins": BINS.tolist()},
        {"value": np.array(20.0), "distribution": AGES},
    ),
}


def face_metadata(tasks: dict[str, FaceTask]) -> dict[str, Any]:
    """The metadata document of a face model with these tasks, and the made-up task ``redness``."""
    entries = {
        name: entry
        | {"fields": {f: {"output": f"{name}.{f}", "shape": ["N", *values[f].shape]} for f in values}}
        for name, (entry, values) in tasks.items()
    }
    entries["redness"] = {
        "kind": "scalar",
        "unit": "%",
        "fields": {"value": {"output": "redness.value", "shape": ["N"]}},
    }
    return {
        "schema": 1,
        "role": "face",
        "name": "tiny",
        "version": "0.1.0",
        "input": {"name": "crops", "dtype": "uint8", "layout": "NHWC", "color": "RGB", "size": [SIZE, SIZE]},
        "crop": {"size": SIZE, "scale": SCALE, "shift": list(SHIFT), "fill": 0},
        "weights_sha256": "0" * 64,
        "training": {"data": [{"name": "nothing", "licence": "CC0"}], "licence": "Apache-2.0"},
        "tasks": entries,
    }


def build_face_model(
    path: Path, tasks: dict[str, FaceTask] | None = None, metadata: dict[str, Any] | None = None
) -> Path:
    """A face model whose answers are constants, but for ``redness``: mean of the crop's red channel, in %."""
    tasks = FACE_TASKS if tasks is None else tasks
    nodes = [
        helper.make_node("Cast", ["crops"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["colour"], axes=[1, 2], keepdims=0),
        helper.make_node("Gather", ["colour", "red"], ["mean"], axis=1),
        helper.make_node("Mul", ["mean", "percent"], ["redness.value"]),
        helper.make_node("Mul", ["mean", "zero"], ["zeros"]),
    ]
    constants = {"red": np.array(0), "percent": np.float32(100 / 255), "zero": np.float32(0)}
    outputs = [helper.make_tensor_value_info("redness.value", TensorProto.FLOAT, ["N"])]
    for name, (_, values) in tasks.items():
        for field, value in values.items():
            output = f"{name}.{field}"
            constants[f"{output}:value"] = value.astype(np.float32)[None]
            constants[f"{output}:shape"] = np.array([-1] + [1] * value.ndim)
            nodes += [
                helper.make_node("Reshape", ["zeros", f"{output}:shape"], [f"{output}:zeros"]),
                helper.make_node("Add", [f"{output}:zeros", f"{output}:value"], [output]),
            ]
            outputs.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", *value.shape]))
    crops = helper.make_tensor_value_info("crops", TensorProto.UINT8, ["N", SIZE, SIZE, 3])
    document = face_metadata(tasks) if metadata is None else metadata
    return _save(path, nodes, [crops], outputs, constants, document)


def detector_metadata() -> dict[str, Any]:
    return {
        "schema": 1,
        "role": "detector",
        "name": "tiny-detector",
        "version": "0.1.0",
        "input": {"name": "image", "dtype": "uint8", "layout": "NHWC", "color": "RGB", "size": None},
        "weights_sha256": "0" * 64,
        "training": {"data": [], "licence": "Apache-2.0"},
        "stride": 32,
        "max_side": 640,
        "min_face": 12,
        "nms": {"iou": 0.5, "score": 0.5},
    }


def build_detector(
    path: Path, boxes: list[list[float]], scores: list[float], **further: NDArray[Any]
) -> Path:
    """A detector that finds the same boxes in every image.

    Args:
        path: the file to write.
        boxes: (A, 4) x0, y0, x1, y1 in input pixels.
        scores: (A,).
        further: other outputs by name: heads (A,), points (A, 5, 2), rotations (A, 3, 3).
    """
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, "H", "W", 3])
    values = {"boxes": np.reshape(boxes, (-1, 4)), "scores": np.array(scores), **further}
    constants = {f"{name}:value": np.asarray(value, np.float32) for name, value in values.items()}
    nodes = [helper.make_node("Identity", [f"{name}:value"], [name]) for name in values]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, np.shape(value))
        for name, value in values.items()
    ]
    return _save(path, nodes, [image], outputs, constants, detector_metadata())


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: dict[str, Any],
    metadata: dict[str, Any],
) -> Path:
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata:
        helper.set_model_props(model, {"faceperc": json.dumps(metadata)})
    onnx.save(model, path)
    return path
