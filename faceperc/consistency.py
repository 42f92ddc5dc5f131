"""Rotation consistency: what a head pose owes to a photograph that is turned, with or without a label.

Zhou et al., "Semi-Supervised Unconstrained Head Pose Estimation in the Wild" (SemiUHPE), 2024: a crop turned
in its plane by a known angle shows the head turned by the same angle.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from faceperc.errors import ConfigError
from faceperc.model import FaceModel, Outputs
from faceperc.rotations import roll_matrix


def turned(crops: Tensor, angle: Tensor) -> Tensor:
    """(N, S, S, 3) uint8 crops turned clockwise about their middle by (N,) radians, black outside."""
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    back = torch.stack([cos, sin, zero, -sin, cos, zero], dim=1).unflatten(1, (2, 3))
    images = crops.permute(0, 3, 1, 2).float()
    with torch.autocast(crops.device.type, enabled=False):  # bfloat16 cannot tell the pixels' places apart
        grid = F.affine_grid(back, list(images.shape), align_corners=False)
        moved = F.grid_sample(images, grid, mode="bilinear", align_corners=False)
    return moved.round().to(crops.dtype).permute(0, 2, 3, 1)


def rotation_consistency(model: FaceModel, crops: Tensor, raw: Outputs, degrees: float = 30.0) -> Tensor:
    """Mean distance between the rotations seen in turned crops and the turned rotations: R' and Rz R.

    Args:
        model: the network; every head of the kind ``rotation`` takes part. It runs once more.
        crops: (N, S, S, 3) uint8.
        raw: what the model said about them.
        degrees: the crops are turned by up to this angle, either way.

    Returns:
        () chordal distance |R' - Rz R| / sqrt(2), the angle in radians where it is small.

    Raises:
        ConfigError: if the model has no such head.
    """
    tasks = [task for task in model.tasks if model.head(task).info.kind == "rotation"]
    if not tasks:
        raise ConfigError("rotation_consistency needs a head of the kind 'rotation', such as the head pose")
    angle = torch.empty(len(crops), device=crops.device).uniform_(-1, 1) * math.radians(degrees)
    again = model(turned(crops, angle))
    distances = []
    with torch.autocast(crops.device.type, enabled=False):
        for task in tasks:
            decode = model.head(task).decode
            wanted = roll_matrix(angle) @ decode(raw[task])["matrix"]
            square = (decode(again[task])["matrix"] - wanted).square().sum((1, 2))
            distances.append(((square + 1e-6) / 2).sqrt().mean())
    return torch.stack(distances).mean()
