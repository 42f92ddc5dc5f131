"""What landmark heads share: queries that each speak for a few points, their losses and metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from faceperc._names import unknown_name
from faceperc.calibration import rank_correlation
from faceperc.data.mean_face import MEAN_FACE
from faceperc.data.view import View
from faceperc.errors import ConfigError, DataError
from faceperc.head import Features, Head, HeadContext, Target
from faceperc.layers import Mlp
from faceperc.local_evidence import LocalEvidence
from faceperc.point_losses import ANISOTROPIC, LOG_SIGMA_FACTOR, POINT_LOSSES, mean_stretch

_FAILURE = 10.0  # % NME
_LOG_SIGMA = (-4.0, 5.0)  # least and largest, of crop pixels
_FACE_WIDTH = float(np.ptp(MEAN_FACE[:, 0]))


class PointsHead(Head):
    """K landmarks of one scheme. A label is (K, 2) points in image pixels, NaN where a point is unknown.

    A query speaks for a few neighbouring points, which start at the mean face and move; their expected errors
    are learned by maximum likelihood beside them. Where the scheme has visibility, a label is (K, 3): x, y,
    and 1 where the point is visible, 0 where it is occluded, NaN where that is unknown.

    Args:
        weight: factor of the loss. The losses differ in size: one other than the default wants its own.
        loss: one of ``faceperc.point_losses.POINT_LOSSES``.
        refine: move the points by what the pixels near them show; see ``LocalEvidence``.

    Attributes:
        start: (K, 2) where the points lie on ``MEAN_FACE``, centimetres, y up.
        mirror: (K,) the point that each point becomes in a mirror.
        normaliser: the two points whose distance errors are a percentage of, e.g. the outer eye corners.
        points_per_query: how many points a query speaks for.
        order: (K,) the points in the order in which the queries take them; that of the scheme where None.
        parts: metrics of a part of the points: name -> indices.
        has_visibility: whether a label says which points are visible.

    Raises:
        ConfigError: if the loss is unknown.
    """

    start: ClassVar[NDArray[np.float64]]
    mirror: ClassVar[NDArray[np.int64]]
    normaliser: ClassVar[tuple[int, int]]
    points_per_query: ClassVar[int] = 4
    order: ClassVar[NDArray[np.int64] | None] = None
    parts: ClassVar[Mapping[str, slice]] = {}
    has_visibility: ClassVar[bool] = False

    error_name = "NME %"
    lower_is_better = True
    curve_limit = _FAILURE

    base: Tensor
    slots: Tensor | None

    def __init__(self, weight: float = 1.0, loss: str = "laplace", refine: bool = False) -> None:
        super().__init__(weight)
        if loss not in POINT_LOSSES:
            raise ConfigError(f"{type(self).__name__}: {unknown_name('loss', loss, POINT_LOSSES)}")
        self.point_loss = POINT_LOSSES[loss]
        self.least_loss = LOG_SIGMA_FACTOR[loss] * _LOG_SIGMA[0]
        self.has_shape = loss in ANISOTROPIC
        self.is_dense = refine
        self.count = len(self.start)
        self.num_queries = math.ceil(self.count / self.points_per_query)

    def build(self, context: HeadContext) -> None:
        """See Head.build."""
        self.size = context.crop_size
        self.channels = 3 + 2 * self.has_shape + self.has_visibility
        self.mlp = Mlp(context.dim, self.channels * self.points_per_query, layers=3)
        # A face in the crop: the mean face's width is about 0.55 of it, its middle a bit below the centre.
        base = 0.55 * (self.start * [1.0, -1.0]) / _FACE_WIDTH + [0.5, 0.55]
        self.register_buffer("base", torch.from_numpy(base.astype(np.float32)) * self.size)
        slots = None if self.order is None else torch.from_numpy(np.argsort(self.order))
        self.register_buffer("slots", slots, persistent=False)
        if self.is_dense:
            self.evidence = LocalEvidence(
                context.dim, context.pixel_dim, self.points_per_query, self.count, self.size
            )

    def forward(self, features: Features) -> dict[str, Tensor]:
        """{"points": (N, K, 2) crop pixels, "log_sigma": (N, K) of crop pixels}, and where there are such
        "shape": (N, K, 2), see ``point_losses``, and "visible": (N, K) logits."""
        slots = self.num_queries * self.points_per_query
        out = self.mlp(features.queries).float().reshape(-1, slots, self.channels)
        # the last query may have more slots than there are points
        out = out[:, : self.count] if self.slots is None else out[:, self.slots]
        points = self.base + out[..., :2] * (self.size / 8)
        if features.pixels is not None and self.is_dense:
            points = self.evidence(points, features.queries, features.pixels, self.slots)
        raw = {"points": points, "log_sigma": out[..., 2].clamp(*_LOG_SIGMA)}
        if self.has_shape:
            raw["shape"] = out[..., 3:5].clamp(-2.0, 2.0)
        if self.has_visibility:
            raw["visible"] = out[..., -1]
        return raw

    def decode(self, raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{"points": (N, K, 2), "sigma": (N, K) expected distance from the truth}, both crop pixels, and
        "visibility": (N, K) probability where the scheme has it."""
        sigma = raw["log_sigma"].exp()
        if self.has_shape:
            sigma = sigma * mean_stretch(raw["shape"])
        output = {"points": raw["points"], "sigma": sigma}
        return output | {"visibility": raw["visible"].sigmoid()} if self.has_visibility else output

    @torch.no_grad()
    def resize_crops(self, ratio: float) -> None:
        """See Head.resize_crops: first places and expected errors grow with the crop, and what a query adds
        to a first place is a share of it. How far the pixels may move a point stays: in larger crops a wider
        search finds more that looks alike, and w300's NME at 160 px was half a point worse."""
        self.base.mul_(ratio)
        last = self.mlp[-1]
        assert isinstance(last, nn.Linear)
        last.bias.view(self.points_per_query, self.channels)[:, 2].add_(math.log(ratio))

    def empty_target(self) -> Target:
        """{"points": (K, 2) crop pixels}, and {"visible": (K,)} where the scheme has it."""
        points = {"points": np.zeros((self.count, 2), np.float32)}
        return points | {"visible": np.zeros(self.count, np.float32)} if self.has_visibility else points

    def encode(self, label: np.ndarray, view: View) -> Target:
        """Points in the view, NaN where unknown; a mirror exchanges left and right points. Raises DataError
        if the label has another shape than the scheme's."""
        values = np.asarray(label, dtype=np.float64)
        shape = (self.count, 3 if self.has_visibility else 2)
        if values.shape != shape:
            raise DataError(f"{type(self).__name__}: a label has the shape {shape}, not {values.shape}")
        target = {"points": view.points(values[:, :2])}
        if self.has_visibility:
            target["visible"] = values[:, 2]
        return {
            key: (each[self.mirror] if view.flip else each).astype(np.float32) for key, each in target.items()
        }

    def loss(self, raw: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N,) mean of the chosen loss over the known points, plus the cross-entropy of the visibility.

        Likelihoods can be negative: a constant keeps the loss above 0, where learned task weights want it.
        """
        known = target["points"].isfinite().all(-1)
        truth = torch.where(known[..., None], target["points"], raw["points"].detach())
        loss = _mean_where(known, self.point_loss(raw, truth, self.size) - self.least_loss)
        if self.has_visibility:
            told = target["visible"].isfinite()
            each = F.binary_cross_entropy_with_logits(
                raw["visible"], target["visible"].nan_to_num(), reduction="none"
            )
            loss = loss + _mean_where(told, each)
        return loss

    def statistics(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N, 1 + P + 1) mean distance over the known points, all and of each part, and the mean of what the
        model expects of them, in % of the normaliser; NaN where none or an end of the normaliser is not
        known, or nothing is expected. With visibility (N, 1 + P + 1 + 3): points that are occluded and taken
        to be so, occluded, taken to be so."""
        distance = (output["points"] - target["points"]).square().sum(-1).sqrt()
        first, second = self.normaliser
        gap = target["points"][:, first] - target["points"][:, second]
        length = gap.square().sum(-1).sqrt().clamp_min(1e-6)
        sigma = output.get("sigma", torch.full_like(distance, torch.nan))
        expected = torch.where(distance.isfinite(), sigma, torch.nan)
        means = [distance, *(distance[:, part] for part in self.parts.values()), expected]
        means = [each.nanmean(1) for each in means]
        rows = 100 * torch.stack(means, dim=1) / length[:, None]
        if not self.has_visibility:
            return rows
        told = target["visible"].isfinite()
        occluded, taken = told & (target["visible"] < 0.5), told & (output["visibility"] < 0.5)
        counts = torch.stack([(occluded & taken).sum(1), occluded.sum(1), taken.sum(1)], dim=1)
        return torch.cat([rows, counts.to(rows.dtype)], dim=1)

    def sample_errors(self, statistics: np.ndarray) -> np.ndarray:
        """NME of all points, %."""
        return statistics[:, 0]

    def nearest_truth(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The labelled points; the output where a point is unknown."""
        known = target["points"].isfinite().all(-1, keepdim=True)
        return {"points": torch.where(known, target["points"], output["points"])}

    def missing_row(self) -> np.ndarray:
        """Infinite errors, a failure; nothing expected, nothing said of visibility."""
        return np.r_[np.full(1 + len(self.parts), np.inf), np.nan, np.zeros(3 * self.has_visibility)]

    def summarise(self, statistics: np.ndarray) -> dict[str, float]:
        """NME of all points and of each part, failure rate at 10 % and area under the error curve up to 10 %,
        and precision and recall of occlusion where the scheme has visibility, all in %; and the rank
        correlation (Spearman's) of the faces' expected and real errors.

        An infinite row is a face that was not found: it counts as a failure and adds nothing to the area,
        but has no place in the mean. NaN is a face whose error is not known.
        """
        errors = statistics[:, : 1 + len(self.parts)].T
        metrics = {
            name: _mean(column[np.isfinite(column)])
            for name, column in zip(("NME %", *self.parts), errors, strict=True)
        }
        error = errors[0][~np.isnan(errors[0])]
        metrics["failure %"] = 100 * _mean(error > _FAILURE)
        metrics["AUC@10 %"] = 100 * _mean(np.clip(1 - error / _FAILURE, 0, None))
        expected = statistics[:, 1 + len(self.parts)]
        both_known = np.isfinite(errors[0]) & np.isfinite(expected)
        metrics["expected error rank correlation"] = rank_correlation(
            errors[0][both_known], expected[both_known]
        )
        if self.has_visibility:
            both, occluded, taken = (float(total) for total in statistics[:, -3:].sum(0))
            metrics["occlusion precision %"] = 100 * both / taken if taken else float("nan")
            metrics["occlusion recall %"] = 100 * both / occluded if occluded else float("nan")
        return metrics


def mirror_permutation(count: int, *pairs: tuple[Iterable[int], Iterable[int]]) -> NDArray[np.int64]:
    """(count,) the point that each point becomes in a mirror.

    Args:
        count: number of points.
        pairs: points of one side, and in the same order those of the other; the rest stay themselves.
    """
    mirror = np.arange(count)
    for one, other in pairs:
        left, right = list(one), list(other)
        mirror[left], mirror[right] = right, left
    return mirror


def _mean_where(mask: Tensor, values: Tensor) -> Tensor:
    """(N,) mean of (N, K) values over the mask; 0 where it is empty."""
    return (values * mask).sum(1) / mask.sum(1).clamp_min(1)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
