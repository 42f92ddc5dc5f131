"""A teacher: a saved face model that another one follows where samples carry no label (distillation)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceperc.errors import ConfigError
from faceperc.model import FaceModel, Outputs, masked_mean


@dataclass
class TeacherConfig:
    """A teacher and how closely it is followed.

    Attributes:
        folder: of a saved face model with the student's crop rule. The tasks that both have are followed.
        weight: factor of the outputs' distance, beside the weight of each head; 0 compares no outputs.
        feature_weight: factor of the distance of the backbones' last tokens; 0 compares no tokens.
        temperature: softens probabilities before they are compared.
    """

    folder: str
    weight: float = 1.0
    feature_weight: float = 0.0
    temperature: float = 2.0


class Teacher(nn.Module):
    """The frozen teacher, and the distance of the student from it.

    Args:
        config: which teacher, and how closely it is followed.
        student: the model that learns.

    Raises:
        ModelError: if the teacher cannot be read.
        ConfigError: if it does not fit the student.
    """

    def __init__(self, config: TeacherConfig, student: FaceModel) -> None:
        super().__init__()
        self.config = config
        model = FaceModel.load(config.folder).requires_grad_(False)
        self.tasks = [task for task in student.tasks if config.weight and task in model.tasks]
        self._check(model, student)
        # in a tuple it is no part of this module: never saved, trained, or put into training mode
        self._model = (model,)
        # as in FitNets (Romero et al., ICLR 2015)
        self.projection: nn.Module = nn.Identity()
        if config.feature_weight and student.backbone.dim != model.backbone.dim:
            self.projection = nn.Linear(student.backbone.dim, model.backbone.dim)

    def _check(self, model: FaceModel, student: FaceModel) -> None:
        where = f"teacher {self.config.folder}"
        if not self.tasks and not self.config.feature_weight:
            known = ", ".join(student.tasks)
            raise ConfigError(f"{where}: nothing to follow; it needs a weight and one of the tasks {known}")
        if model.config.crop_rule != student.config.crop_rule:
            raise ConfigError(
                f"{where}: it sees {model.config.crop_rule}, the student {student.config.crop_rule}"
            )
        for task in self.tasks:
            if model.head(task).info != student.head(task).info:
                raise ConfigError(f"{where}: its task {task!r} is not the student's (another kind or labels)")
        theirs, ours = model.backbone.grid, student.backbone.grid
        if self.config.feature_weight and theirs != ours:
            raise ConfigError(
                f"{where}: its tokens' grid has {theirs} cells a side, the student's {ours}: "
                "set feature_weight to 0"
            )

    def unlabelled(self, valid: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Task -> (N,) 1 for the samples that the teacher speaks for, 0 for those that carry a label."""
        return {task: (valid[task] == 0).float() for task in self.tasks}

    def forward(
        self,
        student: FaceModel,
        crops: Tensor,
        raw: Outputs,
        tokens: Tensor,
        unlabelled: Mapping[str, Tensor],
        totals: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """The weighted distances: by task over the samples without a label, and of the "tokens" over all.

        Args:
            student: the model that learns.
            crops: (N, S, S, 3) uint8 RGB.
            raw: the student's outputs for them.
            tokens: (N, P, D) the student's last tokens.
            unlabelled: task -> (N,), see ``unlabelled``.
            totals: task -> what the sum over these samples is divided by.
        """
        model = self._model[0].to(crops.device)
        with torch.no_grad():
            answers, wanted = model.forward_with_tokens(crops)
        losses = {}
        with torch.autocast(crops.device.type, enabled=False):
            for task in self.tasks:
                head, answer = student.head(task), model.head(task).decode(answers[task])
                distance = head.distillation_loss(raw[task], answer, self.config.temperature)
                mean = masked_mean(distance, unlabelled[task], totals[task])
                losses[task] = self.config.weight * head.weight * mean
            if self.config.feature_weight:
                similar = F.cosine_similarity(self.projection(tokens.float()), wanted.float(), dim=-1)
                losses["tokens"] = self.config.feature_weight * (1 - similar).mean()
        return losses
