"""Where blocks of text go: into the picture, beside what they describe, over nothing that matters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Place = tuple[int, int]  # left and top, pixels
Size = tuple[int, int]  # width and height, pixels


def beside(box: Array, block: Size, gap: float) -> Array:
    """(12, 2) places of a block around a box (4,), best first: right, left, below, above."""
    x0, y0, x1, y1 = box
    width, height = block
    across = [y0, y1 - height, (y0 + y1 - height) / 2]
    along = [x0, x1 - width, (x0 + x1 - width) / 2]
    right = [(x1 + gap, y) for y in across]
    left = [(x0 - gap - width, y) for y in across]
    below = [(x, y1 + gap) for x in along]
    above = [(x, y0 - gap - height) for x in along]
    return np.array(right + left + below + above)


def at_edges(picture: Size, block: Size, gap: float) -> Array:
    """(8, 2) places of a block in the corners and at the middles of the edges of a picture."""
    width, height = picture[0] - block[0], picture[1] - block[1]
    left, top, right, bottom = gap, gap, width - gap, height - gap
    corners = [(left, bottom), (right, bottom), (left, top), (right, top)]
    middles = [(width / 2, bottom), (width / 2, top), (left, height / 2), (right, height / 2)]
    return np.array(corners + middles)


def first_free(places: Array, block: Size, picture: Size, taken: Array | Sequence[Array]) -> Place | None:
    """The first place where a block lies in the picture and covers nothing.

    Args:
        places: (K, 2) left and top, pixels; one that reaches over the picture's edge is moved inside.
        block: the size of the block.
        picture: the size of the picture.
        taken: boxes (4,) x0, y0, x1, y1 that must not be covered.

    Returns:
        Left and top in whole pixels, or None where each place covers something.
    """
    room = np.array(picture) - block
    if (room < 0).any():
        return None
    corners = np.clip(places, 0, room).round()
    boxes = np.hstack([corners, corners + block])
    others = np.asarray(taken, dtype=np.float64).reshape(-1, 4)
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    is_free = ~np.any(np.all(low < high, axis=2), axis=1)
    if not is_free.any():
        return None
    x, y = corners[int(is_free.argmax())]
    return int(x), int(y)
