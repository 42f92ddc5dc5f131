"""A triangle mesh with values at its vertices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Rng = np.random.Generator


@dataclass(frozen=True)
class Mesh:
    """A part of a picture.

    Attributes:
        vertices: (V, 3) cm, head frame.
        triangles: (T, 3) indices, counter-clockwise seen from outside.
        kind: what it is made of, a name that `faceperc.synthetic.shade` knows.
        uv: (V, 2) texture coordinates in [0, 1]; None where the material needs none.
    """

    vertices: Floats
    triangles: Ints
    kind: str
    uv: Floats | None = None


def vertex_normals(vertices: Floats, triangles: Ints) -> Floats:
    """(V, 3) unit normals: the mean of the adjacent triangles' normals, weighted by their areas."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    faces = np.cross(b - a, c - a)
    sums = np.zeros(vertices.shape, np.float64)
    for axis in range(3):
        weights = np.repeat(faces[:, axis], 3)
        sums[:, axis] = np.bincount(triangles.ravel(), weights, len(vertices))
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    normals: Floats = (sums / np.maximum(lengths, 1e-12)).astype(np.float32)
    return normals


def grid_triangles(rows: int, columns: int) -> Ints:
    """((rows - 1) * (columns - 1) * 2, 3) triangles of a grid of vertices stored row by row.

    They are counter-clockwise where the column index grows to the right and the row index downwards.
    """
    corner = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
    triangles: Ints = np.stack([a, c, b, b, c, d], axis=-1).reshape(-1, 3)
    return triangles


def grid_mesh(vertices: NDArray[np.floating], kind: str) -> Mesh:
    """A mesh of a (rows, columns, 3) grid of vertices; u runs along its columns, v along its rows."""
    rows, columns = vertices.shape[:2]
    u, v = np.meshgrid(np.linspace(0, 1, columns), np.linspace(0, 1, rows))
    uv = np.stack([u, v], axis=-1).reshape(-1, 2).astype(np.float32)
    return Mesh(vertices.reshape(-1, 3).astype(np.float32), grid_triangles(rows, columns), kind, uv)
