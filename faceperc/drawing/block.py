"""Blocks of text: the rows that describe a face, and the legend of masks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from PIL import Image, ImageDraw

from faceperc.drawing.fonts import Fonts
from faceperc.drawing.palette import Colour
from faceperc.drawing.rows import Row

BACKGROUND, OPACITY = (16, 18, 22), 0.78
NAME_COLOUR, VALUE_COLOUR = (176, 186, 196), (255, 255, 255)
TRACK_COLOUR, BAR_COLOUR = (52, 58, 66), (0, 92, 150)  # white letters on either have a contrast above 4.5 : 1


@dataclass(frozen=True)
class Block:
    """Rows of text in two columns on a dark ground; a probability is a bar behind its value.

    Attributes:
        rows: at least one.
        font_size: pixels.
        fonts: the fonts to draw with.
    """

    rows: list[Row]
    font_size: float
    fonts: Fonts

    @property
    def padding(self) -> float:
        """Pixels around the text."""
        return (0.5 if len(self.rows) > 1 else 0.3) * self.font_size

    @property
    def line_height(self) -> float:
        """Pixels from one row to the next."""
        return 1.36 * self.font_size

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        width = self._name_width + self._value_width + 2 * self.padding
        return math.ceil(width), math.ceil(len(self.rows) * self.line_height + 2 * self.padding)

    @cached_property
    def _name_width(self) -> float:
        widest = max(self._width(row.name) for row in self.rows)
        return widest + 0.7 * self.font_size if widest else 0.0

    @cached_property
    def _value_width(self) -> float:
        return max(self._width(row.value) + self._bar_width(row) for row in self.rows)

    def _bar_width(self, row: Row) -> float:
        """What the bar's ends and the percentage add to the width of a value, pixels."""
        if row.share is None:
            return 0.0
        return self._width("100%") + (1.3 if row.value else 2.4) * self.font_size

    def _width(self, text: str) -> float:
        return self.fonts.width(text, self.font_size)

    def draw(self, picture: Image.Image, place: tuple[int, int]) -> None:
        """Draw with the top left corner at ``place``."""
        _draw_ground(picture, place, self.size, min(self.padding, 0.4 * self.font_size))
        pen = ImageDraw.Draw(picture)
        left = place[0] + self.padding
        right = place[0] + self.size[0] - self.padding
        for index, row in enumerate(self.rows):
            middle = place[1] + self.padding + (index + 0.5) * self.line_height
            self._write(pen, (left, middle), row.name, NAME_COLOUR)
            start = left + self._name_width
            if row.share is not None:
                self._draw_bar(pen, (start, right), middle, row.share)
                start += 0.3 * self.font_size
                self._write(
                    pen, (right - 0.3 * self.font_size, middle), f"{row.share:.0%}", VALUE_COLOUR, "rm"
                )
            self._write(pen, (start, middle), row.value, VALUE_COLOUR)

    def _draw_bar(
        self, pen: ImageDraw.ImageDraw, ends: tuple[float, float], middle: float, share: float
    ) -> None:
        half = 0.53 * self.font_size
        top, bottom = round(middle - half), round(middle + half)
        left, right = round(ends[0]), round(ends[1])
        pen.rectangle((left, top, right, bottom), fill=TRACK_COLOUR)
        reach = left + round(share * (right - left))
        if reach > left:
            pen.rectangle((left, top, reach, bottom), fill=BAR_COLOUR)

    def _write(
        self,
        pen: ImageDraw.ImageDraw,
        place: tuple[float, float],
        text: str,
        colour: Colour,
        anchor: str = "lm",
    ) -> None:
        if text:
            pen.text(place, text, colour, self.fonts.get(text, self.font_size), anchor=anchor)


@dataclass(frozen=True)
class Legend:
    """The colours of masks and what they mean.

    Attributes:
        entries: colour and name of each; at least one.
        columns: over how many columns they are spread.
        font_size: pixels.
        fonts: the fonts to draw with.
    """

    entries: list[tuple[Colour, str]]
    columns: int
    font_size: float
    fonts: Fonts

    @property
    def _padding(self) -> float:
        return 0.5 * self.font_size

    @property
    def _lines(self) -> int:
        return math.ceil(len(self.entries) / self.columns)

    @cached_property
    def _column_width(self) -> float:
        widest = max(self.fonts.width(name, self.font_size) for _, name in self.entries)
        return widest + 2.0 * self.font_size

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        width = self.columns * self._column_width - 0.7 * self.font_size + 2 * self._padding
        return math.ceil(width), math.ceil(self._lines * 1.3 * self.font_size + 2 * self._padding)

    def draw(self, picture: Image.Image, place: tuple[int, int]) -> None:
        """Draw with the top left corner at ``place``."""
        _draw_ground(picture, place, self.size, 0.4 * self.font_size)
        pen = ImageDraw.Draw(picture)
        for index, (colour, name) in enumerate(self.entries):
            column, line = divmod(index, self._lines)
            x = place[0] + self._padding + column * self._column_width
            middle = place[1] + self._padding + (line + 0.5) * 1.3 * self.font_size
            half = 0.4 * self.font_size
            pen.rectangle((x, middle - half, x + 2 * half, middle + half), fill=colour)
            font = self.fonts.get(name, self.font_size)
            pen.text((x + 1.3 * self.font_size, middle), name, VALUE_COLOUR, font, anchor="lm")


def _draw_ground(picture: Image.Image, place: tuple[int, int], size: tuple[int, int], radius: float) -> None:
    """A dark translucent area with round corners."""
    scale = 3 if radius < 12 else 1  # drawn larger and shrunk: smooth corners
    area = Image.new("L", (scale * size[0], scale * size[1]))
    ImageDraw.Draw(area).rounded_rectangle(
        (0, 0, area.width - 1, area.height - 1), scale * radius, fill=round(255 * OPACITY)
    )
    picture.paste(BACKGROUND, (*place, place[0] + size[0], place[1] + size[1]), area.reduce(scale))
