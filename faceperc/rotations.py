"""Head rotations and their Euler angles, in NumPy and torch. The convention stands in docs/contract.md."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faceperc.angles import matrix_from_angles as matrix_from_angles


def roll_matrix(angle: Tensor) -> Tensor:
    """(N,) clockwise image rotations in radians -> (N, 3, 3)."""
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    rows = [cos, sin, zero, -sin, cos, zero, zero, zero, one]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def angles_from_matrix(matrix: Tensor) -> Tensor:
    """(N, 3, 3) rotations -> (N, 3) yaw, pitch, roll in radians, with |pitch| <= pi / 2.

    Differentiable away from |yaw| = 90 degrees.
    """
    r02, r12, r22 = matrix[:, 0, 2], matrix[:, 1, 2], matrix[:, 2, 2]
    # the face looks away from the camera: the same rotation has a second solution with a small pitch
    sign = torch.where(r22 < 0, -1.0, 1.0)
    cos_yaw = sign * (r12.square() + r22.square()).clamp_min(1e-8).sqrt()
    yaw = torch.atan2(-r02, cos_yaw)
    pitch = torch.atan2(sign * r12, sign * r22)
    roll = torch.atan2(sign * matrix[:, 0, 1], sign * matrix[:, 0, 0])
    return torch.stack([yaw, pitch, roll], dim=1)


def angles_of(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3,) yaw, pitch, roll in degrees of a rotation (3, 3)."""
    return np.degrees(angles_from_matrix(torch.from_numpy(rotation)[None])[0].numpy())


def matrix_from_6d(vectors: Tensor) -> Tensor:
    """(N, 6) -> (N, 3, 3) rotations by Gram-Schmidt (Zhou et al., CVPR 2019, equation 15).

    The two 3-vectors become the first two columns; the third is their cross product.
    """
    a, b = vectors[:, :3], vectors[:, 3:]
    x = a / a.square().sum(1, keepdim=True).clamp_min(1e-12).sqrt()
    b = b - (x * b).sum(1, keepdim=True) * x
    y = b / b.square().sum(1, keepdim=True).clamp_min(1e-12).sqrt()
    return torch.stack([x, y, torch.linalg.cross(x, y, dim=1)], dim=2)


def geodesic(first: Tensor, second: Tensor) -> Tensor:
    """(N,) angle between two (N, 3, 3) rotations, radians in [0, pi] (Huynh, JMIV 2009, metric 6).

    By its sine and cosine: the usual arc cosine of the trace has an infinite gradient at 0 and pi, this one's
    is finite there, and as steep everywhere between.
    """
    cosine = ((first * second).sum((1, 2)) - 1) / 2
    axis = torch.linalg.cross(first, second, dim=1).sum(2)  # the rotation's axis, 2 sin(angle) long
    sine = (axis.square().sum(1) / 4 + 1e-12).sqrt()
    return torch.atan2(sine, cosine)


def geodesic_degrees(first: Tensor, second: Tensor) -> Tensor:
    """(N,) angle between two (N, 3, 3) rotations, degrees in [0, 180]."""
    return torch.rad2deg(geodesic(first, second))
