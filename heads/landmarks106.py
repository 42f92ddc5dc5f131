"""Landmarks: the 106 points of LaPa, each with its expected error.

Liu et al., "A New Dataset and Boundary-Attention Semantic Segmentation for Face Parsing", AAAI 2020. Other
schemes of 106 points have another order.
"""

from __future__ import annotations

import numpy as np

from faceperc.data.mean_face import MEAN_FACE, along
from faceperc.head import OutputInfo
from faceperc.heads import landmarks98
from faceperc.points import PointsHead, mirror_permutation

#: Polylines of the parts; closed ones end with their first point.
LINES: tuple[tuple[int, ...], ...] = (
    tuple(range(33)),  # jaw
    (*range(33, 42), 33),  # brow at the image left, its upper edge first
    (*range(42, 51), 42),
    tuple(range(51, 55)),  # nose bridge
    tuple(range(55, 66)),  # side, wing and base of the nose, and up again
    (*range(66, 74), 66),  # eye at the image left
    (*range(75, 83), 75),
    (*range(84, 96), 84),  # outer lips
    (*range(96, 104), 96),  # inner lips
)

#: The point that each point becomes in a mirror.
MIRROR = mirror_permutation(
    106,
    (range(16), range(32, 16, -1)),  # jaw
    (range(33, 38), range(46, 41, -1)),  # brows, upper edges
    (range(38, 42), range(50, 46, -1)),
    (range(55, 60), range(65, 60, -1)),  # nose
    (range(66, 71), range(79, 74, -1)),  # upper lids, corner to corner
    (range(71, 74), range(82, 79, -1)),
    ((74,), (83,)),  # middles of the eyes
    ((84, 85, 86), (90, 89, 88)),
    ((94, 95), (92, 91)),
    ((96, 97), (100, 99)),
    ((103,), (101,)),
    ((104,), (105,)),  # pupils
)

_BESIDE_NOSE = along((27, 39), [0.6])  # where the side of the nose begins, between bridge and eye
_NOSE_WING = MEAN_FACE[31:32, :2] + [-0.6, 0.5]  # centimetres: wider and higher than the nostril
_HALF_NOSE = np.concatenate([_BESIDE_NOSE, (_BESIDE_NOSE + _NOSE_WING) / 2, _NOSE_WING, MEAN_FACE[31:33, :2]])
_EYES, _PUPILS = landmarks98.START[60:76], landmarks98.START[96:]

#: (106, 2) on the mean face, centimetres.
START = np.concatenate(
    [
        landmarks98.START[:55],  # jaw, brows and nose bridge are WFLW's
        *(_HALF_NOSE, MEAN_FACE[33:34, :2], _HALF_NOSE[::-1] * [-1.0, 1.0]),
        *(_EYES[:8], _PUPILS[:1], _EYES[8:], _PUPILS[1:]),
        *(MEAN_FACE[48:68, :2], _PUPILS),
    ]
)


class Landmarks106(PointsHead):
    """A label is (106, 2) points in image pixels, LaPa order; NaN where a point is unknown."""

    info = OutputInfo("points", "106 landmarks in LaPa order", lines=LINES)
    start = START
    mirror = MIRROR
    normaliser = (66, 79)  # outer eye corners
