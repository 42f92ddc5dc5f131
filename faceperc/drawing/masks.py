"""Masks: translucent areas with a firm border, and the legend of their colours."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from faceperc.drawing.palette import Colour, mask_colours
from faceperc.drawing.resize import resize_mask
from faceperc.drawing.rows import short
from faceperc.mask import Mask
from faceperc.results import Face, Faces

FILL, BORDER = 0.26, 0.8  # opacities
MIN_BORDERED = 110  # pixels: the parts of a smaller region would be all border
LONGEST = 320  # pixels: finer than any mask; a larger region is enlarged from there, which is much faster


def draw_masks(picture: Image.Image, faces: Faces) -> None:
    """Lay the classes of all masks over the picture; the first class, the background, stays clear."""
    starts = _first_colours(faces)
    for face in faces:
        for name, result in face.tasks.items():
            if isinstance(result, Mask):
                _draw_mask(picture, result, mask_colours(len(result.labels), starts[name]))


def has_mask(face: Face) -> bool:
    """Whether any result of the face is a mask."""
    return any(isinstance(result, Mask) for result in face.tasks.values())


def legend_entries(faces: Faces) -> list[tuple[Colour, str]]:
    """Colour and name of each class that some mask shows, in the order of the masks' labels."""
    shown: dict[str, tuple[tuple[str, ...], set[int]]] = {}
    for face in faces:
        for name, result in face.tasks.items():
            if isinstance(result, Mask):
                shown.setdefault(name, (result.labels, set()))[1].update(np.unique(result.mask).tolist())
    starts = _first_colours(faces)
    entries: list[tuple[Colour, str]] = []
    for name, (labels, classes) in shown.items():
        colours = mask_colours(len(labels), starts[name])
        for index in sorted(classes - {0}):
            red, green, blue = colours[index].tolist()
            entries.append(((red, green, blue), short(labels[index])))
    return entries


def _first_colours(faces: Faces) -> dict[str, int]:
    """For each task with a mask, how many colours the masks before it have taken."""
    starts: dict[str, int] = {}
    taken = 0
    for face in faces:
        for name, result in face.tasks.items():
            if isinstance(result, Mask) and name not in starts:
                starts[name] = taken
                taken += len(result.labels) - 1
    return starts


def _draw_mask(picture: Image.Image, mask: Mask, colours: NDArray[np.uint8]) -> None:
    scale = min(1.0, LONGEST / max(mask.box[2] - mask.box[0], mask.box[3] - mask.box[1]))
    width, height = picture.size
    coarse = resize_mask(mask, np.full(2, scale), (math.ceil(width * scale), math.ceil(height * scale)))
    classes, corner = coarse.in_region()
    if classes.size == 0:
        return
    overlay = Image.fromarray(_overlay(classes, colours, border=max(classes.shape) >= MIN_BORDERED))
    # the part of the picture that the overlay covers, in whole pixels, and the same part of the overlay
    left, top = (math.ceil(value / scale) for value in corner)
    right = min(width, math.floor((corner[0] + overlay.width) / scale))
    bottom = min(height, math.floor((corner[1] + overlay.height) / scale))
    if right <= left or bottom <= top:
        return
    if scale < 1:
        part = tuple(
            min(max(value * scale - corner[index % 2], 0.0), float(overlay.size[index % 2]))
            for index, value in enumerate((left, top, right, bottom))
        )
        overlay = overlay.resize((right - left, bottom - top), Image.Resampling.BILINEAR, box=part)
    picture.paste(overlay, (left, top), overlay)


def _overlay(classes: NDArray[np.uint8], colours: NDArray[np.uint8], border: bool) -> NDArray[np.uint8]:
    """(h, w) classes -> (h, w, 4) RGBA: faint areas and, if wanted, one pixel of firm border between them."""
    if not border:
        opacity = np.where(classes > 0, round(255 * FILL), 0).astype(np.uint8)
        return np.dstack([colours[classes], opacity])
    right, below = classes.copy(), classes.copy()
    right[:, :-1], below[:-1] = classes[:, 1:], classes[1:]
    edges = (classes != right) | (classes != below)
    # beside the background the border has the colour of the class, on whichever side it is
    shown = np.where(edges, np.maximum(np.maximum(classes, right), below), classes)
    opacity = np.where(edges, round(255 * BORDER), round(255 * FILL)) * (shown > 0)
    return np.dstack([colours[shown], opacity.astype(np.uint8)])
