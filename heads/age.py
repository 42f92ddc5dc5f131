"""Age: a distribution over years and its mean.

Label distribution learning (Gao et al., "Age Estimation Using Expectation of Label Distribution Learning",
IJCAI 2018): the label is a narrow Gaussian around the year, the answer is the distribution's mean.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from faceperc.data.view import View
from faceperc.head import Features, Head, HeadContext, OutputInfo, Target
from faceperc.layers import Mlp

MAX_AGE = 100


class Age(Head):
    """Years from 0 to 100. A label is the age in years; ages above 100 count as 100.

    Args:
        weight: factor of the loss.
        label_sigma: standard deviation of the label's Gaussian, years.
        expectation_weight: factor of the mean's error in years beside the distribution's; 1 in DLDL-v2.
    """

    info = OutputInfo(
        "scalar", "apparent age", unit="years", bins=tuple(float(year) for year in range(MAX_AGE + 1))
    )

    years: Tensor
    error_name = "error in years"
    curve_limit = 20.0

    def __init__(
        self, weight: float = 1.0, label_sigma: float = 2.0, expectation_weight: float = 0.1
    ) -> None:
        super().__init__(weight)
        self.label_sigma = label_sigma
        self.expectation_weight = expectation_weight
        self.register_buffer("years", torch.arange(MAX_AGE + 1.0), persistent=False)

    def build(self, context: HeadContext) -> None:
        """See Head.build."""
        self.mlp = Mlp(context.dim, MAX_AGE + 1)

    def forward(self, features: Features) -> dict[str, Tensor]:
        """{"logits": (N, 101)}."""
        return {"logits": self.mlp(features.queries[:, 0]).float()}

    def decode(self, raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{"value": (N,) years, "distribution": (N, 101)}."""
        distribution = raw["logits"].softmax(dim=1)
        return {"value": (distribution * self.years).sum(dim=1), "distribution": distribution}

    def empty_target(self) -> Target:
        """{"years": ()}."""
        return {"years": np.zeros((), dtype=np.float32)}

    def encode(self, label: float, view: View) -> Target:
        """The age survives any view."""
        return {"years": np.asarray(np.clip(label, 0, MAX_AGE), dtype=np.float32)}

    def loss(self, raw: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N,) cross-entropy with the label's Gaussian, plus the weighted error of the mean in years.

        The cross-entropy is DLDL-v2's Kullback-Leibler divergence but for a constant, the Gaussian's entropy.
        """
        gap = (self.years - target["years"][:, None]) / self.label_sigma
        wanted = (-0.5 * gap.square()).softmax(dim=1)
        cross_entropy = -(wanted * raw["logits"].log_softmax(dim=1)).sum(dim=1)
        error = (self.decode(raw)["value"] - target["years"]).abs()
        return cross_entropy + self.expectation_weight * error

    def statistics(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N, 1) absolute error in years."""
        return (output["value"] - target["years"]).abs()[:, None]

    def summarise(self, statistics: np.ndarray) -> dict[str, float]:
        """Mean absolute error, and the share of ages within five years, %."""
        return {
            "MAE years": float(statistics.mean()),
            "within 5 years %": 100 * float((statistics <= 5).mean()),
        }

    def sample_errors(self, statistics: np.ndarray) -> np.ndarray:
        """Absolute error in years."""
        return statistics[:, 0]

    def nearest_truth(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The labelled age."""
        return {"value": target["years"]}
