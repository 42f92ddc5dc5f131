"""What is known about a picture: an array of rows, one per head and one per region where less is known.

A head's row has its box, and as far as they are known whether its face can be seen, its five points and its
rotation. A region's row changes how "nobody is here" counts inside it: the negative loss is multiplied by its
weight, and cells that score above its limit are left alone. So (0, 1) ignores a region, (0.3, 1) trusts it a
little, and (1, 0.3) is a region that may hide an unlabelled face: once the network believes in one, it is not
punished.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

BOX = slice(0, 4)  # x0, y0, x1, y1 in pixels
WEIGHT = 4  # of a region; HEAD marks a head
LIMIT = 5  # of a region
SEEN = 6  # 1 if the face of the head can be seen, 0 if only its back can, NaN in between
TRUST = (
    7  # of a head: 1 if its box is right, 0 if it is a rough guess; of a region: 0 if it is for heads only
)
POINTS = slice(
    8, 18
)  # x, y of the subject's right eye, left eye, nose tip, right and left corner of the mouth
ROTATION = slice(18, 27)  # head to camera, row by row, as in docs/contract.md
WIDTH = 27  # columns

HEAD = -1.0
IGNORE = (0.0, 1.0)
DOUBT = (1.0, 0.3)
MIRRORED_POINTS = [1, 0, 2, 4, 3]


def head_row(
    box: ArrayLike,
    *,
    seen: float = 1.0,
    trust: float = 1.0,
    points: ArrayLike | None = None,
    rotation: ArrayLike | None = None,
) -> Array:
    """(WIDTH,) row of a head; the arguments are the columns, of points (5, 2) and of a rotation (3, 3)."""
    row = np.full(WIDTH, np.nan)
    row[BOX] = box
    row[[WEIGHT, LIMIT, SEEN, TRUST]] = HEAD, 1.0, seen, trust
    if points is not None:
        row[POINTS] = np.asarray(points, dtype=np.float64).ravel()
    if rotation is not None:
        row[ROTATION] = np.asarray(rotation, dtype=np.float64).ravel()
    return row


def region_row(box: ArrayLike, kind: tuple[float, float], *, heads_only: bool = False) -> Array:
    """(WIDTH,) row of a region with its (weight, limit).

    ``heads_only``: faces are labelled there, but not the heads that are seen from behind.
    """
    row = np.full(WIDTH, np.nan)
    row[BOX] = box
    row[[WEIGHT, LIMIT, TRUST]] = *kind, 0.0 if heads_only else 1.0
    return row


def target_array(rows: list[Array]) -> NDArray[np.float32]:
    """(M, WIDTH) float32; M may be 0."""
    return np.array(rows, dtype=np.float32).reshape(-1, WIDTH)


def faces_of(targets: NDArray[np.floating]) -> Array:
    """(K, 4) boxes of the heads whose face can be seen."""
    rows = np.asarray(targets, dtype=np.float64)
    return rows[(rows[:, WEIGHT] == HEAD) & (rows[:, SEEN] == 1), BOX]


def moved_head(row: Array, matrix: Array) -> Array:
    """A head's row after an affine of the picture that turns, mirrors, scales and shifts.

    The box is taken as the ellipse in it: the box of the turned ellipse stays tight, where the box of the
    turned corners would grow.

    Args:
        row: (WIDTH,).
        matrix: (2, 3) affine of pixels.
    """
    linear = matrix[:, :2]
    moved = row.copy()
    moved[BOX] = _ellipse_box(row[BOX], matrix)
    points = row[POINTS].reshape(5, 2) @ linear.T + matrix[:, 2]
    mirror = np.linalg.det(linear) < 0
    moved[POINTS] = (points[MIRRORED_POINTS] if mirror else points).ravel()
    moved[ROTATION] = _turned(row[ROTATION].reshape(3, 3), linear, mirror).ravel()
    return moved


def moved_region(row: Array, matrix: Array) -> Array:
    """A region's row after an affine: the box of its turned corners. Arguments as of `moved_head`."""
    moved = row.copy()
    centre = matrix[:, :2] @ (row[:2] + row[2:4]) / 2 + matrix[:, 2]
    reach = np.abs(matrix[:, :2]) @ (row[2:4] - row[:2]) / 2
    moved[BOX] = [*(centre - reach), *(centre + reach)]
    return moved


def _ellipse_box(box: Array, matrix: Array) -> Array:
    centre = matrix[:, :2] @ (box[:2] + box[2:4]) / 2 + matrix[:, 2]
    reach = np.sqrt((matrix[:, :2] ** 2) @ ((box[2:4] - box[:2]) / 2) ** 2)
    return np.concatenate([centre - reach, centre + reach])


def _turned(rotation: Array, linear: Array, mirror: bool) -> Array:
    """Head rotation in a picture turned and mirrored by L (in the camera's axes): L R diag(+-1, 1, 1)."""
    camera = np.eye(3)
    # image y points down and camera y up; the scale is taken out
    camera[:2, :2] = linear * np.array([[1, -1], [-1, 1]]) / np.sqrt(abs(np.linalg.det(linear)))
    return camera @ rotation @ np.diag([-1.0 if mirror else 1.0, 1.0, 1.0])
