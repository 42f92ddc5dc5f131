"""Head pose: a rotation matrix, from a continuous 6D representation.

Zhou et al., "On the Continuity of Rotation Representations in Neural Networks", CVPR 2019. Angles are in
the 300W-LP / AFLW2000-3D convention (docs/contract.md).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from faceperc.data.view import View
from faceperc.head import Features, Head, HeadContext, OutputInfo, Target
from faceperc.layers import Mlp
from faceperc.rotations import (
    angles_from_matrix,
    geodesic_degrees,
    matrix_from_6d,
    matrix_from_angles,
    roll_matrix,
)


class Pose(Head):
    """A label is (3,) yaw, pitch, roll of the head in the image, degrees; NaN where an angle is unknown."""

    info = OutputInfo("rotation", "head rotation; camera x right, y up, z to the viewer")

    def build(self, context: HeadContext) -> None:
        """See Head.build."""
        self.mlp = Mlp(context.dim, 6)
        self.mlp.start_at([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])  # the frontal pose in 6D

    def forward(self, features: Features) -> dict[str, Tensor]:
        """{"matrix": (N, 3, 3)}."""
        return {"matrix": matrix_from_6d(self.mlp(features.queries[:, 0]).float())}

    def decode(self, raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{"matrix": (N, 3, 3)} rotation seen in the crop."""
        return {"matrix": raw["matrix"]}

    def empty_target(self) -> Target:
        """{"matrix": (3, 3) in the view, zeros unless all angles are known; "angles": (3,) rad in the image,
        mirrored as the view is; "known": (3,); "roll": () rad, the view's own rotation in that image}."""
        return {
            "matrix": np.zeros((3, 3), np.float32),
            "angles": np.zeros(3, np.float32),
            "known": np.zeros(3, np.float32),
            "roll": np.zeros((), np.float32),
        }

    def encode(self, label: np.ndarray, view: View) -> Target:
        """The rotation seen in the view; a mirror negates yaw and roll."""
        angles = np.asarray(label, dtype=np.float64)
        known = np.isfinite(angles)
        sign = np.array([-1.0, 1.0, -1.0]) if view.flip else np.ones(3)
        target = self.empty_target()
        target["angles"] = np.radians(np.where(known, angles, 0.0) * sign).astype(np.float32)
        target["known"] = known.astype(np.float32)
        target["roll"] = np.asarray(np.radians(view.crop.angle) * sign[2], dtype=np.float32)
        if known.all():
            target["matrix"] = view.rotation(matrix_from_angles(*angles)).astype(np.float32)
        return target

    def loss(self, raw: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N,) radians. All angles known: the chordal distance |R - R'| / sqrt(2), which is the geodesic
        angle for small errors and has a gradient everywhere. Else the mean error of the known angles."""
        complete = target["known"].all(dim=1)
        square = (raw["matrix"] - target["matrix"]).square().sum((1, 2))
        chordal = ((square + 1e-6) / 2).sqrt()
        gap = self._image_angles(raw["matrix"], target) - target["angles"]
        # 1 - cos, turned back into an angle: smooth where a difference wraps around
        wrapped = (2 * (1 - gap.cos()) + 1e-6).sqrt()
        partial = (wrapped * target["known"]).sum(1) / target["known"].sum(1).clamp_min(1.0)
        return torch.where(complete, chordal, partial)

    def statistics(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N, 4) absolute errors of yaw, pitch, roll and the geodesic error, degrees; NaN where unknown."""
        gap = torch.rad2deg(self._image_angles(output["matrix"], target) - target["angles"])
        errors = ((gap + 180) % 360 - 180).abs()
        geodesic = geodesic_degrees(output["matrix"], target["matrix"])[:, None]
        known = torch.cat([target["known"], target["known"].prod(dim=1, keepdim=True)], dim=1)
        return torch.where(known > 0, torch.cat([errors, geodesic], dim=1), torch.nan)

    def summarise(self, statistics: np.ndarray) -> dict[str, float]:
        """Mean absolute errors in degrees; NaN for an angle that no label gives."""
        names = ("yaw", "pitch", "roll", "geodesic")
        means = {}
        for name, column in zip(names, statistics.T, strict=True):
            known = column[np.isfinite(column)]
            means[name] = float(known.mean()) if known.size else float("nan")
        angles = [means[name] for name in ("yaw", "pitch") if np.isfinite(means[name])]
        result = {"yaw+pitch MAE deg": float(np.mean(angles)) if angles else float("nan")}
        return result | {f"{name} MAE deg": value for name, value in means.items()}

    @staticmethod
    def _image_angles(matrix: Tensor, target: Mapping[str, Tensor]) -> Tensor:
        return angles_from_matrix(roll_matrix(target["roll"]) @ matrix)
