"""Lamps and surroundings. Colours are linear RGB."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceperc.synthetic.mesh import Floats, Rng


@dataclass(frozen=True)
class Light:
    """Two lamps and the surroundings.

    Attributes:
        directions: (2, 3) unit vectors towards the lamps, camera frame.
        colours: (2, 3) their strength.
        sky, ground: (3,) light from above and below.
    """

    directions: Floats
    colours: Floats
    sky: Floats
    ground: Floats

    def on(self, albedo: Floats, normal: Floats, openness: Floats, gloss: float) -> Floats:
        """(N, 3) light that leaves surfaces towards the viewer.

        Args:
            albedo: (N, 3) linear RGB.
            normal: (N, 3) unit vectors, camera frame, facing the viewer.
            openness: (N,) share of the surroundings that the surface sees.
            gloss: strength of the highlights (Blinn-Phong).
        """
        height = (normal[:, 1:2] + 1) / 2
        diffuse = (self.ground + (self.sky - self.ground) * height) * openness[:, None]
        shine = np.zeros_like(albedo)
        for direction, colour in zip(self.directions, self.colours, strict=True):
            # light wraps around soft, translucent skin and hair
            facing = ((normal @ direction + 0.15) / 1.15).clip(0)
            diffuse = diffuse + facing[:, None] * colour * (0.4 + 0.6 * openness[:, None])
            half = direction + np.array([0, 0, 1], np.float32)
            half /= np.linalg.norm(half)
            shine = shine + ((normal @ half).clip(0) ** 24)[:, None] * colour
        lit: Floats = albedo * diffuse + gloss * shine * openness[:, None]
        return lit


def random_light(rng: Rng) -> Light:
    """A key lamp from anywhere in front or above, a weaker second one from anywhere, and surroundings."""
    key = _unit(rng.normal(0, 1, 3) * [1, 0.7, 0.6] + [0, 0.6, 0.6])
    other = _unit(rng.normal(0, 1, 3))
    strength = rng.uniform(0.2, 1.0)
    warmth = np.array([1, 0, -1]) * rng.normal(0.03, 0.08, (4, 1))
    tint = 1 + warmth
    ambient = rng.uniform(0.25, 0.8)
    return Light(
        np.stack([key, other]).astype(np.float32),
        np.stack([strength * tint[0], rng.uniform(0, 0.45) * tint[1]]).astype(np.float32),
        (ambient * tint[2]).astype(np.float32),
        (ambient * rng.uniform(0.3, 0.8) * tint[3]).astype(np.float32),
    )


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = vector / np.linalg.norm(vector)
    return unit
