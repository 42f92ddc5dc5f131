"""The skull as a map in polar coordinates, on which hair and headwear are laid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from faceperc.synthetic.mesh import Floats, Ints
from faceperc.synthetic.model import FaceModel

COLUMNS = 145  # around; the first and the last are the same, at the back of the head
ROWS = 52  # from the crown downwards
_LOWEST = 150.0  # degrees from the crown
_CENTRE = np.array([0.0, 5.0, -0.5])
_TILT = 25.0  # degrees by which the crown lies behind the highest point
_NEIGHBOURS = 4


@dataclass(frozen=True)
class SkullMap:
    """Where on the model each direction from the middle of the skull hits; ears are bridged.

    Attributes:
        corners: (ROWS, COLUMNS, 4) vertices around the place.
        weights: (ROWS, COLUMNS, 4) their weights.
        hairline: (ROWS, COLUMNS) height over the hairline, cm; > 0 bears hair.
        around: (COLUMNS,) angle from the front, degrees in [-180, 180], > 0 to the subject's left.
        directions: (ROWS, COLUMNS, 3) unit vectors.
    """

    corners: Ints
    weights: Floats
    hairline: Floats
    around: Floats
    directions: Floats

    def surface(self, vertices: Floats) -> Floats:
        """(ROWS, COLUMNS, 3) points on the head with these (V, 3) vertices, cm."""
        points: Floats = (vertices[self.corners] * self.weights[..., None]).sum(2)
        return points


@lru_cache(maxsize=1)
def skull_map(model: FaceModel) -> SkullMap:
    """The map of a model."""
    down = np.radians(np.linspace(0, _LOWEST, ROWS))[:, None]
    around = np.radians(np.linspace(-180, 180, COLUMNS))[None, :]
    tilt = np.radians(_TILT)
    pole, front = np.array([0, np.cos(tilt), -np.sin(tilt)]), np.array([0, np.sin(tilt), np.cos(tilt)])
    side = np.array([1.0, 0, 0])
    directions = np.cos(down)[..., None] * pole + np.sin(down)[..., None] * (
        np.sin(around)[..., None] * side + np.cos(around)[..., None] * front
    )
    outer = model.is_region("skin", "scalp", "neck", "nose", "brow_left", "brow_right")
    candidates = np.flatnonzero(outer)
    offsets = model.neutral[candidates] - _CENTRE
    rays = (offsets / np.linalg.norm(offsets, axis=1, keepdims=True)).astype(np.float32)
    corners = np.empty((ROWS, COLUMNS, _NEIGHBOURS), np.int32)
    weights = np.empty((ROWS, COLUMNS, _NEIGHBOURS), np.float32)
    for row, wanted in enumerate(directions.astype(np.float32)):  # all at once would fill the memory
        cosines = wanted @ rays.T
        nearest = np.argpartition(-cosines, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
        apart = np.sqrt(np.maximum(2 - 2 * np.take_along_axis(cosines, nearest, 1), 0))
        corners[row], weights[row] = candidates[nearest], 1 / (apart + 0.01)
    weights /= weights.sum(2, keepdims=True)
    return SkullMap(
        corners,
        weights,
        (model.hairline[corners] * weights).sum(2),
        np.degrees(around[0]).astype(np.float32),
        directions.astype(np.float32),
    )
