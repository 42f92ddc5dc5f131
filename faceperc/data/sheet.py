"""A contact sheet: faces with their labels drawn on them, to see whether labels and pixels agree."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from faceperc.crop import CropRule, FaceCrop
from faceperc.data.region import is_points, is_rotation
from faceperc.data.source import Sample
from faceperc.data.view import View
from faceperc.heads.parsing import CLASSES, SetMask
from faceperc.rotations import matrix_from_angles

_TILE = 224
_RULE = CropRule(_TILE, scale=1.6)
_TEXT_LINES = 4
_AXIS = 0.3 * _TILE
_AXES = ((255, 60, 60), (60, 255, 60), (80, 160, 255))  # to the subject's left, up, out of the face
_VISIBLE, _OCCLUDED = (0, 255, 0), (255, 120, 0)
# background, skin, brows, eyes, nose, lips and mouth, hair
_COLOURS = np.array(
    [
        (0, 0, 0), (255, 200, 150), (120, 70, 20), (170, 110, 40), (60, 120, 255), (90, 190, 255),
        (255, 150, 60), (230, 50, 80), (120, 0, 40), (255, 110, 140), (150, 60, 220),
    ],
    np.float64,
)  # fmt: skip


def contact_sheet(samples: Sequence[Sample], columns: int = 6) -> bytes:
    """PNG of the samples' crops with their labels, row by row: points (occluded ones orange), masks, boxes,
    axes of the head (red to its left, green up, blue out of the face), the others as text."""
    tiles = [_tile(sample) for sample in samples]
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * _TILE, max(1, rows) * _TILE))
    for index, tile in enumerate(tiles):
        sheet.paste(tile, (index % columns * _TILE, index // columns * _TILE))
    stream = io.BytesIO()
    sheet.save(stream, "PNG")
    return stream.getvalue()


def _tile(sample: Sample) -> Image.Image:
    view = View(FaceCrop.from_box(sample.box, _RULE))
    pixels = view.pixels(sample.pixels)
    for label in sample.labels.values():
        if isinstance(label, SetMask):
            pixels = _with_mask(pixels, view.labels(label.sets, _TILE))
    tile = Image.fromarray(pixels)
    pen = ImageDraw.Draw(tile)
    pen.rectangle([*view.points(sample.box.reshape(2, 2)).ravel()], outline=(255, 255, 0))
    lines = []
    for task, label in sample.labels.items():
        if isinstance(label, SetMask):
            continue
        if isinstance(label, str | dict):
            lines.append(f"{task} {label}")
        elif is_points(label):
            _draw_points(pen, label, view)
        elif is_rotation(label):
            _draw_axes(pen, view.rotation(label))
        elif np.size(label) <= 3:
            if task == "pose" and np.isfinite(label).all():
                _draw_axes(pen, view.rotation(matrix_from_angles(*label)))
            lines.append(f"{task} {np.round(label, 1)}")
    lines += [" ".join(each) for each in sample.groups.items()]
    for row, line in enumerate(lines[:_TEXT_LINES]):
        pen.text(
            (3, 3 + 12 * row), line[: _TILE // 6], fill=(255, 255, 255), stroke_width=1, stroke_fill=(0, 0, 0)
        )
    return tile


def _draw_points(pen: ImageDraw.ImageDraw, label: NDArray[np.float64], view: View) -> None:
    label = label[np.isfinite(label[:, :2]).all(axis=1)]
    occluded = label[:, 2] < 0.5 if label.shape[1] == 3 else np.zeros(len(label), dtype=bool)
    for (x, y), hidden in zip(view.points(label[:, :2]), occluded, strict=True):
        pen.ellipse([x - 1.5, y - 1.5, x + 1.5, y + 1.5], fill=_OCCLUDED if hidden else _VISIBLE)


def _draw_axes(pen: ImageDraw.ImageDraw, rotation: NDArray[np.float64]) -> None:
    """The head's axes from the middle of the tile."""
    middle = np.full(2, _TILE / 2)
    for (x, y), colour in zip(rotation[:2].T * [1, -1], _AXES, strict=True):
        pen.line([*middle, *(middle + _AXIS * np.array([x, y]))], fill=colour, width=2)


def _with_mask(pixels: NDArray[np.uint8], sets: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Each pixel half in the mean colour of the classes that it may be; unknown pixels stay as they are."""
    member = (sets[..., None] >> np.arange(len(CLASSES)) & 1).astype(np.float64)
    known = member.sum(-1, keepdims=True)
    colour = member @ _COLOURS / np.maximum(known, 1)
    return np.where(known > 0, 0.5 * pixels + 0.5 * colour, pixels).astype(np.uint8)
