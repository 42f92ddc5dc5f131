"""Masks as COCO's run lengths in the frame of the image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceperc.errors import UsageError
from faceperc.mask import Mask


def coco_rle(mask: Mask) -> list[dict[str, Any]]:
    """Each class's pixels in the image as COCO's compressed run lengths, which pycocotools decodes.

    Returns:
        ``{"label", "size": [H, W], "counts"}`` for each class that has a pixel, but for the first, which is
        what the others leave.

    Raises:
        UsageError: if pycocotools is not installed.
    """
    coco = import_pycocotools()
    height, width = mask.image_shape
    part, (left, top) = mask.in_region()
    codes = []
    for index, label in enumerate(mask.labels[1:], start=1):
        columns, rows = np.nonzero((part == index).T)  # COCO counts down the columns
        if not len(rows):
            continue
        counts = _run_lengths((columns + left) * height + rows + top, height * width)
        code = coco.frPyObjects({"size": [height, width], "counts": counts}, height, width)
        codes.append({"label": label, "size": [height, width], "counts": code["counts"].decode("ascii")})
    return codes


def import_pycocotools() -> Any:
    """The module ``pycocotools.mask``.

    Raises:
        UsageError: if it is not installed.
    """
    try:
        from pycocotools import mask
    except ImportError as error:
        raise UsageError(
            'masks as run lengths need pycocotools: pip install "faceperc[batch]", or give --masks png'
        ) from error
    return mask


def _run_lengths(positions: NDArray[np.int64], length: int) -> list[int]:
    """Lengths of the runs outside and inside, in turn, of a sequence that is true at sorted positions."""
    breaks = np.flatnonzero(np.diff(positions) > 1)
    starts = positions[np.r_[0, breaks + 1]]
    ends = positions[np.r_[breaks, len(positions) - 1]] + 1
    borders = np.stack([starts, ends], axis=1).ravel()
    return np.diff(np.r_[0, borders, length]).tolist()
