"""A z-buffer in NumPy: which triangle each pixel shows, and where in it.

Triangles of a head are about a pixel wide, so a loop over triangles would spend its time in Python. All
pixels of all triangles' bounding boxes are listed at once instead, those inside are sorted by depth, and the
nearest is written last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceperc.synthetic.mesh import Floats, Ints


@dataclass(frozen=True)
class Buffer:
    """What each pixel shows.

    Attributes:
        triangle: (H, W) index of the nearest triangle, -1 where there is none.
        weights: (H, W, 3) barycentric weights of its corners.
        depth: (H, W) the z of the point (to the viewer), -inf where there is none.
        total: number of triangles that were offered.
    """

    triangle: Ints
    weights: Floats
    depth: Floats
    total: int


def rasterise(points: Floats, triangles: Ints, size: int, two_sided: NDArray[np.bool_]) -> Buffer:
    """Fill a z-buffer.

    Args:
        points: (V, 3) x, y in pixels ((0, 0) is the centre of the top left pixel, y down), z to the viewer.
            Triangles with a NaN corner are not drawn.
        triangles: (T, 3) indices, counter-clockwise for who sees the front (with y up).
        size: side of the square buffer in pixels.
        two_sided: (T,) whether the back of a triangle is drawn as well.
    """
    # rows x, y, z of one corner each: columns of three values are slow to reduce in NumPy
    first, second, third = (points.T[:, triangles[:, corner]] for corner in range(3))
    area = _cross(second - first, third - first)
    lowest = np.minimum(np.minimum(first, second), third)[:2]
    highest = np.maximum(np.maximum(first, second), third)[:2]
    start, stop = np.ceil(lowest).clip(0), np.floor(highest).clip(None, size - 1)
    # for y points down here, a negative area is counter-clockwise; comparisons with NaN are false
    drawn = ((area < 0) | (two_sided & (area > 0))) & (start <= stop).all(0)
    chosen = np.flatnonzero(drawn)

    start, stop = start[:, chosen].astype(np.int32), stop[:, chosen].astype(np.int32)
    widths, heights = stop - start + 1
    counts = widths * heights
    place = np.repeat(np.arange(len(chosen), dtype=np.int32), counts)  # in `chosen`, of each candidate pixel
    before = (np.cumsum(counts) - counts).astype(np.int32)
    order = np.arange(len(place), dtype=np.int32) - before[place]
    row, column = np.divmod(order, widths[place])
    position = np.stack([column, row]) + start[:, place]

    owner = chosen[place]
    a, b, c = (corner[:2, owner] - position for corner in (first, second, third))
    weights = np.stack([_cross(b, c), _cross(c, a), _cross(a, b)]) / area[owner]
    inside = weights.min(0) >= 0
    owner, weights = owner[inside], weights[:, inside].astype(np.float32)
    pixel = position[1, inside] * size + position[0, inside]
    depth = weights[0] * first[2, owner] + weights[1] * second[2, owner] + weights[2] * third[2, owner]

    nearest_last = np.argsort(depth)
    pixel = pixel[nearest_last]  # of repeated indices NumPy keeps the last assignment
    triangle = np.full(size * size, -1, np.int32)
    shares = np.zeros((size * size, 3), np.float32)
    nearest = np.full(size * size, -np.inf, np.float32)
    triangle[pixel] = owner[nearest_last]
    shares[pixel] = weights[:, nearest_last].T
    nearest[pixel] = depth[nearest_last]
    shape = (size, size)
    return Buffer(triangle.reshape(shape), shares.reshape(*shape, 3), nearest.reshape(shape), len(triangles))


def _cross(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
    """Twice the signed area between two arrays of vectors, x and y in the first two rows."""
    area: NDArray[np.floating] = a[0] * b[1] - a[1] * b[0]
    return area
