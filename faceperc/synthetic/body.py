"""A torso below the neck: the model's mesh ends at the collar bones, real heads stand on a body."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceperc.synthetic.mesh import Floats, Mesh, Rng, grid_mesh

# height, half width, half depth; cm, head frame. A biacromial breadth of about 39 cm.
_RINGS = np.array([
    [-9.5, 6.0, 6.0], [-11.0, 6.8, 6.4], [-12.5, 8.8, 6.8], [-14.0, 12.0, 7.4], [-15.5, 15.0, 8.0],
    [-17.0, 17.4, 8.6], [-19.0, 19.3, 9.2], [-22.0, 20.6, 10.0], [-27.0, 21.4, 10.8], [-35.0, 21.6, 11.2],
    [-46.0, 21.3, 11.2], [-60.0, 20.8, 11.2],
])  # fmt: skip
_AXIS = -2.0  # z of the torso's axis, cm
_ROWS, _COLUMNS = 48, 73
_ROUND = 0.85  # exponent of the superellipse: 1 is an ellipse, less is boxier
_GAP = 0.5  # cm between skin and cloth


def random_torso(rng: Rng, skin: Floats) -> Mesh:
    """Shoulders and chest as superellipses, of random size; the neckline is high or low.

    Args:
        rng: source of all randomness.
        skin: (N, 3) vertices of neck and shoulders, which the clothes cover.
    """
    heights, widths, depths = _RINGS[::-1].T
    neckline = heights[-1] + rng.uniform(-3.0, 1.0)
    # rows lie denser at the shoulders
    y = neckline + (heights[0] - neckline) * np.linspace(0, 1, _ROWS) ** 1.6
    below = np.clip((heights[-1] - y) / 6, 0, 1)  # the neck keeps its size
    stature = rng.uniform(0.85, 1.12)
    width = np.interp(y, heights, widths) * (1 + (stature - 1) * below)
    depth = np.interp(y, heights, depths) * (1 + (stature * rng.uniform(0.95, 1.1) - 1) * below)
    angle = np.linspace(-np.pi, np.pi, _COLUMNS)
    sin, cos = (np.sign(wave) * np.abs(wave) ** _ROUND for wave in (np.sin(angle), np.cos(angle)))
    height = y[:, None] - 1.5 * below[:, None] * cos.clip(0)  # the collar is lower in front
    surface = np.stack([width[:, None] * sin, height, depth[:, None] * cos], -1)
    surface[..., [0, 2]] *= _room(surface, skin - [0, 0, _AXIS])[..., None]
    surface[..., 2] += _AXIS
    return grid_mesh(surface, "cloth_body")


def _room(surface: NDArray[np.float64], skin: NDArray[np.float64]) -> NDArray[np.float64]:
    """(rows, columns) factors >= 1 by which a surface must be widened so that the skin lies inside."""
    bins, step, top = 48, 0.75, -6.0  # around, cm a row, highest row

    def cell(points: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        around = np.arctan2(points[..., 0], points[..., 2]) / (2 * np.pi) + 0.5
        row = ((top - points[..., 1]) / step).astype(np.int64).clip(0, 31)
        return row, (around * bins).astype(np.int64) % bins

    reach = np.zeros((32, bins))
    np.maximum.at(reach, cell(skin), np.hypot(skin[:, 0], skin[:, 2]))
    # the largest of the neighbourhood, smoothed: an even cloth without gaps
    wide = np.hstack([reach[:, -6:], reach, reach[:, :6]])
    wide = cv2.blur(cv2.dilate(wide, np.ones((3, 5))), (5, 3))
    needed = wide[:, 6:-6][cell(surface)] + _GAP
    own = np.hypot(surface[..., 0], surface[..., 2])
    return np.maximum(1, needed / np.maximum(own, 1e-3))
