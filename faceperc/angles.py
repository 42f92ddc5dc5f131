"""Euler angles of a head, in NumPy alone. The convention stands in docs/contract.md."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def matrix_from_angles(yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """(3, 3) rotation of Euler angles in degrees: R = Rx(pitch) Ry(yaw) Rz(roll) (3DDFA's `Pose_Para`).

    Camera x right, y up, z to the viewer. Positive yaw faces the image's left, positive pitch looks up,
    positive roll is clockwise in the image.
    """
    phi, gamma, theta = np.radians([pitch, yaw, roll])
    rx = np.array([[1, 0, 0], [0, np.cos(phi), np.sin(phi)], [0, -np.sin(phi), np.cos(phi)]])
    ry = np.array([[np.cos(gamma), 0, -np.sin(gamma)], [0, 1, 0], [np.sin(gamma), 0, np.cos(gamma)]])
    rz = np.array([[np.cos(theta), np.sin(theta), 0], [-np.sin(theta), np.cos(theta), 0], [0, 0, 1]])
    return rx @ ry @ rz
