"""The metadata inside a model file, read into typed and checked records (see docs/contract.md)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from faceperc._names import unknown_name
from faceperc.crop import CropRule
from faceperc.errors import ModelError

SCHEMA = 1
ROLES = ("face", "detector")

#: The outputs of a detector and the shape of each one's values for a cell. The first two every file has.
DETECTOR_OUTPUTS: dict[str, tuple[int, ...]] = {
    "boxes": (4,),
    "scores": (),
    "heads": (),
    "points": (5, 2),
    "rotations": (3, 3),
}
#: A detector's points, by the side of the person: their right eye is on the left of a picture from the front.
POINT_NAMES = ("right eye", "left eye", "nose tip", "right mouth corner", "left mouth corner")


@dataclass(frozen=True)
class OutputField:
    """One field of a task's result: which ONNX output holds it.

    Attributes:
        output: name of the ONNX output, ``task.field``.
        shape: its shape, with ``"N"`` for the number of faces.
        unit: unit of its values, e.g. ``"px"``, or None.
    """

    output: str
    shape: tuple[int | str, ...] = ()
    unit: str | None = None


@dataclass(frozen=True)
class TaskInfo:
    """What a model says about one of its tasks; all that is needed to present the result.

    Attributes:
        name: the task's name, e.g. ``"landmarks"``.
        kind: ``points``, ``rotation``, ``mask``, ``classes``, ``probabilities`` or ``scalar``.
        fields: the fields of the result by name; which ones there are is fixed by the kind.
        description: one line for people.
        labels: names of the classes, or of the points; empty where there are none.
        unit: unit of a scalar, e.g. ``"years"``, or None.
        lines: polylines of point indices for drawing; closed where the last index equals the first.
        bins: the values that a scalar's distribution is over; empty where there is none.
    """

    name: str
    kind: str
    fields: dict[str, OutputField]
    description: str = ""
    labels: tuple[str, ...] = ()
    unit: str | None = None
    lines: tuple[tuple[int, ...], ...] = ()
    bins: tuple[float, ...] = ()


@dataclass(frozen=True)
class DetectorInfo:
    """What a detector says about itself.

    Attributes:
        stride: height and width of the input are multiples of this.
        max_side: larger images are shrunk to this longer side, pixels.
        min_face: smallest face side that the model was trained to find, input pixels.
        nms_iou: boxes that overlap a better one by more than this are dropped.
        nms_score: faces with a lower score than this are dropped, unless the caller says otherwise.
        nms_head: the same for heads that show no face, by the score of the head.
        enlarge: images smaller than ``max_side`` are enlarged by up to this factor.
    """

    stride: int
    max_side: int
    min_face: float
    nms_iou: float
    nms_score: float
    nms_head: float
    enlarge: float = 1.0


@dataclass(frozen=True)
class ModelMetadata:
    """Everything that a model file says about itself.

    Attributes:
        role: ``face`` (reads face crops) or ``detector`` (finds faces).
        name: name of the model, e.g. ``"faceperc-nano"``.
        version: version of faceperc that wrote the file.
        input: name of the ONNX input.
        weights_sha256: SHA-256 over the weights.
        training: training data and licence of the weights, as written by the exporter.
        form: what a face model takes: ``crop`` (face crops), ``full`` (an image and boxes) or ``pipeline``
            (an image).
        crop: how a face box becomes a crop; None for a detector.
        tasks: the tasks by name, in the model's order; empty for a detector.
        detector: the detector's settings; None for a face model.
        raw: the whole document.
    """

    role: str
    name: str
    version: str
    input: str
    weights_sha256: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    form: str = "crop"
    crop: CropRule | None = None
    tasks: dict[str, TaskInfo] = field(default_factory=dict)
    detector: DetectorInfo | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)


def parse_metadata(text: str, source: str) -> ModelMetadata:
    """Read the JSON document ``faceperc`` of a model file.

    Args:
        text: the document.
        source: name of the file, for messages.

    Raises:
        ModelError: if the document is damaged, incomplete, or of a newer schema, or a number in it is out of
            range.
    """
    try:
        document = json.loads(text)
        schema = _whole(document, "schema", 1)
        if schema > SCHEMA:
            raise ModelError(
                f"{source}: its metadata has schema {schema}, newer than {SCHEMA}; update faceperc"
            )
        if document["role"] not in ROLES:
            raise ModelError(f"{source}: {unknown_name('role', document['role'], ROLES)}; update faceperc")
        return _metadata(document)
    except KeyError as error:
        raise ModelError(f"{source}: its faceperc metadata lacks {error}; export the model again") from error
    except (ValueError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise ModelError(
            f"{source}: its faceperc metadata is damaged ({error}); export the model again"
        ) from error


def check_takes_crops(metadata: ModelMetadata, source: str) -> None:
    """Check that a model is a face model in the form that the runtime runs.

    Args:
        metadata: of the model.
        source: name of the model, for messages.

    Raises:
        ModelError: if it is a detector, or in a form that takes whole images.
    """
    if metadata.role != "face":
        raise ModelError(f"{source}: is a {metadata.role}, not a face model; see 'faceperc models'")
    if metadata.form != "crop":
        raise ModelError(
            f"{source}: is in the form {metadata.form!r}, which takes whole images, for programs without "
            "faceperc; here use its crop form: 'faceperc export --form crop'"
        )


def check_detector_outputs(shapes: Mapping[str, Sequence[int | str | None] | None], source: str) -> None:
    """Check that a detector gives what docs/contract.md says: outputs of their shapes, with as many cells.

    Args:
        shapes: the shapes of all outputs by name. None is one that is not known; so is a length that is no
            number.
        source: name of the model, for messages.

    Raises:
        ModelError: if not.
    """
    if missing := [name for name in ("boxes", "scores") if name not in shapes]:
        raise ModelError(
            f"{source}: is a detector, but its graph lacks the output {', '.join(missing)}; "
            "export the model again"
        )
    known = {name: shape for name in DETECTOR_OUTPUTS if (shape := shapes.get(name)) is not None}
    for name, shape in known.items():
        wanted: tuple[int | str, ...] = ("A", *DETECTOR_OUTPUTS[name])
        pairs = zip(shape, wanted, strict=False)
        if len(shape) != len(wanted) or any(a != b for a, b in pairs if isinstance(a, int) and b != "A"):
            raise ModelError(
                f"{source}: its output {name} has the shape {_shape(shape)}, wanted is {_shape(wanted)}; "
                "export the model again"
            )
    cells = {name: shape[0] for name, shape in known.items() if isinstance(shape[0], int)}
    if len({*cells.values()}) > 1:
        counts = ", ".join(f"{name} {count}" for name, count in cells.items())
        raise ModelError(f"{source}: its outputs differ in the number of cells: {counts}")


def _shape(shape: Sequence[int | str | None]) -> str:
    return f"({', '.join('?' if each is None else str(each) for each in shape)})"


def _metadata(document: dict[str, Any]) -> ModelMetadata:
    is_face = document["role"] == "face"
    if is_face and not document["tasks"]:
        raise ValueError("it has no tasks")
    return ModelMetadata(
        role=document["role"],
        name=str(document["name"]),
        version=str(document["version"]),
        input=str(document["input"]["name"]),
        weights_sha256=str(document.get("weights_sha256", "")),
        training=_training(document.get("training") or {}),
        form=str(document.get("form", "crop")),
        crop=_crop(document["crop"]) if is_face else None,
        tasks={name: _task(name, entry) for name, entry in document["tasks"].items()} if is_face else {},
        detector=None if is_face else _detector(document),
        raw=document,
    )


def _crop(entry: dict[str, Any]) -> CropRule:
    shift_x, shift_y = entry.get("shift", (0.0, 0.0))
    shift = {"shift x": shift_x, "shift y": shift_y}
    return CropRule(
        _whole(entry, "size", 1, 4096),
        _real(entry, "scale", 0.01, 100),
        (_real(shift, "shift x", -100, 100), _real(shift, "shift y", -100, 100)),
    )


def _task(name: str, entry: dict[str, Any]) -> TaskInfo:
    fields = {
        key: OutputField(str(value["output"]), tuple(value.get("shape", ())), _text(value, "unit"))
        for key, value in entry["fields"].items()
    }
    return TaskInfo(
        name=name,
        kind=str(entry["kind"]),
        fields=fields,
        description=str(entry.get("description", "")),
        labels=tuple(str(label) for label in entry.get("labels") or ()),
        unit=_text(entry, "unit"),
        lines=tuple(tuple(int(i) for i in line) for line in entry.get("lines") or ()),
        bins=tuple(_real({"bins": value}, "bins") for value in entry.get("bins") or ()),
    )


def _text(entry: dict[str, Any], key: str) -> str | None:
    """A text, or None where there is none."""
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{key} is {value!r}, not a text")
    return value


def _detector(document: dict[str, Any]) -> DetectorInfo:
    return DetectorInfo(
        stride=_whole(document, "stride", 1, 4096),
        max_side=_whole(document, "max_side", 1, 65536),
        min_face=_real(document, "min_face", 0),
        nms_iou=_real(document["nms"], "iou", 0, 1),
        nms_score=_real(document["nms"], "score", 0, 1),
        nms_head=_real({"head": document["nms"]["score"], **document["nms"]}, "head", 0, 1),
        enlarge=_real({"enlarge": 1.0, **document}, "enlarge", 1, 16),
    )


def _training(entry: dict[str, Any]) -> dict[str, Any]:
    data = entry.get("data") or []
    if not isinstance(data, list) or not all(isinstance(source, dict) for source in data):
        raise ValueError("training.data is no list of objects")
    return {**entry, "data": data}


def _whole(entry: dict[str, Any], key: str, low: int, high: float = math.inf) -> int:
    """A whole number from ``low`` to ``high``."""
    value = entry[key]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{key} is {value!r}, not {_range('a whole number', low, high)}")
    return value


def _real(entry: dict[str, Any], key: str, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number from ``low`` to ``high``."""
    value = entry[key]
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not low <= value <= high:
        raise ValueError(f"{key} is {value!r}, not {_range('a finite number', low, high)}")
    return float(value)


def _range(kind: str, low: float, high: float) -> str:
    bounds = [f"from {low}"] * (low > -math.inf) + [f"to {high}"] * (high < math.inf)
    return " ".join([kind, *bounds])
