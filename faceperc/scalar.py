"""What heads of one number share: a distribution over its range, whose mean is the answer.

Label distribution learning (Gao et al., "Age Estimation Using Expectation of Label Distribution Learning",
IJCAI 2018): the label is a narrow Gaussian around the value, the answer is the distribution's mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from faceperc.data.view import View
from faceperc.errors import DataError
from faceperc.head import Features, Head, HeadContext, Target
from faceperc.layers import Mlp


class ScalarHead(Head):
    """A number in the range of its ``info.bins``, which are evenly spaced. A label is the number; one beyond
    the range counts as the end of the range.

    Args:
        weight: factor of the loss.
        label_sigma: standard deviation of the label's Gaussian, in bins.
        expectation_weight: factor of the mean's error in bins beside the distribution's; 1 in DLDL-v2.
    """

    lower_is_better = True
    bins: Tensor

    def __init__(
        self, weight: float = 1.0, label_sigma: float = 2.0, expectation_weight: float = 0.1
    ) -> None:
        super().__init__(weight)
        self.label_sigma = label_sigma
        self.expectation_weight = expectation_weight
        low, high = self.info.bins[0], self.info.bins[-1]
        self.step = (high - low) / (len(self.info.bins) - 1)
        self.register_buffer("bins", torch.tensor(self.info.bins), persistent=False)
        self.error_name = f"error in {self.info.unit}" if self.info.unit else "error"
        self.curve_limit = (high - low) / 5

    def build(self, context: HeadContext) -> None:
        """See Head.build."""
        self.mlp = Mlp(context.dim, len(self.info.bins))

    def forward(self, features: Features) -> dict[str, Tensor]:
        """{"logits": (N, B)}."""
        return {"logits": self.mlp(features.queries[:, 0]).float()}

    def decode(self, raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{"value": (N,) in the unit, "distribution": (N, B) over the bins}."""
        distribution = raw["logits"].softmax(dim=1)
        return {"value": (distribution * self.bins).sum(dim=1), "distribution": distribution}

    def empty_target(self) -> Target:
        """{"value": ()}."""
        return {"value": np.zeros((), dtype=np.float32)}

    def from_text(self, text: str | Mapping[str, str]) -> float:
        """See Head.from_text: a number in the range."""
        low, high = self.info.bins[0], self.info.bins[-1]
        unit = f" {self.info.unit}" if self.info.unit else ""
        try:
            value = float(text)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            value = math.nan
        if not low <= value <= high:
            raise DataError(f"{text!r} is no number from {low:g} to {high:g}{unit}")
        return value

    def encode(self, label: float, view: View) -> Target:
        """The number survives any view."""
        clipped = np.clip(label, self.info.bins[0], self.info.bins[-1])
        return {"value": np.asarray(clipped, dtype=np.float32)}

    def loss(self, raw: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N,) cross-entropy with the label's Gaussian, plus the weighted error of the mean in bins.

        The cross-entropy is DLDL-v2's Kullback-Leibler divergence but for a constant, the Gaussian's entropy.
        """
        gap = (self.bins - target["value"][:, None]) / (self.label_sigma * self.step)
        wanted = (-0.5 * gap.square()).softmax(dim=1)
        cross_entropy = -(wanted * raw["logits"].log_softmax(dim=1)).sum(dim=1)
        error = (self.decode(raw)["value"] - target["value"]).abs() / self.step
        return cross_entropy + self.expectation_weight * error

    def statistics(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N, 1) absolute error in the unit."""
        return (output["value"] - target["value"]).abs()[:, None]

    def summarise(self, statistics: np.ndarray) -> dict[str, float]:
        """Mean absolute error, and the share of errors within a twentieth of the range, %."""
        unit = f" {self.info.unit}" if self.info.unit else ""
        near = (self.info.bins[-1] - self.info.bins[0]) / 20
        return {
            f"MAE{unit}": float(statistics.mean()),
            f"within {near:g}{unit} %": 100 * float((statistics <= near).mean()),
        }

    def sample_errors(self, statistics: np.ndarray) -> np.ndarray:
        """Absolute error in the unit."""
        return statistics[:, 0]

    def nearest_truth(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The labelled number."""
        return {"value": target["value"]}
