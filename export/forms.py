"""The forms of an exported model that take whole images: "full" (image and boxes) and "pipeline" (image).

Both are made from a finished crop form by standard operators: FaceCrop before the network, and after it the
way back from the crop's pixels to the image's. So the crop form may be of any precision and have any tasks.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.utils
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper, version_converter

from faceperc._names import unknown_name
from faceperc.crop import FaceCrop
from faceperc.detect import FaceDetector
from faceperc.detections import MAX_FACES
from faceperc.errors import ModelError, UsageError
from faceperc.export.crop import add_crops, add_extent
from faceperc.export.detect import add_faces, add_fit
from faceperc.export.graph import GraphBuilder, model_of, tensor
from faceperc.image import read_image
from faceperc.metadata import ModelMetadata, parse_metadata
from faceperc.runtime import OnnxModel
from faceperc.verify import deviation
from faceperc.zoo import DEFAULT_DETECTOR, find_model, sample_image

FORMS = ("crop", "full", "pipeline")
_IMAGE = {"name": "image", "dtype": "uint8", "layout": "HWC", "color": "RGB", "size": None}
_BOXES = {"dtype": "float32", "shape": ["N", 4], "unit": "px", "format": "x0, y0, x1, y1"}
#: Fields that change with the frame, by kind and name. All others are the same in the crop and in the image.
_TO_IMAGE = {("points", "points"): FaceCrop.to_image, ("points", "sigma"): FaceCrop.length_to_image}
#: The face of the bundled photograph, close and from afar: there the region reaches over the border.
_SAMPLE_BOXES = np.array([[175.0, 68.0, 275.0, 203.0], [75.0, -15.0, 375.0, 285.0]])


def in_form(
    network: onnx.ModelProto, form: str, detector: str | os.PathLike[str] = DEFAULT_DETECTOR
) -> onnx.ModelProto:
    """The crop form of a face model in another form.

    Args:
        network: the crop form with its metadata, of any precision.
        form: one of FORMS.
        detector: a name or an ONNX file; for the pipeline.

    Raises:
        UsageError: if the form is unknown.
        ModelError: if a model is not what it should be.
    """
    match form:
        case "crop":
            return network
        case "full":
            return full_form(network)
        case "pipeline":
            finder = OnnxModel(find_model(detector))  # refuses a file that is none of ours
            return pipeline_form(network, onnx.load(finder.path))
    raise UsageError(unknown_name("form", form, FORMS))


def full_form(network: onnx.ModelProto) -> onnx.ModelProto:
    """The graph that takes an image and face boxes (docs/contract.md).

    Args:
        network: a face model's crop form with its metadata, of any precision.

    Raises:
        ModelError: if it is none.
    """
    op = GraphBuilder()
    outputs = _add_answers(op, network, "boxes")
    inputs = [tensor("image", TensorProto.UINT8, "H", "W", 3), tensor("boxes", TensorProto.FLOAT, "N", 4)]
    document = _document(network, "full")
    document["inputs"] = {"image": _IMAGE, "boxes": {"name": "boxes", **_BOXES}}
    document["outputs"] = {"regions": _BOXES}
    return _finish(op, network, inputs, outputs, document)


def pipeline_form(network: onnx.ModelProto, detector: onnx.ModelProto) -> onnx.ModelProto:
    """The graph that takes an image and finds the faces itself (docs/contract.md).

    Args:
        network: a face model's crop form with its metadata, of any precision.
        detector: a detector with its metadata; it is brought to the network's opset.

    Raises:
        ModelError: if one of them is not what it should be.
    """
    finder = _metadata(detector, "detector")
    info = finder.detector
    assert info is not None  # every detector has it
    op = GraphBuilder()
    limits = {
        "min_score": op.constant(info.nms_score, name="min_score"),
        "max_faces": op.constant(MAX_FACES, name="max_faces"),
    }
    padded, scale = add_fit(op, "image", info)
    cells = op.include(_at_opset(_finding(detector), _opset(network)), {finder.input: padded}, "detector/")
    boxes, scores = add_faces(op, cells, scale, add_extent(op, "image"), limits, info.nms_iou)
    found = [tensor(boxes, TensorProto.FLOAT, "N", 4), tensor(scores, TensorProto.FLOAT, "N")]
    # an input that has an initializer may be left out
    inputs = [
        tensor("image", TensorProto.UINT8, "H", "W", 3),
        tensor("min_score", TensorProto.FLOAT),
        tensor("max_faces", TensorProto.INT64),
    ]
    outputs = found + _add_answers(op, network, boxes)
    document = _document(network, "pipeline")
    document["inputs"] = {
        "image": _IMAGE,
        "min_score": {"name": "min_score", "dtype": "float32", "shape": [], "default": info.nms_score},
        "max_faces": {"name": "max_faces", "dtype": "int64", "shape": [], "default": MAX_FACES},
    }
    scores_entry = {"dtype": "float32", "shape": ["N"], "range": [0, 1]}
    document["outputs"] = {"boxes": _BOXES, "scores": scores_entry, "regions": _BOXES}
    kept = ("name", "version", "weights_sha256", "training", "nms", "max_side", "min_face")
    document["detector"] = {key: finder.raw[key] for key in kept if key in finder.raw}
    return _finish(op, network, inputs, outputs, document)


def compare_forms(
    path: str | os.PathLike[str],
    network: str | os.PathLike[str],
    detector: str | os.PathLike[str] = DEFAULT_DETECTOR,
) -> dict[str, float]:
    """Difference of each output from what the runtime's own crops and detector make of the crop form, on the
    bundled photograph; and the file answers where there is no face.

    Args:
        path: a file of the form full or pipeline.
        network: the crop form that it was made from.
        detector: the detector of a pipeline.

    Returns:
        The largest difference, relative to the output's largest value; where the file rounds (fp16, int8),
        the root mean square of the difference, relative to that of the output.

    Raises:
        ModelError: if a pipeline finds no face, or another number than the runtime, or the file fails where
            there is none.
    """
    made, image = OnnxModel(Path(path)), read_image(sample_image())
    rounds = made.metadata.raw.get("precision", "fp32") != "fp32"
    no_face: dict[str, Any] = {"min_score": np.array(2, np.float32)}  # scores are at most 1
    if made.metadata.form == "full":
        no_face = {"boxes": np.zeros((0, 4), np.float32)}
        boxes, wanted = _SAMPLE_BOXES, {}
        got = made.run({"image": image, "boxes": boxes.astype(np.float32)})
    else:
        boxes, scores = FaceDetector(OnnxModel(find_model(detector))).detect(image)
        if not len(boxes):
            raise ModelError(f"{detector}: finds no face in the bundled photograph, to compare {path} on")
        wanted = {"boxes": boxes, "scores": scores}
        got = made.run({"image": image})
        if len(got["boxes"]) != len(boxes):
            raise ModelError(f"{path}: finds {len(got['boxes'])} faces, the runtime finds {len(boxes)}")
    for name, answer in made.run({"image": image} | no_face).items():
        if len(answer):
            raise ModelError(f"{path}: output {name} has {len(answer)} rows where there is no face")
    wanted |= answers_in_image(OnnxModel(Path(network)), image, boxes)
    found = {name: deviation(got[name], want) for name, want in wanted.items()}
    return {name: each.rms if rounds else each.relative for name, each in found.items()}


def answers_in_image(
    network: OnnxModel, image: NDArray[np.uint8], boxes: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    """What a crop form says of the faces of an image that FaceCrop cuts out, by the full form's outputs.

    Args:
        network: a face model in the crop form.
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) x0, y0, x1, y1 in image pixels.
    """
    rule = network.metadata.crop
    assert rule is not None  # every face model has one
    crops = [FaceCrop.from_box(box, rule) for box in boxes]
    batch = np.array([crop.warp(image) for crop in crops], dtype=np.uint8)
    answers: dict[str, NDArray[Any]] = dict(
        network.run({network.metadata.input: batch.reshape(-1, rule.size, rule.size, 3)})
    )
    for task in network.metadata.tasks.values():
        for field, info in task.fields.items():
            if (task.kind, field) in _TO_IMAGE:
                rows = zip(crops, answers[info.output], strict=True)
                moved = [_TO_IMAGE[task.kind, field](crop, row) for crop, row in rows]
                answers[info.output] = np.reshape(moved, answers[info.output].shape)
    return answers | {"regions": np.reshape([crop.region for crop in crops], (-1, 4))}


def _add_answers(op: GraphBuilder, network: onnx.ModelProto, boxes: str) -> list[onnx.ValueInfoProto]:
    """Add all nodes behind "image" and the boxes; the graph's outputs, the regions first."""
    metadata = _metadata(network, "face")
    assert metadata.crop is not None  # every face model has one
    crops = add_crops(op, "image", boxes, metadata.crop)
    regions = op.Identity(crops.regions, name="regions")
    # The network wants a face: where there is none it sees a black crop, whose answers are cut off again.
    count = op.Shape(boxes, start=0, end=1)
    missing = op.Concat(op.Max(op.Sub([1], count), [0]), [metadata.crop.size] * 2 + [3], axis=0)
    black = op.ConstantOfShape(missing, value=numpy_helper.from_array(np.zeros(1, np.uint8)))
    some = op.Concat(crops.crops, black, axis=0)
    answers = op.include(network, {metadata.input: some}, prefix="network/")
    for task in metadata.tasks.values():
        for name, field in task.fields.items():
            value = op.Slice(answers[field.output], [0], count)
            match task.kind, name:
                case "points", "points":
                    value = op.Mul(value, op.Unsqueeze(crops.pixel, [2]))
                    value = op.Add(value, op.Unsqueeze(crops.origin, [1]))
                case "points", "sigma":
                    value = op.Mul(value, crops.pixel)
            op.Identity(value, name=field.output)
    return [tensor(regions, TensorProto.FLOAT, "N", 4), *network.graph.output]


def _document(network: onnx.ModelProto, form: str) -> dict[str, Any]:
    """The network's metadata for another form: places are in the image's pixels."""
    document: dict[str, Any] = json.loads(_properties(network)["faceperc"])
    for task in document["tasks"].values():
        for field in task["fields"].values():
            if field.get("unit") == "crop px":
                field["unit"] = "px"
    return document | {"form": form, "input": _IMAGE}


def _finish(
    op: GraphBuilder,
    network: onnx.ModelProto,
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    document: dict[str, Any],
) -> onnx.ModelProto:
    model = model_of(op.graph(document["form"], inputs, outputs), like=network)
    onnx.helper.set_model_props(model, {"faceperc": json.dumps(document)})
    onnx.checker.check_model(model, full_check=True)
    return model


def _finding(detector: onnx.ModelProto) -> onnx.ModelProto:
    """The detector without what only its further outputs need: heads, points and rotations."""
    names = [output.name for output in detector.graph.output]
    needed = [name for name in names if name in ("boxes", "scores")]
    if needed == names:
        return detector
    inputs = [each.name for each in detector.graph.input]
    return onnx.utils.Extractor(detector).extract_model(inputs, needed)


def _metadata(model: onnx.ModelProto, role: str) -> ModelMetadata:
    text = _properties(model).get("faceperc")
    if text is None:
        raise ModelError(f"the {role} model has no 'faceperc' metadata; write one with 'faceperc export'")
    metadata = parse_metadata(text, f"the {role} model")
    if metadata.role != role or metadata.form != "crop":
        found = f"a {metadata.role} model in the form {metadata.form}"
        raise ModelError(f"{metadata.name}: is {found}; wanted is a {role} model in the form crop")
    return metadata


def _properties(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def _opset(model: onnx.ModelProto) -> int:
    (version,) = (each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    return int(version)


def _at_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    return model if _opset(model) == opset else version_converter.convert_version(model, opset)
