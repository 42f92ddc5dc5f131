"""Where the head is under hair that was photographed from behind: a rough box from a hair mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SMALLEST = 0.2  # of the picture's width: narrower hair is a strand, or a mask that begins with one


def head_box_from_hair(mask: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """The box that the face would have if one could look through the head, give or take a fifth.

    A head under hair is about as high as wide, so its width is that of the hair within its own width below
    the hair's top; long hair that falls further down does not count. The shares of the width (0.72 wide, from
    0.2 below the top to 1.1) were chosen by looking at 40 photographs of figaro1k.

    Args:
        mask: (H, W) where there is hair.

    Returns:
        (4,) x0, y0, x1, y1 in pixels; None where the hair is too little or cut off at the top.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if len(rows) == 0 or rows[0] == 0:
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left = mask[top:bottom].argmax(axis=1).astype(np.float64)
    right = mask.shape[1] - mask[top:bottom, ::-1].argmax(axis=1)
    span = np.where(mask[top:bottom].any(axis=1), right - left, 0.0)
    width = float(span[: max(1, len(span) // 10)].max())
    for _ in range(20):
        width = float(np.percentile(span[: max(1, int(0.9 * width))], 90))
    middle = slice(int(0.2 * width), max(int(0.2 * width) + 1, int(0.9 * width)))
    if width < SMALLEST * mask.shape[1] or not (span[middle] > 0).any():
        return None
    centre = float(np.median(((left + right - 1) / 2)[middle][span[middle] > 0]))
    return np.array([centre - 0.36 * width, top + 0.2 * width, centre + 0.36 * width, top + 1.1 * width])
