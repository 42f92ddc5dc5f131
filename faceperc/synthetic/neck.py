"""The neck: how a head turns on its body. The head stays where it is, the body below is turned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceperc.synthetic.camera import rotation_of_view
from faceperc.synthetic.mesh import Floats, Rng

_TURN, _NOD, _TILT = 55.0, 40.0, 30.0  # degrees that a neck allows to each side
_PIVOT = np.array([0.0, -6.0, -2.0])  # cm, head frame
# cm: above the plane from the nape to below the chin nothing bends, this far below everything has bent
_NAPE, _SLOPE, _LENGTH = -3.0, 0.4, 6.0


@dataclass(frozen=True)
class Neck:
    """A bent neck.

    Attributes:
        rotation: (3, 3) of the body relative to the head, in the head's frame.
    """

    rotation: NDArray[np.float64]

    def bend(self, vertices: Floats, neutral: Floats | None = None) -> Floats:
        """(N, 3) points of head or body, in the head's frame, after bending.

        Args:
            vertices: (N, 3) points.
            neutral: (N, 3) where they are in the neutral head, if they are vertices of the model.
        """
        place = vertices if neutral is None else neutral
        below = _NAPE - _SLOPE * (place[:, 2] + 6).clip(-8, 16) - place[:, 1]
        part = (below / _LENGTH).clip(0, 1)
        weight = (part * part * (3 - 2 * part))[:, None]
        # blends of two rotations of at most some 60 degrees: the neck hardly gets thinner
        turned = (vertices - _PIVOT) @ self.rotation.T + _PIVOT
        bent: Floats = (vertices * (1 - weight) + turned * weight).astype(np.float32)
        return bent


def random_neck(rng: Rng, view: tuple[float, float, float]) -> Neck:
    """The body of a head that is seen so: people nod and tilt their heads more than their bodies.

    Args:
        rng: source of all randomness.
        view: the head's turn, pitch and roll, degrees, as `rotation_of_view` takes them.
    """
    turn, pitch, roll = view
    facing = np.cos(np.radians(turn))
    nod = np.clip(pitch * rng.uniform(0.3, 1.0), -_NOD, _NOD)
    tilt = np.clip(roll * rng.uniform(0.0, 1.0), -_TILT, _TILT)
    body = rotation_of_view(turn + rng.triangular(-_TURN, 0, _TURN), pitch - nod, roll - tilt * abs(facing))
    return Neck(rotation_of_view(*view).T @ body)
