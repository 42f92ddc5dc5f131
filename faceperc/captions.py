"""Blocks of text beside the faces: they stay in the image and cover no face while there is room elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from faceperc.kinds import Classes, Probabilities, Rotation, Scalar
from faceperc.results import Face, Faces

Array = NDArray[np.float64]
Row = tuple[str, str]  # name and value, the two columns of a block

MIN_FONT, SMALL_FONT, MAX_FONT = 9.0, 13.0, 48.0  # pixels
MAX_LABELS = 4  # of a task with independent labels only the likeliest are named
BACKGROUND = (16, 18, 22, 190)
NAME_COLOUR, VALUE_COLOUR = (176, 186, 196), (255, 255, 255)


def draw_captions(picture: Image.Image, faces: Faces) -> None:
    """Draw a block for each face that has something to say."""
    boxes = [face.box for face in faces]
    taken: list[Array] = []
    for face in faces:
        rows = caption(face)
        if rows:
            others = [box for box in boxes if box is not face.box] + taken
            block, (x, y) = _arrange(rows, face.box, others, picture.size)
            block.draw(picture, (x, y))
            taken.append(np.array([x, y, x + block.width, y + block.height]))


def caption(face: Face) -> list[Row]:
    """The rows (name, value) that describe a face; points and masks speak for themselves in the picture."""
    name = "face" if face.track is None else f"face {face.track}"
    rows: list[Row] = [] if math.isnan(face.score) else [(name, f"{face.score:.0%}")]
    if face.is_hidden:
        rows = [("head", "face not seen")]
    for name, result in face.tasks.items():
        if isinstance(result, Rotation | Classes | Scalar):
            rows.append((name, result.summary()))
        elif isinstance(result, Probabilities):
            likely = list(result.above(0.5).items())[:MAX_LABELS]
            names = [name] + [""] * MAX_LABELS
            rows += [
                (names[index], f"{label.replace('_', ' ')} {value:.0%}")
                for index, (label, value) in enumerate(likely)
            ]
    return rows


def _arrange(
    rows: list[Row], face: Array, others: list[Array], size: tuple[int, int]
) -> tuple[_Block, tuple[int, int]]:
    """The largest block that covers nothing: smaller letters first, then fewer rows, the last ones first.

    Where there is no such block, as on a close-up, one that covers a little of the face itself.
    """
    side = float(max(face[2:] - face[:2]))
    font_size = max(MIN_FONT, min(0.11 * side, MAX_FONT, 0.045 * max(size)))
    while True:
        block = _Block(rows, font_size).fitted(size)
        place, cost = _place(block, face, others, size)
        if cost == 0:
            return block, place
        if font_size > SMALL_FONT:
            font_size = max(SMALL_FONT, 0.8 * font_size)
        elif cost > 0.15 * side * side and len(rows) > 1:
            rows = rows[:-1]
        else:
            return block, place


@dataclass(frozen=True)
class _Block:
    """Rows of text in two columns.

    Attributes:
        rows: name and value of each row.
        font_size: pixels.
    """

    rows: list[Row]
    font_size: float

    def fitted(self, size: tuple[int, int]) -> _Block:
        """The block, with smaller letters and then fewer rows until it fits into an image of that size."""
        block = self
        while (block.width > size[0] or block.height > size[1]) and block.font_size > MIN_FONT:
            block = _Block(block.rows, block.font_size - 1)
        while block.height > size[1] and len(block.rows) > 1:
            block = _Block(block.rows[:-1], block.font_size)
        return block

    @property
    def font(self) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        return _font(round(self.font_size, 1))

    @property
    def padding(self) -> float:
        return 0.5 * self.font_size

    @property
    def line_height(self) -> float:
        return 1.3 * self.font_size

    @cached_property
    def name_width(self) -> float:
        widest = max(self.font.getlength(name) for name, _ in self.rows)
        return widest + 0.6 * self.font_size

    @cached_property
    def width(self) -> int:
        widest = max(self.font.getlength(value) for _, value in self.rows)
        return math.ceil(self.name_width + widest + 2 * self.padding)

    @property
    def height(self) -> int:
        return math.ceil(len(self.rows) * self.line_height + 2 * self.padding)

    def draw(self, picture: Image.Image, place: tuple[int, int]) -> None:
        """Draw with the top left corner at ``place``."""
        scale = 4  # drawn larger and shrunk: smooth corners
        sheet = Image.new("RGBA", (scale * self.width, scale * self.height))
        ImageDraw.Draw(sheet).rounded_rectangle(
            (0, 0, sheet.width - 1, sheet.height - 1), scale * self.padding, fill=BACKGROUND
        )
        sheet = sheet.reduce(scale)
        picture.paste(sheet, place, sheet)
        pen, font, name_width = ImageDraw.Draw(picture), self.font, self.name_width
        for index, (name, value) in enumerate(self.rows):
            x = place[0] + self.padding
            middle = place[1] + self.padding + (index + 0.5) * self.line_height
            pen.text((x, middle), name, NAME_COLOUR, font, anchor="lm")
            pen.text((x + name_width, middle), value, VALUE_COLOUR, font, anchor="lm")


@lru_cache(maxsize=64)
def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _place(
    block: _Block, face: Array, others: list[Array], size: tuple[int, int]
) -> tuple[tuple[int, int], float]:
    """The best corner for a block beside a face, and the pixels that it covers there: those of its own face,
    and ten times those of other faces and blocks."""
    x0, y0, x1, y1 = face
    gap = 0.6 * block.font_size
    covered = np.array([face, *others])
    width, height = block.width, block.height
    candidates = (
        (x1 + gap, y0),
        (x0 - gap - width, y0),
        (x0, y1 + gap),
        (x0, y0 - gap - height),
        (x1 + gap, y1 - height),
        (x0 - gap - width, y1 - height),
        (size[0] - width, 0),
        (0, 0),
        (size[0] - width, size[1] - height),
        (0, size[1] - height),
    )
    best, least = (0, 0), math.inf
    for x, y in candidates:
        # into the image: this may push the block over the face, which then counts as cost
        left, top = min(max(x, 0), size[0] - width), min(max(y, 0), size[1] - height)
        place = (max(0, round(left)), max(0, round(top)))
        shared = _overlaps(np.array([*place, place[0] + width, place[1] + height]), covered)
        cost = float(shared[0] + 10 * shared[1:].sum())
        if cost < least:
            best, least = place, cost
    return best, least


def _overlaps(box: Array, others: Array) -> Array:
    """(N,) pixels that a box (4,) shares with each of the others (N, 4)."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    return sides.clip(min=0).prod(axis=1)
