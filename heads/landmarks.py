"""Landmarks: the 68 points of iBUG 300-W, each with its expected error.

Sagonas et al., "300 Faces in-the-Wild Challenge", ICCVW 2013.
"""

from __future__ import annotations

from typing import ClassVar

from faceperc.data.mean_face import MEAN_FACE
from faceperc.head import OutputInfo
from faceperc.points import PointsHead, mirror_permutation

#: Polylines of the parts; closed ones end with their first point.
LINES: tuple[tuple[int, ...], ...] = (
    tuple(range(17)),  # jaw
    tuple(range(17, 22)),  # brow at the image left, the subject's right
    tuple(range(22, 27)),
    tuple(range(27, 31)),  # nose bridge
    tuple(range(31, 36)),
    (*range(36, 42), 36),  # eye at the image left
    (*range(42, 48), 42),
    (*range(48, 60), 48),  # outer lips
    (*range(60, 68), 60),  # inner lips
)

#: The point that each point becomes in a mirror.
MIRROR = mirror_permutation(
    68,
    (range(8), range(16, 8, -1)),  # jaw
    (range(17, 22), range(26, 21, -1)),  # brows
    ((31, 32), (35, 34)),
    (range(36, 40), range(45, 41, -1)),  # upper lids, corner to corner
    ((40, 41), (47, 46)),
    ((48, 49, 50), (54, 53, 52)),
    ((58, 59), (56, 55)),
    ((60, 61), (64, 63)),
    ((67,), (65,)),
)


class Landmarks(PointsHead):
    """A label is (68, 2) points in image pixels, iBUG order."""

    info = OutputInfo("points", "68 landmarks in iBUG 300-W order", lines=LINES)
    start = MEAN_FACE[:, :2]
    mirror = MIRROR
    normaliser = (36, 45)  # outer eye corners: their distance is the inter-ocular distance of 300-W
    parts: ClassVar = {"NME 51 %": slice(17, None)}  # without the jaw
