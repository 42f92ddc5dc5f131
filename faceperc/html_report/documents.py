"""The documents that ``Faces.to_dict`` writes, read back. They come from files, so everything is checked."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from faceperc._names import unknown_name
from faceperc.crop import check_box
from faceperc.errors import DataError, UsageError
from faceperc.kind import Kind
from faceperc.kinds import KINDS, Classes, Points, Probabilities, Rotation, Scalar
from faceperc.mask import Mask
from faceperc.results import Face

MAX_SIDE = 1_000_000  # pixels: no picture is larger
MAX_MASK = 4096  # side of a mask, pixels


@dataclass(frozen=True, eq=False)
class SpreadScalar(Scalar):
    """A number whose distribution was not kept, only its spread.

    Attributes:
        spread: standard deviation in ``unit``, or None.
    """

    spread: float | None = None

    @property
    def std(self) -> float | None:
        """The spread that was written."""
        return self.spread


@dataclass(frozen=True)
class Document:
    """What was found in one picture.

    Attributes:
        source: path of the picture as it was given to the predictor, or None.
        time: of a video's frame, seconds, or None.
        model: name of the model, or "".
        size: width and height of the picture, pixels.
        faces: its faces.
    """

    source: str | None
    time: float | None
    model: str
    size: tuple[int, int]
    faces: tuple[Face, ...]


def read_document(document: Any) -> Document:
    """A document of ``Faces.to_dict``, e.g. a line that `faceperc predict` or `faceperc video` wrote.

    Raises:
        DataError: if it is none; the message says what is wrong.
    """
    if not isinstance(document, dict) or "faces" not in document or "image" not in document:
        raise DataError(
            "is no result of faceperc: an object with 'source', 'image' and 'faces' is wanted, as "
            "'faceperc predict --json' and Faces.to_json() write"
        )
    try:
        size = (int(document["image"]["width"]), int(document["image"]["height"]))
        if not all(0 < side <= MAX_SIDE for side in size):
            raise UsageError(f"an image of {size[0]} x {size[1]} pixels")
        source, time = document.get("source"), document.get("time")
        faces = tuple(_face(face, number, size) for number, face in enumerate(document["faces"]))
        return Document(
            None if source is None else str(source),
            None if time is None else float(time),
            str(document.get("model") or ""),
            size,
            faces,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"is a damaged result: {reason}; predict again") from error


def _face(document: Mapping[str, Any], number: int, size: tuple[int, int]) -> Face:
    def optional(name: str) -> float:
        value = document.get(name)
        return math.nan if value is None else float(value)

    try:
        box = check_box(document["box"])
        results = document.get("tasks", {}).items()
        tasks = {str(name): _result(name, each, size) for name, each in results if not _is_bare_mask(each)}
    except UsageError as error:
        raise UsageError(f"face {number}: {error}") from error
    track = document.get("track")
    score, visibility = optional("score"), optional("visibility")
    is_face = False if document.get("is_hidden") else None
    return Face(box, score, tasks, visibility, None if track is None else int(track), is_face)


def _is_bare_mask(result: Mapping[str, Any]) -> bool:
    """Whether it is a mask of which only the areas were kept, or run lengths: there is nothing to draw."""
    return result["kind"] == Mask.kind and "png" not in result


def _result(name: str, result: Mapping[str, Any], size: tuple[int, int]) -> Kind:
    try:
        return _kind(result, size)
    except UsageError as error:
        raise UsageError(f"task {name!r}: {error}") from error


def _kind(result: Mapping[str, Any], size: tuple[int, int]) -> Kind:
    match result["kind"]:
        case Points.kind:
            # no document of JSON has lines; a table may
            lines = tuple(tuple(map(int, line)) for line in result.get("lines") or ())
            points = result["points"] or np.zeros((0, 2))
            return Points(points, result.get("sigma"), lines, visibility=result.get("visibility"))
        case Rotation.kind:
            return Rotation(result["matrix"])
        case Classes.kind:
            return Classes(_values(result), tuple(result["probabilities"]))
        case Probabilities.kind:
            return Probabilities(_values(result), tuple(result["probabilities"]))
        case Scalar.kind:
            unit, std = result.get("unit"), result.get("std")
            spread = None if std is None else float(std)
            if spread is not None and not (math.isfinite(spread) and spread >= 0):
                raise UsageError(f"std is a number from 0 on; got {std!r}")
            return SpreadScalar(result["value"], None if unit is None else str(unit), spread=spread)
        case Mask.kind:
            labels = tuple(map(str, result["labels"]))
            return Mask(_png(result["png"]), check_box(result["box"]), labels, (size[1], size[0]))
        case unknown:
            raise UsageError(unknown_name("kind", unknown, KINDS))


def _values(result: Mapping[str, Any]) -> np.ndarray:
    return np.array([float(value) for value in result["probabilities"].values()])


def _png(text: str) -> np.ndarray:
    """(h, w) uint8 class ids of a grey PNG in base64."""
    try:
        picture = Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"])
        if max(picture.size) > MAX_MASK or picture.mode not in ("L", "1"):
            raise UsageError(
                f"a mask is a grey PNG of at most {MAX_MASK} pixels a side; got {picture.mode} {picture.size}"
            )
        return np.asarray(picture.convert("L"))
    except (OSError, SyntaxError, ValueError) as error:
        raise UsageError(f"its mask cannot be read: {error}") from error
