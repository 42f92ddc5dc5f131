"""Weights of the tasks that are learned beside the model."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class UncertaintyWeighting(nn.Module):
    """Homoscedastic uncertainty: each task has a variance, and a task that stays uncertain counts less.

    Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and
    Semantics", CVPR 2018: exp(-s) L + s / 2 with s the log-variance, as for their classification. MOS (Liu et
    al., 2021) trains faces so. At s = 0, where it starts, the sum is the plain one.

    Args:
        tasks: names of the tasks.
    """

    def __init__(self, tasks: Iterable[str]) -> None:
        super().__init__()
        self.log_variances = nn.ParameterDict({task: nn.Parameter(torch.zeros(())) for task in tasks})

    def factors(self) -> dict[str, Tensor]:
        """Task -> () what its loss is multiplied by."""
        return {task: (-s.detach()).exp() for task, s in self.log_variances.items()}

    def forward(self, losses: dict[str, Tensor], labelled: dict[str, Tensor]) -> dict[str, Tensor]:
        """Each task's term of the sum.

        Args:
            losses: task -> mean loss over the labels of the step, not negative (``Head.loss``): the
                factor of a loss that falls below 0 would grow for ever.
            labelled: task -> () how many labels the loss is of, divided by what it was divided by: 1, or 0 if
                there is no label, which then does not move the variance. With several processes their mean
                is 1 or 0.
        """
        return {
            task: (-self.log_variances[task]).exp() * loss + labelled[task] * self.log_variances[task] / 2
            for task, loss in losses.items()
        }
