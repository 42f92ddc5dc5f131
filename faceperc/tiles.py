"""Tiles: how a large image is cut up, so that a detector sees its small faces at their own size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceperc.metadata import DetectorInfo

Array = NDArray[np.float64]

MAX_TILES = 64  # bounds the time on a huge picture: beyond, the tiles are larger, and are shrunk
# Where there are tiles, the whole picture answers for large faces and the tiles for small ones. In between
# both do: the two limits, as multiples of the file's min_face in the shrunk picture, leave room for boxes
# that are a little wrong.
WHOLE_FROM, TILES_TO = 1.5, 2.0
TALL = 1.5  # no face in the picture is taller than this many times the picture's shorter side
MARGIN = 4  # input pixels: a box this near to a border may be cut by it


@dataclass(frozen=True)
class Tile:
    """A part of an image, whole pixels x0 to x1 - 1 and y0 to y1 - 1.

    Attributes:
        x0: its first column.
        y0: its first row.
        x1: the column behind its last.
        y1: the row behind its last.
        size: W, H of the image.
        margin: boxes this near to a border inside the image count as cut, image pixels.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    size: tuple[int, int]
    margin: float

    def of(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The tile's part of the image, without a copy."""
        return image[self.y0 : self.y1, self.x0 : self.x1]

    def holds(self, boxes: Array) -> NDArray[np.bool_]:
        """(N,) whether a box (N, 4) in image pixels lies in the tile and is cut by none of its borders.

        A border of the image cuts nothing that another tile could see better.
        """
        width, height = self.size
        low = [start - 0.5 + self.margin if start > 0 else -math.inf for start in (self.x0, self.y0)]
        high = [
            end - 0.5 - self.margin if end < size else math.inf
            for end, size in ((self.x1, width), (self.y1, height))
        ]
        return np.logical_and((boxes[:, :2] >= low).all(axis=1), (boxes[:, 2:] <= high).all(axis=1))


def answers_for(boxes: Array, width: int, height: int, info: DetectorInfo) -> NDArray[np.bool_]:
    """(N,) whether boxes (N, 4) found in the whole picture are large enough not to be left to the tiles.

    Args:
        boxes: x0, y0, x1, y1 in image pixels.
        width: of the image, px.
        height: of the image, px.
        info: the detector's settings.
    """
    smallest = WHOLE_FROM * info.min_face * max(width, height) / info.max_side
    large: NDArray[np.bool_] = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0) >= smallest
    return large


def tiles_of(width: int, height: int, info: DetectorInfo) -> list[Tile]:
    """Overlapping tiles over an image, row by row; none where one pass sees it at its own size.

    Each box that is too small for the whole picture, up to TILES_TO times ``min_face`` when that is shrunk to
    ``max_side``, is held by at least one tile, wherever it lies: so far do the tiles overlap. They have the
    size of the detector's input and the image's own resolution, as long as there are no more than MAX_TILES.

    Args:
        width: of the image, px.
        height: of the image, px.
        info: the detector's settings.
    """
    longer = max(width, height)
    if longer <= info.max_side:
        return []
    face = min(TILES_TO * info.min_face * longer / info.max_side, TALL * min(width, height))
    side = max(info.max_side, math.ceil(2 * face))
    while True:
        margin = MARGIN * max(1.0, side / info.max_side)
        overlap = math.ceil(face + 2 * margin)
        columns, rows = (_starts(length, side, overlap) for length in (width, height))
        if len(columns) * len(rows) <= MAX_TILES:
            break
        side = math.ceil(1.05 * side)
    size = width, height
    return [
        Tile(x, y, min(x + side, width), min(y + side, height), size, margin) for y in rows for x in columns
    ]


def _starts(length: int, side: int, overlap: int) -> list[int]:
    """First pixels of the fewest tiles that cover a length evenly and overlap by at least so much."""
    if length <= side:
        return [0]
    steps = math.ceil((length - side) / (side - overlap))
    return [step * (length - side) // steps for step in range(steps + 1)]
