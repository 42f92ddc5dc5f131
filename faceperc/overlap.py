"""How much boxes overlap. NumPy only; both halves use it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def iou_matrix(a: Array, b: Array) -> Array:
    """(A, B) intersection over union, in [0, 1], of (A, 4) and (B, 4) boxes x0, y0, x1, y1."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    overlap = (high - low).clip(min=0).prod(-1)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(-1), (b[:, 2:] - b[:, :2]).prod(-1)
    return np.asarray(overlap / np.maximum(area_a[:, None] + area_b[None] - overlap, 1e-9))
