"""A row per face, with columns that follow from the model's tasks by kind: one shape for every table.

The columns are known from the model alone, so a table has them whatever was found in its images. Flat columns
have the names that ``Faces.to_dataframe`` gives; what has a length (points, masks) is a list or bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from faceperc.batch.coco import coco_rle
from faceperc.errors import UsageError
from faceperc.kind import Kind
from faceperc.kinds import Classes, Points, Probabilities, Rotation, Scalar
from faceperc.mask import Mask
from faceperc.metadata import TaskInfo
from faceperc.results import Face, Faces

if TYPE_CHECKING:
    import pyarrow

Row = dict[str, Any]

# The types of columns. A row holds plain Python values of them, or lacks the column.
TEXT, WHOLE, NUMBER, BYTES = "text", "whole", "number", "bytes"
NUMBERS = "numbers"  # a list of K numbers
POINTS = "points"  # a list of K pairs x, y
RLE = "rle"  # a list of {"label", "size": [H, W], "counts"}

#: What is kept of a mask.
MASKS = ("png", "rle", "none")

BOX = ("box.x0", "box.y0", "box.x1", "box.y1")

#: Of every row. An image without a face has one row without ``face``, one that failed has one with ``error``.
COMMON = {
    "source": TEXT,
    "face": WHOLE,
    "error": TEXT,
    "width": WHOLE,
    "height": WHOLE,
    **dict.fromkeys(BOX, NUMBER),
    "score": NUMBER,
    "visibility": NUMBER,
    "quality": NUMBER,
}


def columns(tasks: Mapping[str, TaskInfo], masks: str = "png") -> dict[str, str]:
    """The columns of a table and their types.

    Args:
        tasks: the tasks that are predicted, by name.
        masks: what is kept of a mask beside the share of each class: "png", "rle" or "none".

    Raises:
        UsageError: if ``masks`` is none of these.
    """
    if masks not in MASKS:
        raise UsageError(f"masks is one of {', '.join(MASKS)}; got {masks!r}")
    found = dict(COMMON)
    for task, info in tasks.items():
        own = _COLUMNS[info.kind](info, masks)
        found.update({f"{task}.{name}": each for name, each in own.items()})
    return found


def face_rows(faces: Faces, masks: str = "png", source: str | None = None) -> list[Row]:
    """The rows of one image: one per face, or one without ``face`` where none was found.

    Args:
        faces: what the predictor gave.
        masks: as for ``columns``.
        source: name of the image; by default that of ``faces``.
    """
    height, width = faces.image.shape[:2]
    image = {"source": faces.source if source is None else source, "width": width, "height": height}
    if not len(faces):
        return [image]
    return [{**image, "face": index, **_values(face, masks)} for index, face in enumerate(faces)]


def failed_row(source: str | None, error: str) -> Row:
    """The row of an image that could not be done."""
    return {"source": source, "error": error}


def arrow_schema(types: Mapping[str, str]) -> pyarrow.Schema:
    """The columns as Arrow and Parquet know them; numbers have 32 bits.

    Raises:
        UsageError: if pyarrow is not installed.
    """
    pa = import_pyarrow()
    number, text = pa.float32(), pa.string()
    code = pa.struct({"label": text, "size": pa.list_(pa.int32()), "counts": text})
    known = {
        TEXT: text,
        WHOLE: pa.int32(),
        NUMBER: number,
        BYTES: pa.binary(),
        NUMBERS: pa.list_(number),
        POINTS: pa.list_(pa.list_(number)),
        RLE: pa.list_(code),
    }
    return pa.schema([(name, known[each]) for name, each in types.items()])


def import_pyarrow() -> Any:
    """The module pyarrow.

    Raises:
        UsageError: if it is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise UsageError('tables of Arrow and Parquet need: pip install "faceperc[batch]"') from error
    return pyarrow


def _values(face: Face, masks: str) -> Row:
    row: Row = dict(zip(BOX, face.box.tolist(), strict=True))
    for name in ("score", "visibility", "quality"):
        if not math.isnan(value := getattr(face, name)):
            row[name] = value
    for task, result in face.tasks.items():
        row.update({f"{task}.{name}": value for name, value in _task_values(result, masks).items()})
    return row


def _task_values(result: Kind, masks: str) -> Row:
    if isinstance(result, Points):
        found = result.to_dict()  # rounded as in JSON
        return {name: value for name, value in found.items() if name != "kind" and value is not None}
    row: Row = dict(result.columns())
    if isinstance(result, Mask) and masks == "png":
        row |= {**dict(zip(BOX, result.box.tolist(), strict=True)), "png": result.to_png()}
    if isinstance(result, Mask) and masks == "rle":
        row["rle"] = coco_rle(result)
    return row


def _of_points(info: TaskInfo, _masks: str) -> dict[str, str]:
    fields = {"points": POINTS, "sigma": NUMBERS, "visibility": NUMBERS}
    return {name: each for name, each in fields.items() if name in info.fields}


def _of_rotation(_info: TaskInfo, _masks: str) -> dict[str, str]:
    return {"yaw": NUMBER, "pitch": NUMBER, "roll": NUMBER}


def _of_mask(info: TaskInfo, masks: str) -> dict[str, str]:
    shares = dict.fromkeys(info.labels, NUMBER)
    kept = {"png": {**dict.fromkeys(BOX, NUMBER), "png": BYTES}, "rle": {"rle": RLE}, "none": {}}
    return {**shares, **kept[masks]}


def _of_classes(info: TaskInfo, _masks: str) -> dict[str, str]:
    return {"label": TEXT, **dict.fromkeys(info.labels, NUMBER)}


def _of_probabilities(info: TaskInfo, _masks: str) -> dict[str, str]:
    return dict.fromkeys(info.labels, NUMBER)


def _of_scalar(info: TaskInfo, _masks: str) -> dict[str, str]:
    return {"value": NUMBER, **({"std": NUMBER} if "distribution" in info.fields else {})}


_COLUMNS: dict[str, Callable[[TaskInfo, str], dict[str, str]]] = {
    Points.kind: _of_points,
    Rotation.kind: _of_rotation,
    Mask.kind: _of_mask,
    Classes.kind: _of_classes,
    Probabilities.kind: _of_probabilities,
    Scalar.kind: _of_scalar,
}
