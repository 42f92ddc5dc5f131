"""Face boxes of other conventions, and a landmark set with a known error, brought to ours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceperc.crop import box_from_landmarks
from faceperc.data.mean_face import MEAN_FACE

Array = NDArray[np.float64]

# Median of (landmark box - YuNet box) / (w, h, w, h) over ytf68/train, made symmetric in x:
# `python -m faceperc.detector.sources` measures it again.
_YUNET_TO_BOX = np.array([-0.038, 0.066, 0.038, 0.010])


def box_from_yunet(boxes: ArrayLike) -> Array:
    """(..., 4) boxes of YuNet (Wu et al., MIR 2023) -> (..., 4) boxes from hairline to chin."""
    array = np.asarray(boxes, dtype=np.float64)
    size = array[..., 2:] - array[..., :2]
    return array + _YUNET_TO_BOX * np.concatenate([size, size], axis=-1)


def yunet_from_box(boxes: ArrayLike) -> Array:
    """(..., 4) boxes from hairline to chin -> (..., 4) boxes of YuNet: undoes ``box_from_yunet``."""
    array = np.asarray(boxes, dtype=np.float64)
    start, end = _YUNET_TO_BOX[:2], _YUNET_TO_BOX[2:]
    size = (array[..., 2:] - array[..., :2]) / (1 + end - start)
    return array - _YUNET_TO_BOX * np.concatenate([size, size], axis=-1)


def corrected_ytf_landmarks(points: ArrayLike) -> Array:
    """(68, 2) points of ytf68 without their systematic shift (see the pack's README)."""
    array = np.asarray(points, dtype=np.float64).reshape(68, 2)
    return array - np.array([0.028, 0.012]) * np.linalg.norm(array[36] - array[45])


def corrected_ibug_landmarks(points: ArrayLike) -> Array:
    """(68, 2) points of w300 without their systematic shift to the image's right.

    A mirror turns such a shift around, so what learns from photographs and their mirror images finds faces
    without it: faceperc-nano finds them 0.0095 of the inter-ocular distance further left than w300's labels
    have them, in LFPW, Helen and AFW alike, and the mean of MediaPipe's mesh and that of the mirror image
    0.0074 (medians over training photographs).
    """
    array = np.asarray(points, dtype=np.float64).reshape(68, 2)
    return array - np.array([0.0085, 0.0]) * np.linalg.norm(array[36] - array[45])


def box_from_fractions(fractions: ArrayLike, shape: tuple[int, ...]) -> Array:
    """(4,) box of a face crop in which faces always lie at the same place.

    Args:
        fractions: (4,) x0, y0, x1, y1 in units of the crop's width and height.
        shape: (H, W, ...) of the crop.
    """
    height, width = shape[:2]
    return np.asarray(fractions, dtype=np.float64) * [width, height, width, height]


def five_points(points: NDArray[Any]) -> NDArray[Any]:
    """(68, ...) iBUG points -> (5, ...): right eye, left eye, nose tip, right and left mouth corner."""
    return np.stack([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])


def box_from_five_points(points: ArrayLike) -> Array:
    """(4,) box of the mean face, turned, scaled and moved so that its five points come closest to the given.

    Args:
        points: (5, 2) eye centres, nose tip and mouth corners in image pixels; those at the left first.
    """
    flat = MEAN_FACE[:, :2] @ np.array([1.0, -1.0j])  # complex: a similarity is a product and a sum
    face = five_points(flat)
    wanted = np.asarray(points, dtype=np.float64) @ np.array([1.0, 1.0j])
    factor, shift = np.linalg.lstsq(np.column_stack([face, np.ones(5)]), wanted, rcond=None)[0]
    placed = factor * flat + shift
    return box_from_landmarks(np.column_stack([placed.real, placed.imag]))
