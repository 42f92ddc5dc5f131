"""Landmarks: the 68 points of iBUG 300-W, each with its expected error.

Sagonas et al., "300 Faces in-the-Wild Challenge", ICCVW 2013. A query speaks for four neighbouring points,
which start at the mean face and move; their expected errors are learned by maximum likelihood beside them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from faceperc.data.mean_face import MEAN_FACE
from faceperc.data.view import View
from faceperc.head import Features, Head, HeadContext, OutputInfo, Target
from faceperc.layers import Mlp

#: Polylines of the parts; closed ones end with their first point.
LINES: tuple[tuple[int, ...], ...] = (
    tuple(range(17)),  # jaw
    tuple(range(17, 22)),  # brow at the image left, the subject's right
    tuple(range(22, 27)),
    tuple(range(27, 31)),  # nose bridge
    tuple(range(31, 36)),
    (*range(36, 42), 36),  # eye at the image left
    (*range(42, 48), 42),
    (*range(48, 60), 48),  # outer lips
    (*range(60, 68), 60),  # inner lips
)

#: The point that each point becomes in a mirror.
MIRROR = np.array(
    [
        *(*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)),
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65),
    ]
)

#: Outer eye corners: their distance is the inter-ocular distance of 300-W.
EYE_CORNERS = (36, 45)

_FAILURE = 10.0  # % NME
_POINTS_PER_QUERY = 4


class Landmarks(Head):
    """A label is (68, 2) points in image pixels, iBUG order."""

    info = OutputInfo("points", "68 landmarks in iBUG 300-W order", lines=LINES)
    base: Tensor
    num_queries = 68 // _POINTS_PER_QUERY

    def build(self, context: HeadContext) -> None:
        """See Head.build."""
        self.size = context.crop_size
        self.mlp = Mlp(context.dim, 3 * _POINTS_PER_QUERY, layers=3)
        # A face in the crop: the mean face's width is about 0.55 of it, its middle a bit below the centre.
        base = MEAN_FACE[:, :2] * [1.0, -1.0]
        base = 0.55 * base / np.ptp(base[:, 0]) + [0.5, 0.55]
        self.register_buffer("base", torch.from_numpy(base.astype(np.float32)) * self.size)

    def forward(self, features: Features) -> dict[str, Tensor]:
        """{"points": (N, 68, 2) crop pixels, "log_sigma": (N, 68) of crop pixels}."""
        out = self.mlp(features.queries).float().reshape(-1, 68, 3)
        points = self.base + out[..., :2] * (self.size / 8)
        return {"points": points, "log_sigma": out[..., 2].clamp(-4.0, 5.0)}

    def decode(self, raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{"points": (N, 68, 2), "sigma": (N, 68) expected distance from the truth}, both crop pixels."""
        return {"points": raw["points"], "sigma": raw["log_sigma"].exp()}

    def empty_target(self) -> Target:
        """{"points": (68, 2) crop pixels}."""
        return {"points": np.zeros((68, 2), np.float32)}

    def encode(self, label: np.ndarray, view: View) -> Target:
        """Points in the view; a mirror exchanges left and right points."""
        points = view.points(label)
        return {"points": (points[MIRROR] if view.flip else points).astype(np.float32)}

    def loss(self, raw: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N,) mean distance in units of a twentieth of the crop, plus the likelihood of the expected error.

        With p(d) proportional to exp(-2 |d| / s) / s^2, an isotropic Laplace density in the plane, s is the
        mean distance and the negative log-likelihood is 2 (|d| / s + log s). The distance is detached in it:
        uncertain points stay worth learning, and s only learns to describe them.
        """
        distance = (raw["points"] - target["points"]).square().sum(-1).add(1e-6).sqrt()
        log_sigma = raw["log_sigma"]
        likelihood = distance.detach() * (-log_sigma).exp() + log_sigma
        return (20.0 / self.size) * distance.mean(1) + 0.1 * likelihood.mean(1)

    def statistics(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N, 2) mean distance over all 68 and the inner 51 points in % of the inter-ocular distance."""
        distance = (output["points"] - target["points"]).square().sum(-1).sqrt()
        first, second = EYE_CORNERS
        ocular = (
            (target["points"][:, first] - target["points"][:, second]).square().sum(-1).sqrt().clamp_min(1e-6)
        )
        return 100 * torch.stack([distance.mean(1), distance[:, 17:].mean(1)], dim=1) / ocular[:, None]

    def missing_row(self) -> np.ndarray:
        """Infinite errors: a failure."""
        return np.full(2, np.inf)

    def summarise(self, statistics: np.ndarray) -> dict[str, float]:
        """NME of 68 and 51 points, failure rate at 10 % and area under the error curve up to 10 %, all in %.

        An infinite row is a face that was not found: it counts as a failure and adds nothing to the area,
        but has no place in the mean.
        """
        found = statistics[np.isfinite(statistics[:, 0])]
        error = statistics[:, 0]
        return {
            "NME %": float(found[:, 0].mean()) if len(found) else float("nan"),
            "NME 51 %": float(found[:, 1].mean()) if len(found) else float("nan"),
            "failure %": 100 * float((error > _FAILURE).mean()),
            "AUC@10 %": 100 * float(np.clip(1 - error / _FAILURE, 0, None).mean()),
        }
