"""What heads with named classes share: one query, an MLP, and the metrics of classification."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from faceperc._names import unknown_name
from faceperc.calibration import calibration_error
from faceperc.data.view import View
from faceperc.errors import ConfigError, DataError
from faceperc.head import Features, Head, HeadContext, Target
from faceperc.layers import Mlp

_ANSWERS = {"1": 1.0, "0": 0.0, "yes": 1.0, "no": 0.0, "true": 1.0, "false": 0.0}


class ClassesHead(Head):
    """Exclusive classes. A label is the index of its class, or (C,) votes of several people.

    Votes are learned as a distribution, as for FER+ (Barsoum et al., "Training Deep Networks for Facial
    Expression Recognition with Crowd-Sourced Label Distribution", ICMI 2016), and measured by their majority.

    Args:
        weight: factor of the loss.
        label_smoothing: probability mass spread evenly over all classes.
        class_weights: label -> factor of its cross-entropy, more than 1 for rare classes; 1 where absent.

    Raises:
        ConfigError: if ``class_weights`` names an unknown label.
    """

    class_weights: Tensor
    error_name = "1 - probability of the labelled class"

    def __init__(
        self,
        weight: float = 1.0,
        label_smoothing: float = 0.0,
        class_weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(weight)
        self.label_smoothing = label_smoothing
        labels, given = self.info.labels, class_weights or {}
        for label in given:
            if label not in labels:
                where = f"{type(self).__name__}.class_weights"
                raise ConfigError(f"{where}: {unknown_name('label', label, labels)}")
        factors = torch.tensor([float(given.get(label, 1.0)) for label in labels])
        self.register_buffer("class_weights", factors, persistent=False)

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
        """{"distribution": (C,)}."""
        return {"distribution": np.zeros(len(self.info.labels), np.float32)}

    def from_text(self, text: str | Mapping[str, str]) -> int:
        """See Head.from_text: the name of a class, in any case, or its index where no name is a number."""
        labels = self.info.labels
        if isinstance(text, Mapping):
            raise DataError(f"has the columns {', '.join(text)}, but one with the class's name is wanted")
        if text in labels:
            return labels.index(text)
        folded = [label.casefold() for label in labels]
        if folded.count(text.casefold()) == 1:
            return folded.index(text.casefold())
        # where names are numbers, another number is no index
        if text.isdecimal() and int(text) < len(labels) and not any(map(str.isdecimal, labels)):
            return int(text)
        raise DataError(unknown_name("class", text, labels))

    def encode(self, label: int | np.ndarray, view: View) -> Target:
        """The class survives any view. Raises DataError if the label is neither a class nor votes."""
        size = len(self.info.labels)
        votes = np.arange(size) == label if np.ndim(label) == 0 else np.asarray(label)
        if votes.shape != (size,) or not (votes.min() >= 0 and votes.sum() > 0):
            name = type(self).__name__
            raise DataError(f"{name}: the label {label} is no index of {size} classes, nor votes for them")
        return {"distribution": (votes / votes.sum()).astype(np.float32)}

    def loss(self, raw: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N,) cross-entropy."""
        return F.cross_entropy(
            raw["logits"],
            target["distribution"],
            weight=self.class_weights,
            reduction="none",
            label_smoothing=self.label_smoothing,
        )

    def statistics(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N, 4) true class, that of most votes, predicted class, and the probabilities of both."""
        probabilities, index = output["probabilities"], target["distribution"].argmax(dim=1, keepdim=True)
        highest, predicted = probabilities.max(dim=1, keepdim=True)
        return torch.cat([index, predicted, probabilities.gather(1, index), highest], dim=1)

    def summarise(self, statistics: np.ndarray) -> dict[str, float]:
        """Accuracy, macro-F1 and balanced accuracy over the classes that occur, and the expected calibration
        error of the predicted class, all in %."""
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
            "ECE %": 100 * calibration_error(statistics[:, 3], true == predicted),
        }

    def confusion(self, statistics: np.ndarray) -> np.ndarray:
        """(M, 4) rows of ``statistics`` -> (C, C) samples of each true (row) and predicted (column) class."""
        counts = np.zeros((len(self.info.labels),) * 2, dtype=int)
        np.add.at(counts, tuple(statistics[:, :2].astype(int).T), 1)
        return counts

    def sample_errors(self, statistics: np.ndarray) -> np.ndarray:
        """One minus the probability of the true class."""
        return 1 - statistics[:, 2]

    def nearest_truth(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All probability on the true class."""
        return {
            "probabilities": F.one_hot(target["distribution"].argmax(dim=1), len(self.info.labels)).float()
        }


def asymmetric_loss(
    logits: Tensor, answers: Tensor, gamma_positive: float, gamma_negative: float, margin: float
) -> Tensor:
    """Binary cross-entropy that turns down easy answers, element by element.

    Ridnik et al., "Asymmetric Loss For Multi-Label Classification", ICCV 2021: with p the probability of yes
    and q = max(p - margin, 0), -(1 - p)^gamma_positive log p for yes, -q^gamma_negative log(1 - q) for no.

    Args:
        logits: of the answer yes.
        answers: 1 (yes) or 0 (no), of the same shape.
        gamma_positive: focus on hard yes answers; 0 weighs all alike.
        gamma_negative: focus on hard no answers.
        margin: no answers below this probability of yes cost nothing.
    """
    log_yes, log_no = F.logsigmoid(logits), F.logsigmoid(-logits)
    yes = (gamma_positive * log_no).exp() * log_yes
    # log(1 - q) by logarithms, so that a confident mistake keeps its gradient
    log_no = torch.logaddexp(log_no, torch.full_like(log_no, margin).log()).clamp(max=0.0)
    # 1e-8: an exponent below 1 has an infinite gradient at 0
    no = (-log_no.expm1()).clamp_min(1e-8) ** gamma_negative * log_no
    return -(answers * yes + (1 - answers) * no)


class ProbabilitiesHead(Head):
    """Independent yes/no questions. A label is (C,) of 0, 1, or NaN where the answer is unknown.

    By default the loss is the binary cross-entropy. With both gammas 2 it is the focal loss (Lin et al., ICCV
    2017) without its class balance, with 0, 4 and a margin of 0.05 the asymmetric loss (``asymmetric_loss``).

    Args:
        weight: factor of the loss.
        gamma_positive: see ``asymmetric_loss``.
        gamma_negative: see ``asymmetric_loss``.
        margin: see ``asymmetric_loss``.
    """

    def __init__(
        self,
        weight: float = 1.0,
        gamma_positive: float = 0.0,
        gamma_negative: float = 0.0,
        margin: float = 0.0,
    ) -> None:
        super().__init__(weight)
        self.gamma_positive = gamma_positive
        self.gamma_negative = gamma_negative
        self.margin = margin

    error_name = "wrong answers %"

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

    def from_text(self, text: str | Mapping[str, str]) -> np.ndarray:
        """See Head.from_text: of each label 1, 0, yes, no, true or false; unknown where there is no cell. A
        single question may stand in a column without its label."""
        labels = self.info.labels
        if isinstance(text, str):
            if len(labels) > 1:
                raise DataError(f"a column for each label is wanted, such as TASK.{labels[0]}")
            text = {labels[0]: text}
        answers = np.full(len(labels), np.nan, np.float32)
        for label, cell in text.items():
            if label not in labels:
                raise DataError(unknown_name("label", label, labels))
            if cell.casefold() not in _ANSWERS:
                raise DataError(f"{label}: {cell!r} is none of {', '.join(_ANSWERS)}")
            answers[labels.index(label)] = _ANSWERS[cell.casefold()]
        return answers

    def encode(self, label: np.ndarray, view: View) -> Target:
        """The answers survive any view."""
        answers = np.asarray(label, dtype=np.float32).reshape(len(self.info.labels))
        return {"answers": np.nan_to_num(answers), "known": np.isfinite(answers).astype(np.float32)}

    def loss(self, raw: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N,) asymmetric loss, averaged over the known answers."""
        each = asymmetric_loss(
            raw["logits"], target["answers"], self.gamma_positive, self.gamma_negative, self.margin
        )
        return (each * target["known"]).sum(1) / target["known"].sum(1).clamp_min(1.0)

    def statistics(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N, 2 C) truth (NaN: unknown) and probability of yes."""
        unknown = torch.full_like(target["answers"], torch.nan)
        truth = torch.where(target["known"] > 0, target["answers"], unknown)
        return torch.cat([truth, output["probabilities"].to(truth.dtype)], dim=1)

    def summarise(self, statistics: np.ndarray) -> dict[str, float]:
        """Mean accuracy, mean balanced accuracy, the accuracy of always giving the commoner answer, and the
        expected calibration error of the probabilities of yes, all in %."""
        truths, probabilities = np.split(statistics, 2, axis=1)
        rows = []
        for truth, probability in zip(truths.T, probabilities.T, strict=True):
            known = np.isfinite(truth)
            if not known.any():
                continue
            truth, right = truth[known], (truth == (probability > 0.5))[known]
            recalls = [right[truth == answer].mean() for answer in (0, 1) if (truth == answer).any()]
            rows.append((right.mean(), np.mean(recalls), max(truth.mean(), 1 - truth.mean())))
        told = np.isfinite(truths)
        accuracy, balanced, majority = 100 * np.mean(rows, axis=0) if rows else (np.nan,) * 3
        return {
            "accuracy %": float(accuracy),
            "balanced accuracy %": float(balanced),
            "majority guess %": float(majority),
            "ECE %": 100 * calibration_error(probabilities[told], truths[told] > 0.5),
        }

    def sample_errors(self, statistics: np.ndarray) -> np.ndarray:
        """Share of the known answers that are wrong, %."""
        truth, probability = np.split(statistics, 2, axis=1)
        known = np.isfinite(truth)
        wrong = (known & (truth != (probability > 0.5))).sum(axis=1)
        return np.where(known.any(axis=1), 100 * wrong / known.sum(axis=1).clip(min=1), np.nan)

    def nearest_truth(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The known answers; the others as they were given."""
        known = target["known"] > 0
        return {"probabilities": torch.where(known, target["answers"], output["probabilities"])}
