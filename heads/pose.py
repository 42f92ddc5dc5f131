"""Head pose: a rotation matrix, from a continuous 6D representation.

Zhou et al., "On the Continuity of Rotation Representations in Neural Networks", CVPR 2019. Angles are in
the 300W-LP / AFLW2000-3D convention (docs/contract.md).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from faceperc._names import unknown_name
from faceperc.data.view import View
from faceperc.errors import ConfigError
from faceperc.head import Features, Head, HeadContext, OutputInfo, Target
from faceperc.layers import Mlp
from faceperc.rotations import (
    angles_from_matrix,
    angles_of,
    geodesic,
    geodesic_degrees,
    matrix_from_6d,
    matrix_from_angles,
    roll_matrix,
)

LOSSES = ("chordal", "geodesic", "laplace")

#: The least log of an expected error in radians: 1 degree.
_LEAST_LOG_SCALE = -4.0


class Pose(Head):
    """A label is (3,) yaw, pitch, roll of the head in the image, degrees; NaN where an angle is unknown.

    Args:
        weight: factor of the loss.
        loss: the error where all angles are known, in radians. ``chordal``: |R - R'| / sqrt(2), the Frobenius
            distance scaled to be the angle for small errors; it eases off towards 180 degrees. ``geodesic``:
            the angle itself. ``laplace``: the angle, each weighed by an expected error that the head predicts
            beside it in training, so that doubtful labels count less (Kendall and Gal, "What Uncertainties Do
            We Need in Bayesian Deep Learning for Computer Vision?", NeurIPS 2017).

    Raises:
        ConfigError: if there is no such loss.
    """

    info = OutputInfo("rotation", "head rotation; camera x right, y up, z to the viewer")
    error_name = "error in degrees"
    lower_is_better = True
    curve_limit = 30.0

    def __init__(self, weight: float = 1.0, loss: str = "chordal") -> None:
        super().__init__(weight)
        if loss not in LOSSES:
            raise ConfigError(f"Pose: {unknown_name('loss', loss, LOSSES)}")
        self.error = loss

    def build(self, context: HeadContext) -> None:
        """See Head.build."""
        start = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]  # the frontal pose in 6D
        if self.error == "laplace":
            start.append(0.0)  # an expected error of one radian
        self.mlp = Mlp(context.dim, len(start))
        self.mlp.start_at(start)

    def forward(self, features: Features) -> dict[str, Tensor]:
        """{"matrix": (N, 3, 3)}, and with the ``laplace`` loss "log_scale": (N,) of radians."""
        out = self.mlp(features.queries[:, 0]).float()
        raw = {"matrix": matrix_from_6d(out[:, :6])}
        if self.error == "laplace":
            raw["log_scale"] = out[:, 6].clamp(_LEAST_LOG_SCALE, 1.0)
        return raw

    def decode(self, raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{"matrix": (N, 3, 3)} rotation seen in the crop."""
        return {"matrix": raw["matrix"]}

    def empty_target(self) -> Target:
        """{"matrix": (3, 3) in the view, zeros unless all angles are known; "angles": (3,) rad in the image,
        mirrored as the view is, those of ``angles_of`` where all are known; "known": (3,); "roll": () rad,
        the view's own rotation in that image}."""
        return {
            "matrix": np.zeros((3, 3), np.float32),
            "angles": np.zeros(3, np.float32),
            "known": np.zeros(3, np.float32),
            "roll": np.zeros((), np.float32),
        }

    def encode(self, label: np.ndarray, view: View) -> Target:
        """The rotation seen in the view; a mirror negates yaw and roll. A label may also be the rotation as a
        matrix (3, 3), see docs/contract.md. Of the two triples of angles that are one rotation, it is that
        with the pitch within 90 degrees, as it is of a prediction."""
        values = np.asarray(label, dtype=np.float64)
        is_matrix = values.shape == (3, 3)
        matrix = values if is_matrix else matrix_from_angles(*values)
        angles = angles_of(matrix) if is_matrix or np.isfinite(values).all() else values
        known = np.isfinite(angles)
        sign = np.array([-1.0, 1.0, -1.0]) if view.flip else np.ones(3)
        target = self.empty_target()
        target["angles"] = np.radians(np.where(known, angles, 0.0) * sign).astype(np.float32)
        target["known"] = known.astype(np.float32)
        target["roll"] = np.asarray(np.radians(view.crop.angle) * sign[2], dtype=np.float32)
        if known.all():
            target["matrix"] = view.rotation(matrix).astype(np.float32)
        return target

    def loss(self, raw: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N,) radians. All angles known: the chordal or geodesic error. Else the known angles' mean error.

        ``laplace``: with p(R) proportional to exp(-3 d / s) / s^3, d the error, s is its expectation, and a
        third of the negative log-likelihood is d / s + log s (for s well below pi), up to a constant that
        keeps the loss above 0.
        """
        complete = target["known"].all(dim=1)
        if self.error == "chordal":
            square = (raw["matrix"] - target["matrix"]).square().sum((1, 2))
            whole = ((square + 1e-6) / 2).sqrt()
        else:
            whole = geodesic(raw["matrix"], target["matrix"])
        gap = self._image_angles(raw["matrix"], target) - target["angles"]
        # 1 - cos, turned back into an angle: smooth where a difference wraps around
        wrapped = (2 * (1 - gap.cos()) + 1e-6).sqrt()
        partial = (wrapped * target["known"]).sum(1) / target["known"].sum(1).clamp_min(1.0)
        error = torch.where(complete, whole, partial)
        if self.error == "laplace":
            return error * (-raw["log_scale"]).exp() + raw["log_scale"] - _LEAST_LOG_SCALE
        return error

    def statistics(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N, 4) absolute errors of yaw, pitch, roll and the geodesic error, degrees; NaN where unknown."""
        gap = torch.rad2deg(self._image_angles(output["matrix"], target) - target["angles"])
        errors = ((gap + 180) % 360 - 180).abs()
        geodesic = geodesic_degrees(output["matrix"], target["matrix"])[:, None]
        known = torch.cat([target["known"], target["known"].prod(dim=1, keepdim=True)], dim=1)
        return torch.where(known > 0, torch.cat([errors, geodesic], dim=1), torch.nan)

    def summarise(self, statistics: np.ndarray) -> dict[str, float]:
        """Mean absolute errors in degrees; NaN for an angle that no label gives. That of 3 angles is the
        field's mean of yaw, pitch and roll, over the faces whose label gives all three."""
        names = ("yaw", "pitch", "roll", "geodesic")
        means = {}
        for name, column in zip(names, statistics.T, strict=True):
            known = column[np.isfinite(column)]
            means[name] = float(known.mean()) if known.size else float("nan")
        angles = [means[name] for name in ("yaw", "pitch") if np.isfinite(means[name])]
        result = {"yaw+pitch MAE deg": float(np.mean(angles)) if angles else float("nan")}
        result |= {f"{name} MAE deg": value for name, value in means.items()}
        whole = statistics[np.isfinite(statistics).all(axis=1), :3]
        return result | {"MAE of 3 angles deg": float(whole.mean()) if whole.size else float("nan")}

    def sample_errors(self, statistics: np.ndarray) -> np.ndarray:
        """The geodesic error, degrees; where not all angles are known, the mean error of those that are."""
        angles, geodesic = statistics[:, :3], statistics[:, 3]
        known = np.isfinite(angles)
        mean = np.where(known, angles, 0.0).sum(axis=1) / known.sum(axis=1).clip(min=1)
        return np.where(np.isfinite(geodesic), geodesic, np.where(known.any(axis=1), mean, np.nan))

    def nearest_truth(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The known angles; the others as they were predicted."""
        predicted = self._image_angles(output["matrix"], target)
        angles = torch.rad2deg(torch.where(target["known"] > 0, target["angles"], predicted))
        image = torch.stack([torch.from_numpy(matrix_from_angles(*each)) for each in angles.tolist()])
        return {"matrix": roll_matrix(-target["roll"]) @ image.to(output["matrix"])}

    @staticmethod
    def _image_angles(matrix: Tensor, target: Mapping[str, Tensor]) -> Tensor:
        return angles_from_matrix(roll_matrix(target["roll"]) @ matrix)
