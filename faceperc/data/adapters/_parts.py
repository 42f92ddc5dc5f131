"""What the parsing data sets share: class maps as their authors drew them -> our labels and boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceperc.data.folder import existing
from faceperc.data.source import decode_labels
from faceperc.errors import DataError
from faceperc.heads.parsing import CLASSES, SetMask

#: A pixel of which nothing is known.
UNKNOWN = 255

_SINGLE = tuple(1 << index for index in range(len(CLASSES)))
_SIDES = ((2, 3), (4, 5))  # brows and eyes: (left, right)
_NOSE = 6
_MOUTH = (7, 8, 9)


def parsing_label(ids: NDArray[np.uint8]) -> SetMask:
    """A label with one class in each pixel.

    Authors mean the viewer's left by "left", or do not say. The subject's left follows from the face itself.

    Args:
        ids: (H, W) indices of ``faceperc.heads.parsing.CLASSES``, where left and right may be either the
            viewer's or the subject's, the same for brows and eyes; UNKNOWN where nothing is known.
    """
    sets = np.zeros(256, np.int16)
    sets[: len(CLASSES)] = _SINGLE
    side = _named_left({index: _centre(ids == index) for index in range(2, 10) if (ids == index).any()})
    if side < 0:
        sets[[2, 3, 4, 5]] = sets[[3, 2, 5, 4]]
    elif side == 0:
        sets[2:6] = 0
    return SetMask(sets[ids], _SINGLE)


def _named_left(centres: dict[int, NDArray[np.float64]]) -> float:
    """Which side "left" is: > 0 the subject's, < 0 the viewer's, 0 if nothing tells.

    With the mouth down, the subject's left is at the image's right: seen from the other brow or eye, or in a
    profile, which shows one of them, seen from the nose.

    Args:
        centres: class -> (2,) x, y of its centre.
    """
    nose = centres.get(_NOSE)
    pairs = [(centres[left], centres[right]) for left, right in _SIDES if {left, right} <= centres.keys()]
    top = np.mean(pairs, axis=(0, 1)) if pairs else nose
    mouth = [centres[index] for index in _MOUTH if index in centres]
    bottom = np.mean(mouth, axis=0) if mouth else nose
    if top is None or bottom is None:
        return 0.0
    if not pairs:
        pairs = [(centres.get(left, top), centres.get(right, top)) for left, right in _SIDES]
    to_left = np.mean([left - right for left, right in pairs], axis=0)
    down = bottom - top
    return float(to_left[0] * down[1] - to_left[1] * down[0])


def forget_neck(ids: NDArray[np.uint8], box: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The same map without the background beside and below the face, for data sets in which that includes the
    neck (and the ears): for us those are skin, and nothing tells them from the true background.

    Args:
        ids: (H, W) indices of CLASSES.
        box: (4,) x0, y0, x1, y1 of the face, hairline to chin.
    """
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    columns = slice(max(0, round(x0 - 0.25 * width)), max(0, round(x1 + 0.25 * width)))
    rows = slice(max(0, round(y0 + 0.3 * height)), max(0, round(y1 + height)))
    result = ids.copy()
    around = result[rows, columns]
    around[around == CLASSES.index("background")] = UNKNOWN
    return result


def box_around(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(4,) x0, y0, x1, y1: the centres of the outermost pixels of a mask (H, W) that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1], rows[-1]], dtype=np.float64)


def read_map(path: Path, shape: tuple[int, ...], what: str) -> NDArray[np.uint8]:
    """(H, W) pixel values of a PNG beside a photograph.

    Args:
        path: the file.
        shape: (H, W, ...) of the photograph.
        what: what the file should hold, for the message.

    Raises:
        DataError: if it is missing or damaged or has another size than the photograph.
    """
    values = decode_labels(existing(path, what).read_bytes(), str(path))
    if values.shape != shape[:2]:
        raise DataError(f"{path}: {values.shape} pixels, but its photograph has {shape[:2]}")
    return values


def _centre(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(2,) mean x, y of a mask's pixels."""
    return np.argwhere(mask).mean(axis=0)[::-1]
