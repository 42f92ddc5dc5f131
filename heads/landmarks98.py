"""Landmarks: the 98 points of WFLW, each with its expected error.

Wu et al., "Look at Boundary: A Boundary-Aware Face Alignment Algorithm", CVPR 2018.
"""

from __future__ import annotations

import numpy as np

from faceperc.data.mean_face import BROW_HEIGHT, MEAN_FACE, along
from faceperc.head import OutputInfo
from faceperc.points import PointsHead, mirror_permutation

#: Polylines of the parts; closed ones end with their first point.
LINES: tuple[tuple[int, ...], ...] = (
    tuple(range(33)),  # jaw
    (*range(33, 42), 33),  # brow at the image left, its upper edge first
    (*range(42, 51), 42),
    tuple(range(51, 55)),  # nose bridge
    tuple(range(55, 60)),
    (*range(60, 68), 60),  # eye at the image left
    (*range(68, 76), 68),
    (*range(76, 88), 76),  # outer lips
    (*range(88, 96), 88),  # inner lips
)

#: The point that each point becomes in a mirror.
MIRROR = mirror_permutation(
    98,
    (range(16), range(32, 16, -1)),  # jaw
    (range(33, 38), range(46, 41, -1)),  # brows, upper edges
    (range(38, 42), range(50, 46, -1)),
    ((55, 56), (59, 58)),
    (range(60, 65), range(72, 67, -1)),  # upper lids, corner to corner
    (range(65, 68), range(75, 72, -1)),
    ((76, 77, 78), (82, 81, 80)),
    ((86, 87), (84, 83)),
    ((88, 89), (92, 91)),
    ((95,), (93,)),
    ((96,), (97,)),  # pupils
)

_QUARTERS = 0.75 * np.arange(5)  # five points on a line of four

#: (98, 2) on the mean face, centimetres.
START = np.concatenate(
    [
        along(range(17), np.arange(33) / 2),
        MEAN_FACE[17:22, :2],
        MEAN_FACE[21:17:-1, :2] - [0.0, BROW_HEIGHT],
        MEAN_FACE[22:27, :2],
        MEAN_FACE[25:21:-1, :2] - [0.0, BROW_HEIGHT],
        MEAN_FACE[27:36, :2],
        along((36, 37, 38, 39), _QUARTERS),
        along((39, 40, 41, 36), _QUARTERS[1:4]),
        along((42, 43, 44, 45), _QUARTERS),
        along((45, 46, 47, 42), _QUARTERS[1:4]),
        MEAN_FACE[48:68, :2],
        MEAN_FACE[36:42, :2].mean(0, keepdims=True),
        MEAN_FACE[42:48, :2].mean(0, keepdims=True),
    ]
)


class Landmarks98(PointsHead):
    """A label is (98, 2) points in image pixels, WFLW order; NaN where a point is unknown."""

    info = OutputInfo("points", "98 landmarks in WFLW order", lines=LINES)
    start = START
    mirror = MIRROR
    normaliser = (60, 72)  # outer eye corners
