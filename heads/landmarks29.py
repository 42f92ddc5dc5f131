"""Landmarks: the 29 points of COFW, each with its expected error and whether it is visible.

Burgos-Artizzu et al., "Robust Face Landmark Estimation under Occlusion", ICCV 2013. The points are those of
LFPW (Belhumeur et al., CVPR 2011).
"""

from __future__ import annotations

import numpy as np

from faceperc.data.mean_face import BROW_HEIGHT, MEAN_FACE, along
from faceperc.head import OutputInfo
from faceperc.points import PointsHead, mirror_permutation

#: Polylines of the parts; closed ones end with their first point.
LINES: tuple[tuple[int, ...], ...] = (
    (0, 4, 2, 5, 0),  # brow at the image left: outer end, upper edge, inner end, lower edge
    (1, 6, 3, 7, 1),
    (8, 12, 10, 13, 8),  # eye at the image left: outer corner, upper lid, inner corner, lower lid
    (9, 14, 11, 15, 9),
    (18, 20, 19, 21, 18),  # nose: its sides, tip and base
    (22, 24, 23, 25, 22),  # upper lip
    (22, 26, 23, 27, 22),  # lower lip
)

#: The point that each point becomes in a mirror.
MIRROR = mirror_permutation(
    29, ((0, 2, 4, 5, 8, 10, 12, 13, 16, 18, 22), (1, 3, 6, 7, 9, 11, 14, 15, 17, 19, 23))
)

#: (29, 2) on the mean face, centimetres.
START = np.concatenate(
    [
        MEAN_FACE[[17, 26, 21, 22], :2],  # ends of the brows
        MEAN_FACE[[19, 19, 24, 24], :2] - [[0.0, 0.0], [0.0, BROW_HEIGHT]] * 2,
        MEAN_FACE[[36, 45, 39, 42], :2],  # corners of the eyes
        along((36, 37, 38, 39), [1.5]), along((39, 40, 41, 36), [1.5]),
        along((42, 43, 44, 45), [1.5]), along((45, 46, 47, 42), [1.5]),
        MEAN_FACE[36:42, :2].mean(0, keepdims=True),  # pupils
        MEAN_FACE[42:48, :2].mean(0, keepdims=True),
        MEAN_FACE[[31, 35, 30, 33, 48, 54, 51, 62, 66, 57, 8], :2],  # nose, mouth, chin
    ]
)  # fmt: skip


class Landmarks29(PointsHead):
    """A label is (29, 3) in COFW order: x and y in image pixels, and 1 where the point is visible, 0 where it
    is occluded; NaN where it is unknown."""

    info = OutputInfo("points", "29 landmarks in COFW order", lines=LINES)
    start = START
    mirror = MIRROR
    normaliser = (8, 9)  # outer eye corners
    has_visibility = True
