"""Face boxes of other conventions, and a landmark set with a known error, brought to ours."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# Median of (landmark box - YuNet box) / (w, h, w, h) over ytf68/train, made symmetric in x:
# `python -m faceperc.detector.sources` measures it again.
_YUNET_TO_BOX = np.array([-0.038, 0.066, 0.038, 0.010])


def box_from_yunet(boxes: ArrayLike) -> Array:
    """(..., 4) boxes of YuNet (Wu et al., MIR 2023) -> (..., 4) boxes from hairline to chin."""
    array = np.asarray(boxes, dtype=np.float64)
    size = array[..., 2:] - array[..., :2]
    return array + _YUNET_TO_BOX * np.concatenate([size, size], axis=-1)


def corrected_ytf_landmarks(points: ArrayLike) -> Array:
    """(68, 2) points of ytf68 without their systematic shift (see the pack's README)."""
    array = np.asarray(points, dtype=np.float64).reshape(68, 2)
    return array - np.array([0.028, 0.012]) * np.linalg.norm(array[36] - array[45])
