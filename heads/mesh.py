"""Mesh: the 478 points of MediaPipe's Face Mesh with irises, in the image, each with its expected error.

Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019; Grishchenko
et al., "Attention Mesh: High-Fidelity Face Mesh Prediction in Real-Time", 2020. The depth is left out.
"""

from __future__ import annotations

import numpy as np

from faceperc.data.mesh_face import LEFT, MESH_FACE, RIGHT
from faceperc.head import OutputInfo
from faceperc.points import PointsHead, mirror_permutation

#: The point that each point becomes in a mirror.
MIRROR = mirror_permutation(478, (RIGHT, LEFT))

#: Outlines of the eye, brow and iris at the image left.
_RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246, 33)
_RIGHT_LINES = (
    _RIGHT_EYE,
    (46, 53, 52, 65, 55),
    (70, 63, 105, 66, 107),
    (469, 470, 471, 472, 469),
)
#: Halves of the face's oval, the outer and the inner lips, from the top down at the image left.
_RIGHT_HALVES = (
    (10, 109, 67, 103, 54, 21, 162, 127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152),
    (0, 37, 39, 40, 185, 61, 146, 91, 181, 84, 17),
    (13, 82, 81, 80, 191, 78, 95, 88, 178, 87, 14),
)


def _mirrored(line: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(MIRROR[list(line)].tolist())


#: Polylines of the parts; closed ones end with their first point.
LINES: tuple[tuple[int, ...], ...] = (
    *_RIGHT_LINES,
    *(_mirrored(line) for line in _RIGHT_LINES),
    *((*half, *_mirrored(half)[-2::-1]) for half in _RIGHT_HALVES),
)

_PATCH = 12  # points of a query
_COLUMN = 5 * _PATCH  # points of a column


class Mesh(PointsHead):
    """A label is (478, 2) points in image pixels, MediaPipe's order; NaN where a point is unknown."""

    info = OutputInfo("points", "478 points of MediaPipe's Face Mesh with irises", lines=LINES)
    start = MESH_FACE
    mirror = MIRROR
    normaliser = (33, 263)  # outer eye corners
    points_per_query = _PATCH
    # MediaPipe's order scatters neighbours, but a query should speak for a patch: here the points come in
    # columns from left to right, each from the chin up.
    order = np.lexsort((MESH_FACE[:, 1], MESH_FACE[:, 0].argsort().argsort() // _COLUMN))
