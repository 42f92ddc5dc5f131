"""Where the camera stands: a random rotation of the head, and perspective."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from faceperc.synthetic.mesh import Floats, Rng

Array = NDArray[np.float64]

_PITCH, _STEEP_PITCH, _STEEP_SHARE = 60.0, 85.0, 0.05  # degrees; share of views from still higher or lower
_ROLL, _ANY_ROLL_SHARE = 45.0, 0.08
_DISTANCE = (35.0, 400.0)  # cm, from a selfie to a telephoto lens
_CLOSEST = 0.1  # of the distance to the target: what is nearer to the camera is not projected
_CLEAR = 0.2  # of the distance, by which a camera keeps clear of the body


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks at a point of the head.

    The target lies on the optical axis, so ``rotation`` is the head's rotation relative to the viewing ray:
    the one that a crop centred on the face shows, wherever in a photograph the picture is pasted.

    Attributes:
        rotation: (3, 3) head to camera; camera x right, y up, z to the viewer (docs/contract.md).
        target: (3,) the point of the head that the camera looks at, cm, head frame.
        distance: from the camera to the target, cm.
        scale: pixels per cm at the target.
        centre: (2,) pixel at which the target appears.
    """

    rotation: Array
    target: Array
    distance: float
    scale: float
    centre: Array

    def project(self, points: Floats | Array) -> Floats:
        """(..., 3) cm in the head frame -> (..., 3): x, y in pixels; z, cm from the target to the viewer.

        Points behind the camera, or closer than a tenth of the distance, become NaN; see `clear_of`.
        """
        seen = (np.asarray(points, dtype=np.float64) - self.target) @ self.rotation.T
        depth = 1 - seen[..., 2] / self.distance
        magnified = self.scale / np.where(depth > _CLOSEST, depth, np.nan)
        x = self.centre[0] + seen[..., 0] * magnified
        y = self.centre[1] - seen[..., 1] * magnified
        return np.stack([x, y, seen[..., 2]], axis=-1).astype(np.float32)

    def clear_of(self, points: Floats | Array) -> Camera:
        """This camera, or one farther away along the same ray that sees all of (N, 3) points before it, cm.

        A near camera above or below a head stands within the body, whose triangles could not be drawn.
        """
        nearest = float(((np.asarray(points, dtype=np.float64) - self.target) @ self.rotation[2]).max())
        return replace(self, distance=max(self.distance, nearest / (1 - _CLEAR)))

    def enlarged(self, factor: int) -> Camera:
        """The camera of the same picture with ``factor`` x ``factor`` pixels in place of each."""
        # pixel 0 becomes the pixels 0 ... factor - 1, whose middle is (factor - 1) / 2
        centre = self.centre * factor + (factor - 1) / 2
        return replace(self, scale=self.scale * factor, centre=centre)


def random_view(rng: Rng) -> tuple[float, float, float]:
    """Degrees for `rotation_of_view`: turned uniformly to any side, seen from above or below, rolled.

    The turn is about the head's own axis, uniform in -180 ... 180 degrees; the pitch lies within +-60 (of one
    view in twenty up to +-85), the roll in the picture within +-45 (of one in twelve anywhere).
    """
    turn = rng.uniform(-180, 180)
    pitch = _PITCH * _triangular(rng)
    if rng.random() < _STEEP_SHARE:
        pitch = rng.choice([-1, 1]) * rng.uniform(_PITCH, _STEEP_PITCH)
    roll = rng.uniform(-180, 180) if rng.random() < _ANY_ROLL_SHARE else _ROLL * _triangular(rng)
    return turn, float(pitch), float(roll)


def rotation_of_view(turn: float, pitch: float, roll: float) -> Array:
    """(3, 3) head rotation of a head that is turned, then pitched, then rolled in the picture; degrees.

    The signs are those of docs/contract.md: turn > 0 faces the image's left, pitch > 0 looks up (or is seen
    from below), roll > 0 is clockwise in the image. Each angle alone is the contract's Euler angle.
    """
    a, b, c = np.radians([turn, pitch, roll])
    turned = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    pitched = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    rolled = np.array([[np.cos(c), np.sin(c), 0], [-np.sin(c), np.cos(c), 0], [0, 0, 1]])
    rotation: Array = rolled @ pitched @ turned
    return rotation


def random_distance(rng: Rng) -> float:
    """Distance of the camera in cm, log-uniform from a selfie's to a telephoto lens's."""
    return float(np.exp(rng.uniform(*np.log(_DISTANCE))))


def _triangular(rng: Rng) -> float:
    """In [-1, 1]; flat enough to show the ends, yet most often near 0."""
    return float(rng.uniform(-1, 1) if rng.random() < 0.5 else rng.triangular(-1, 0, 1))
