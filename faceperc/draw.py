"""Drawing by KIND: which task a result belongs to makes no difference.

Sizes follow the size of the face. Colours are those of Okabe and Ito (2008), which people with any colour
vision can tell apart; every stroke has a dark rim, so that it shows on dark and on bright images.
"""

from __future__ import annotations

from itertools import cycle
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from faceperc.captions import draw_captions
from faceperc.kind import Kind
from faceperc.kinds import Points, Rotation
from faceperc.mask import Mask
from faceperc.results import Face, Faces

Array = NDArray[np.float64]
Colour = tuple[int, int, int]
KindT = TypeVar("KindT", bound=Kind)

ORANGE, SKY, GREEN = (230, 159, 0), (86, 180, 233), (0, 158, 115)
YELLOW, BLUE, VERMILION, PURPLE = (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167)
WHITE, RIM = (255, 255, 255), (0, 0, 0)

MASK_COLOURS = (SKY, ORANGE, YELLOW, GREEN, BLUE, VERMILION, PURPLE)
MASK_OPACITY = 0.36
POINT_COLOURS = (YELLOW, SKY, PURPLE, GREEN)
AXIS_COLOURS = (VERMILION, GREEN, BLUE)  # head's axes: to the image's right, up, out of the face
BOX_COLOUR = WHITE
DASHES = 5  # on each side of the box of a head that shows no face


def draw_faces(faces: Faces, captions: bool = True) -> Image.Image:
    """The image with every result of every face drawn on it.

    Args:
        faces: the faces of one image.
        captions: write beside each face what cannot be drawn.

    Returns:
        An RGB picture of the size of the image.
    """
    picture = Image.fromarray(faces.image).copy()
    for face in faces:
        for mask in _of_kind(face, Mask):
            _draw_mask(picture, mask)
    for face in faces:
        _draw_strokes(picture, face)
    if captions:
        draw_captions(picture, faces)
    return picture


def _of_kind(face: Face, kind: type[KindT]) -> list[KindT]:
    return [result for result in face.tasks.values() if isinstance(result, kind)]


def _draw_mask(picture: Image.Image, mask: Mask) -> None:
    """Lay the classes over the picture; the first class, the background, stays clear."""
    classes, corner = mask.in_region()
    if classes.size == 0:
        return
    colours = _mask_colours(len(mask.labels))
    overlay = Image.fromarray(colours[classes])
    opacity = Image.fromarray(np.where(classes > 0, round(255 * MASK_OPACITY), 0).astype(np.uint8))
    picture.paste(overlay, corner, opacity)


def _mask_colours(count: int) -> NDArray[np.uint8]:
    """(count, 3) uint8: a colour per class; beyond the seventh, lighter shades of the same hues."""
    colours = np.zeros((max(count, 1), 3))
    for index in range(1, count):
        turn, hue = divmod(index - 1, len(MASK_COLOURS))
        lightness = 1 - 0.5**turn
        colours[index] = np.array(MASK_COLOURS[hue]) * (1 - lightness) + 255 * lightness
    return colours.round().astype(np.uint8)


def _draw_strokes(picture: Image.Image, face: Face) -> None:
    """Box, points and axes of one face, on a sheet of their own that is drawn larger and shrunk."""
    x0, y0, x1, y1 = face.box
    side = max(x1 - x0, y1 - y0)
    points = _of_kind(face, Points)
    axes = [_axes(face.box, rotation) for rotation in _of_kind(face, Rotation)]
    ends = np.concatenate([face.box.reshape(2, 2), *(each.points for each in points), *axes])
    sheet = _Sheet(picture, ends, stroke=max(1.0, 0.5 + side / 150))
    sheet.box(face.box, BOX_COLOUR, dashes=DASHES if face.is_hidden else 0)
    for each, colour in zip(points, cycle(POINT_COLOURS), strict=False):
        _draw_points(sheet, each, colour, side)
    for tips in axes:
        _draw_axes(sheet, tips)
    sheet.lay_on(picture)


def _draw_points(sheet: _Sheet, result: Points, colour: Colour, side: float) -> None:
    for line in result.lines:
        sheet.line(result.points[list(line)], WHITE, 0.6)
    for point in result.points:
        sheet.dot(point, max(1.1, side / 120), colour)


def _axes(box: Array, rotation: Rotation) -> Array:
    """(4, 2) image points: the middle of the face, and the tips of the head's x, y and z axis."""
    x0, y0, x1, y1 = box
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    directions = rotation.matrix[:2].T * [1, -1]  # the camera's y points up, the image's down
    return np.vstack([middle, middle + 0.55 * max(x1 - x0, y1 - y0) * directions])


def _draw_axes(sheet: _Sheet, tips: Array) -> None:
    for tip, colour in zip(tips[1:], AXIS_COLOURS, strict=True):
        sheet.line(np.stack([tips[0], tip]), colour, 1.8)
        sheet.dot(tip, 1.8 * sheet.stroke, colour)


class _Sheet:
    """A transparent sheet over a part of the picture, drawn at a larger scale: shrinking smooths the edges.

    Attributes:
        stroke: width of a stroke of width 1, image pixels.
    """

    def __init__(self, picture: Image.Image, points: Array, stroke: float) -> None:
        """Cover all points (K, 2), and nothing outside the picture."""
        self.stroke = stroke
        margin = 6 * stroke
        low = np.floor(np.clip(points.min(axis=0) - margin, 0, picture.size)).astype(int)
        high = np.ceil(np.clip(points.max(axis=0) + margin, 0, picture.size)).astype(int)
        self._corner = (int(low[0]), int(low[1]))
        width, height = (int(value) for value in np.maximum(high - low, 1))
        self._scale = 4 if max(width, height) <= 800 else 2 if max(width, height) <= 3000 else 1
        self._image = Image.new("RGBA", (width * self._scale, height * self._scale))
        self._draw = ImageDraw.Draw(self._image)

    def box(self, box: Array, colour: Colour, dashes: int = 0) -> None:
        """A frame with round corners around (4,) x0, y0, x1, y1, broken into dashes per side where wanted.

        Draw it first: the gaps between the dashes are cut out of the sheet.
        """
        corners = [tuple(point) for point in self._place(box.reshape(2, 2))]
        radius = 0.06 * self._scale * max(box[2] - box[0], box[3] - box[1])
        for width, fill in ((2.2, (*RIM, 90)), (1.0, (*colour, 255))):
            grow = width * self.stroke * self._scale / 2
            (x0, y0), (x1, y1) = corners
            outer = (x0 - grow, y0 - grow, x1 + grow, y1 + grow)
            self._draw.rounded_rectangle(outer, radius + grow, outline=fill, width=max(1, round(2 * grow)))
        (x0, y0), (x1, y1) = corners
        reach = 2.2 * self.stroke * self._scale  # more than the half width of the frame
        for gap in range(dashes - 1):
            low, high = ((gap + share) / (dashes - 1) for share in (0.3, 0.7))
            left, right = x0 + low * (x1 - x0), x0 + high * (x1 - x0)
            top, bottom = y0 + low * (y1 - y0), y0 + high * (y1 - y0)
            for y in (y0, y1):
                self._draw.rectangle((left, y - reach, right, y + reach), fill=(0, 0, 0, 0))
            for x in (x0, x1):
                self._draw.rectangle((x - reach, top, x + reach, bottom), fill=(0, 0, 0, 0))

    def line(self, points: Array, colour: Colour, width: float) -> None:
        """A polyline through (K, 2) points; ``width`` in strokes."""
        if len(points) < 2:
            return
        path = [tuple(point) for point in self._place(points)]
        for extra, fill in ((1.2, (*RIM, 110)), (0.0, (*colour, 255))):
            pixels = max(1, round((width + extra) * self.stroke * self._scale))
            self._draw.line(path, fill=fill, width=pixels, joint="curve")

    def dot(self, point: Array, radius: float, colour: Colour) -> None:
        """A disc; ``radius`` in image pixels."""
        x, y = self._place(point)
        for grown, fill in ((radius + 0.6 * self.stroke, (*RIM, 150)), (radius, (*colour, 255))):
            r = grown * self._scale
            self._draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)

    def lay_on(self, picture: Image.Image) -> None:
        """Shrink the sheet and blend it into the picture."""
        small = self._image.reduce(self._scale) if self._scale > 1 else self._image
        picture.paste(small, self._corner, small)

    def _place(self, points: Array) -> Array:
        """Image pixels -> pixels of the sheet."""
        return (points + 0.5 - np.array(self._corner)) * self._scale - 0.5
