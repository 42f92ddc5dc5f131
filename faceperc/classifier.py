"""What heads with named classes share: one query, an MLP, and the metrics of classification."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from faceperc.data.view import View
from faceperc.head import Features, Head, HeadContext, Target
from faceperc.layers import Mlp


class ClassesHead(Head):
    """Exclusive classes. A label is the index of its class.

    Args:
        weight: factor of the loss.
        label_smoothing: probability mass spread evenly over all classes.
    """

    def __init__(self, weight: float = 1.0, label_smoothing: float = 0.0) -> None:
        super().__init__(weight)
        self.label_smoothing = label_smoothing

    def build(self, context: HeadContext) -> None:
        """See Head.build."""
        self.mlp = Mlp(context.dim, len(self.info.labels))

    def forward(self, features: Features) -> dict[str, Tensor]:
        """{"logits": (N, C)}."""
        return {"logits": self.mlp(features.queries[:, 0]).float()}

    def decode(self, raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{"probabilities": (N, C)}, rows sum to 1."""
        return {"probabilities": raw["logits"].softmax(dim=1)}

    def empty_target(self) -> Target:
        """{"index": ()}."""
        return {"index": np.zeros((), dtype=np.int64)}

    def encode(self, label: int, view: View) -> Target:
        """The class survives any view."""
        return {"index": np.asarray(label, dtype=np.int64)}

    def loss(self, raw: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N,) cross-entropy."""
        return F.cross_entropy(
            raw["logits"], target["index"], reduction="none", label_smoothing=self.label_smoothing
        )

    def statistics(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N, 2) true and predicted class."""
        return torch.stack([target["index"], output["probabilities"].argmax(dim=1)], dim=1)

    def summarise(self, statistics: np.ndarray) -> dict[str, float]:
        """Accuracy, macro-F1 and balanced accuracy over the classes that occur, all in %."""
        true, predicted = statistics[:, 0].astype(int), statistics[:, 1].astype(int)
        f1, recall = [], []
        for index in np.unique(true):
            hits = float(np.sum((true == index) & (predicted == index)))
            f1.append(2 * hits / (np.sum(true == index) + np.sum(predicted == index)))
            recall.append(hits / np.sum(true == index))
        return {
            "accuracy %": 100 * float(np.mean(true == predicted)),
            "macro F1 %": 100 * float(np.mean(f1)),
            "balanced accuracy %": 100 * float(np.mean(recall)),
        }


class ProbabilitiesHead(Head):
    """Independent yes/no questions. A label is (C,) of 0, 1, or NaN where the answer is unknown."""

    def build(self, context: HeadContext) -> None:
        """See Head.build."""
        self.mlp = Mlp(context.dim, len(self.info.labels))

    def forward(self, features: Features) -> dict[str, Tensor]:
        """{"logits": (N, C)}."""
        return {"logits": self.mlp(features.queries[:, 0]).float()}

    def decode(self, raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{"probabilities": (N, C)}, each in [0, 1]."""
        return {"probabilities": raw["logits"].sigmoid()}

    def empty_target(self) -> Target:
        """{"answers": (C,), "known": (C,)}."""
        size = len(self.info.labels)
        return {"answers": np.zeros(size, np.float32), "known": np.zeros(size, np.float32)}

    def encode(self, label: np.ndarray, view: View) -> Target:
        """The answers survive any view."""
        answers = np.asarray(label, dtype=np.float32).reshape(len(self.info.labels))
        return {"answers": np.nan_to_num(answers), "known": np.isfinite(answers).astype(np.float32)}

    def loss(self, raw: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N,) binary cross-entropy, averaged over the known answers."""
        each = F.binary_cross_entropy_with_logits(raw["logits"], target["answers"], reduction="none")
        return (each * target["known"]).sum(1) / target["known"].sum(1).clamp_min(1.0)

    def statistics(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N, 2 C) truth (NaN: unknown) and decision at 0.5."""
        unknown = torch.full_like(target["answers"], torch.nan)
        truth = torch.where(target["known"] > 0, target["answers"], unknown)
        return torch.cat([truth, (output["probabilities"] > 0.5).to(truth.dtype)], dim=1)

    def summarise(self, statistics: np.ndarray) -> dict[str, float]:
        """Mean accuracy, mean balanced accuracy, and the accuracy of always giving the commoner answer, %."""
        size = len(self.info.labels)
        rows = []
        for truth, decision in zip(statistics[:, :size].T, statistics[:, size:].T, strict=True):
            known = np.isfinite(truth)
            if not known.any():
                continue
            truth, right = truth[known], (truth == decision)[known]
            recalls = [right[truth == answer].mean() for answer in (0, 1) if (truth == answer).any()]
            rows.append((right.mean(), np.mean(recalls), max(truth.mean(), 1 - truth.mean())))
        accuracy, balanced, majority = 100 * np.mean(rows, axis=0) if rows else (np.nan,) * 3
        return {
            "accuracy %": float(accuracy),
            "balanced accuracy %": float(balanced),
            "majority guess %": float(majority),
        }
