"""A margin beside the picture for all text: then nothing in the picture is covered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from faceperc.drawing.block import BACKGROUND, Block, Legend
from faceperc.drawing.captions import MIN_FONT, extent, font_size, reach
from faceperc.drawing.fonts import Fonts
from faceperc.drawing.layout import Place, Size, beside, first_free
from faceperc.drawing.masks import legend_entries
from faceperc.drawing.rows import Row, descriptions
from faceperc.results import Face, Faces

MAX_COLUMNS = 2  # more only where even the shortest descriptions need them


def add_margin(picture: Image.Image, faces: Faces, fonts: Fonts) -> Image.Image:
    """A wider picture, with the text of all faces and the legend on its right; higher, too, if a block is.

    Where there are several faces, each has a number beside it and in front of its text.
    """
    largest = max((float(max(face.box[2:] - face.box[:2])) for face in faces), default=0.0)
    size = max(font_size(largest, picture.size), 0.02 * reach(picture.size))
    gap = round(0.6 * size)
    numbers = _numbers(faces)
    entries = legend_entries(faces)
    legend = [Legend(entries, 1, size, fonts)] if entries else []
    levels = [list(descriptions(face)) for face in faces]
    blocks: Sequence[Block | Legend] = legend
    for level in range(max(map(len, levels), default=0)):
        texts = [
            _numbered(each[min(level, len(each) - 1)], number)
            for each, number in zip(levels, numbers, strict=True)
            if each
        ]
        blocks = [*(Block(rows, size, fonts) for rows in texts), *legend]
        _, columns = _stack([block.size for block in blocks], picture.height, gap)
        if columns <= MAX_COLUMNS:
            break
    if not blocks:
        return picture
    sizes = [block.size for block in blocks]
    height: float = picture.height
    places, columns = _stack(sizes, picture.height, gap)
    while columns > MAX_COLUMNS and _end(places, sizes)[0] > max(2 * picture.width, height):
        height *= 1.25  # a crowd: rather a high picture than one that is nothing but margin
        places, columns = _stack(sizes, height, gap)
    width, bottom = (end + gap for end in _end(places, sizes))
    wide = Image.new("RGB", (picture.width + width, max(picture.height, bottom)), BACKGROUND)
    wide.paste(picture)
    _draw_tags(wide, picture.size, faces, numbers, fonts)
    for block, (x, y) in zip(blocks, places, strict=True):
        block.draw(wide, (picture.width + x, y))
    return wide


def _numbers(faces: Faces) -> list[int | None]:
    """What each face is called: its track, or its place among several; a single one needs no number."""
    if len(faces) == 1:
        return [None]
    return [index if face.track is None else face.track for index, face in enumerate(faces)]


def _numbered(rows: list[Row], number: int | None) -> list[Row]:
    if number is None:
        return rows
    first, mark = rows[0], f"#{number}"
    if not first.name:  # one line
        return rows if first.value.startswith(mark) else [Row("", f"{mark}  {first.value}", first.share)]
    if first.name in ("face", "head"):
        return [Row(f"{first.name} {number}", first.value, first.share), *rows[1:]]
    return rows if first.name.endswith(f" {number}") else [Row(mark, ""), *rows]


def _end(places: list[Place], sizes: list[Size]) -> tuple[int, int]:
    """The right and the lower end of blocks."""
    ends = [(x + width, y + height) for (x, y), (width, height) in zip(places, sizes, strict=True)]
    return max(x for x, _ in ends), max(y for _, y in ends)


def _stack(sizes: list[Size], height: float, gap: int) -> tuple[list[Place], int]:
    """Blocks below each other, in as many columns as the height asks for: their places and the columns."""
    places: list[Place] = []
    x = y = gap
    widest, columns = 0, 1
    for block_width, block_height in sizes:
        if y > gap and y + block_height + gap > height:
            x, y, widest, columns = x + widest + gap, gap, 0, columns + 1
        places.append((x, y))
        y += block_height + gap
        widest = max(widest, block_width)
    return places, columns


def _draw_tags(
    picture: Image.Image, room: Size, faces: Faces, numbers: list[int | None], fonts: Fonts
) -> None:
    """The number of each face, where it finds a place beside it."""
    taken = [extent(face) for face in faces]
    for face, number in zip(faces, numbers, strict=True):
        if number is None:
            continue
        block = Block([Row("", f"#{number}")], max(MIN_FONT, 0.014 * reach(room)), fonts)
        place = _tag_place(face, block, room, taken)
        if place is not None:
            block.draw(picture, place)
            x, y = place
            taken.append(np.array([x, y, x + block.size[0], y + block.size[1]], dtype=np.float64))


def _tag_place(face: Face, block: Block, room: Size, taken: list[NDArray[np.float64]]) -> Place | None:
    around = beside(extent(face), block.size, 2.0)
    return first_free(np.vstack([around[9:], around[:9]]), block.size, room, taken)
