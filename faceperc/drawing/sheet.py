"""A transparent sheet over a part of the picture, drawn at a larger scale: shrinking smooths the edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from faceperc.drawing.palette import BLACK, Colour

Array = NDArray[np.float64]

RIM = BLACK  # every stroke has a dark rim: it shows on dark and on bright pictures


class Sheet:
    """What strokes are drawn on before they are laid on the picture. Positions are image pixels.

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
        self._scale = 3 if max(width, height) <= 500 else 2 if stroke < 6 else 1
        self._image = Image.new("RGBA", (width * self._scale, height * self._scale))
        self._draw = ImageDraw.Draw(self._image)

    def box(self, box: Array, colour: Colour, dashes: int = 0) -> None:
        """A frame with round corners around (4,) x0, y0, x1, y1, broken into dashes per side where wanted.

        Draw it first: the gaps between the dashes are cut out of the sheet.
        """
        (x0, y0), (x1, y1) = self._place(box.reshape(2, 2))
        radius = 0.06 * self._scale * max(box[2] - box[0], box[3] - box[1])
        for width, fill in ((2.2, (*RIM, 90)), (1.0, (*colour, 255))):
            grow = width * self.stroke * self._scale / 2
            outer = (x0 - grow, y0 - grow, x1 + grow, y1 + grow)
            self._draw.rounded_rectangle(outer, radius + grow, outline=fill, width=max(1, round(2 * grow)))
        reach = 2.2 * self.stroke * self._scale  # more than the half width of the frame
        for gap in range(dashes - 1):
            low, high = ((gap + share) / (dashes - 1) for share in (0.3, 0.7))
            left, right = x0 + low * (x1 - x0), x0 + high * (x1 - x0)
            top, bottom = y0 + low * (y1 - y0), y0 + high * (y1 - y0)
            for y in (y0, y1):
                self._draw.rectangle((left, y - reach, right, y + reach), fill=(0, 0, 0, 0))
            for x in (x0, x1):
                self._draw.rectangle((x - reach, top, x + reach, bottom), fill=(0, 0, 0, 0))

    def line(self, points: Array, colour: Colour, width: float, rim: float = 1.2) -> None:
        """A polyline through (K, 2) points; ``width`` and that of its dark rim in strokes."""
        if len(points) < 2:
            return
        path = [tuple(point) for point in self._place(points)]
        for extra, fill in ((rim, (*RIM, 110)), (0.0, (*colour, 255))):
            pixels = max(1, round((width + extra) * self.stroke * self._scale))
            self._draw.line(path, fill=fill, width=pixels, joint="curve")

    def dots(self, points: Array, radius: float, colour: Colour, hollow: NDArray[np.bool_]) -> None:
        """Discs, or rings where they are hollow.

        Args:
            points: (K, 2) their centres.
            radius: image pixels.
            colour: their colour.
            hollow: (K,) which ones are rings.
        """
        outer, inner = ((radius + grow) * self._scale for grow in (min(0.6 * self.stroke, 0.5 * radius), 0.0))
        ring = max(1, round(inner / 3))
        for (x, y), is_hollow in zip(self._place(points).tolist(), hollow.tolist(), strict=True):
            self._draw.ellipse((x - outer, y - outer, x + outer, y + outer), fill=(*RIM, 150))
            place = (x - inner, y - inner, x + inner, y + inner)
            if is_hollow:
                self._draw.ellipse(place, fill=(*RIM, 110), outline=(*colour, 255), width=ring)
            else:
                self._draw.ellipse(place, fill=(*colour, 255))

    def haze(self, points: Array, radii: Array, colour: Colour, opacity: float) -> None:
        """Faint discs, whose overlaps are no darker; draw them before what they lie behind.

        Args:
            points: (K, 2) their centres.
            radii: (K,) image pixels.
            colour: their colour.
            opacity: in [0, 1].
        """
        fill = (*colour, round(255 * opacity))
        for (x, y), r in zip(self._place(points).tolist(), (radii * self._scale).tolist(), strict=True):
            self._draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)

    def area(self, points: Array, colour: Colour, opacity: float) -> None:
        """A polygon (K, 2) without a border; draw it before what lies on it."""
        path = [tuple(point) for point in self._place(points)]
        self._draw.polygon(path, fill=(*colour, round(255 * opacity)))

    def lay_on(self, picture: Image.Image) -> None:
        """Shrink the sheet and blend it into the picture."""
        small = self._image.reduce(self._scale) if self._scale > 1 else self._image
        picture.paste(small, self._corner, small)

    def _place(self, points: Array) -> Array:
        """Image pixels -> pixels of the sheet."""
        return (points + 0.5 - np.array(self._corner)) * self._scale - 0.5
