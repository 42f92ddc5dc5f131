"""The results that a picture can show, by KIND, as shapes for SVG: sharp at any size, smaller than pixels.

Coordinates are in thousandths of the side of the face's thumbnail, (0, 0) being its top left corner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from faceperc.crop import FaceCrop
from faceperc.drawing.palette import mask_colours
from faceperc.drawing.strokes import axes_of
from faceperc.html_report.pictures import THUMBNAIL, png_uri
from faceperc.kinds import Points, Rotation
from faceperc.mask import Mask
from faceperc.results import Face

UNITS = 1000


@dataclass(frozen=True)
class Overlay:
    """Where a face is, and the shapes over it.

    Attributes:
        region: left, top and side of the thumbnail's square, image pixels; (0, 0) is the corner of the image.
        box: x0, y0, x1, y1 of the face, in units.
        shapes: by the task's name, JSON-ready: of points ``points`` and ``lines`` (SVG paths), of a rotation
            ``axes`` (three paths), of a mask ``mask`` (a data URI) and ``at`` (x, y, width, height).
    """

    region: tuple[float, float, float]
    box: list[int]
    shapes: dict[str, dict[str, Any]]


def overlay_of(face: Face) -> Overlay:
    """The shapes of a face; results of the other kinds have none."""
    crop = FaceCrop.from_box(face.box, THUMBNAIL)
    left, top = crop.region[:2].tolist()

    def place(points: ArrayLike) -> NDArray[np.int64]:
        sides = (np.asarray(points) - (left, top)) / crop.side
        # what is farther away is of a damaged file, and has no whole number
        return np.round(sides.clip(-1000, 1000) * UNITS).astype(int)

    shapes: dict[str, dict[str, Any]] = {}
    for task, result in face.tasks.items():
        match result:
            case Points():
                placed = place(result.points)
                lines = "".join(_path(placed[list(line)]) for line in result.lines)
                shapes[task] = {"points": "".join(f"M{x} {y}h0" for x, y in placed), "lines": lines}
            case Rotation():
                middle, *tips = place(axes_of(face.box, result))
                shapes[task] = {"axes": [_path(np.stack([middle, tip])) for tip in tips]}
            case Mask():
                x0, y0, x1, y1 = place(result.box.reshape(2, 2)).ravel().tolist()
                shapes[task] = {"mask": _mask(result), "at": [x0, y0, x1 - x0, y1 - y0]}
    region = (round(left + 0.5, 2), round(top + 0.5, 2), round(float(crop.side), 2))
    return Overlay(region, place(face.box.reshape(2, 2)).ravel().tolist(), shapes)


def _path(points: NDArray[np.int64]) -> str:
    """A polyline as an SVG path."""
    return "M" + "L".join(f"{x} {y}" for x, y in points)


def _mask(mask: Mask) -> str:
    """The classes in their colours; the first, the background, and what lies outside the image are clear."""
    height, width = mask.image_shape
    inside = np.outer(_within(mask, 1, height), _within(mask, 0, width))
    picture = Image.fromarray(np.where(inside, mask.mask, 0).astype(np.uint8)).convert("P")
    picture.putpalette(mask_colours(len(mask.labels)).tobytes())
    picture.info["transparency"] = 0
    return png_uri(picture)


def _within(mask: Mask, axis: int, length: int) -> NDArray[np.bool_]:
    """Which columns (axis 0) or rows (axis 1) of a mask have their middle in an image of that length."""
    count = mask.mask.shape[1 - axis]
    low, high = mask.box[axis], mask.box[axis + 2]
    middles = low + (np.arange(count) + 0.5) * (high - low) / count
    return (middles >= -0.5) & (middles < length - 0.5)
