"""The contract between a head and everything around it.

A head is one task. It declares its queries, the KIND of its output, how a label of an image becomes a
target for a crop, its loss and its metric. The decoder, the trainer, the exporter and (through the ONNX
metadata) the predictor, the drawing and the JSON follow that declaration; none of them knows a task by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from faceperc.data.view import View
from faceperc.distill import output_distance
from faceperc.errors import DataError

Target = dict[str, np.ndarray]

#: Units of fields, but for a scalar's, which its head gives.
FIELD_UNITS = {"points": "crop px", "sigma": "crop px"}

#: Fields of each kind: name -> must be present. `docs/contract.md` has their shapes and meaning.
KIND_FIELDS: dict[str, dict[str, bool]] = {
    "points": {"points": True, "sigma": False, "visibility": False},
    "rotation": {"matrix": True},
    "mask": {"scores": True},
    "classes": {"probabilities": True},
    "probabilities": {"probabilities": True},
    "scalar": {"value": True, "distribution": False},
}


@dataclass(frozen=True)
class Features:
    """What the heads read from the decoder.

    Attributes:
        queries: (N, Q, D) the head's own queries after the decoder.
        pixels: (N, P, h, w) upscaled image features, shared by all dense heads; h = crop size / 4. None in a
            model that has no dense head.
    """

    queries: Tensor
    pixels: Tensor | None = None


@dataclass(frozen=True)
class OutputInfo:
    """What a head's output means: it becomes the task's entry in the ONNX metadata.

    Attributes:
        kind: one of KIND_FIELDS.
        description: one line for people.
        labels: names of the classes, or of the points.
        unit: unit of a scalar.
        lines: polylines of point indices, for drawing.
        bins: values (in ``unit``) that a scalar's distribution is over.
    """

    kind: str
    description: str
    labels: tuple[str, ...] = ()
    unit: str | None = None
    lines: tuple[tuple[int, ...], ...] = ()
    bins: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KIND_FIELDS:
            raise ValueError(f"unknown kind {self.kind!r}: one of {', '.join(KIND_FIELDS)}")


@dataclass(frozen=True)
class HeadContext:
    """Sizes that a head needs to build its layers: query width, pixel feature channels, crop side in px."""

    dim: int
    pixel_dim: int
    crop_size: int


class Head(nn.Module, ABC):
    """One task.

    Args:
        weight: factor of this task's loss in the sum over tasks.
    """

    info: OutputInfo
    num_queries: int = 1
    #: Whether the head reads ``Features.pixels``.
    is_dense: bool = False
    #: What ``sample_errors`` measures, with its unit.
    error_name: str = "error"
    #: Whether the main metric is an error, of which less is better.
    lower_is_better: bool = False
    #: The evaluation's cumulative error curve ends at this error; None draws no curve.
    curve_limit: float | None = None

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    @abstractmethod
    def build(self, context: HeadContext) -> None:
        """Create the layers, now that the model's sizes are known. Called once, by FaceModel."""

    @abstractmethod
    def forward(self, features: Features) -> dict[str, Tensor]:
        """Raw outputs (logits and the like), each (N, ...): what the loss reads."""

    @abstractmethod
    def decode(self, raw: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Raw outputs -> the final fields of the head's kind, each (N, ...). Exported with the model."""

    @abstractmethod
    def empty_target(self) -> Target:
        """A target of zeros: fills the place of a sample that does not carry this label."""

    @abstractmethod
    def encode(self, label: Any, view: View) -> Target:
        """The label of an image -> the target in a view (crop, flip) of it. Same keys and shapes as
        ``empty_target``."""

    def from_text(self, text: str | Mapping[str, str]) -> Any:
        """A label as a table writes it -> the label that ``encode`` takes.

        Args:
            text: a cell; or, of a task with columns of their own for its labels, label -> cell.

        Raises:
            DataError: if it says nothing of this task's, or labels of its kind cannot be written in cells.
        """
        raise DataError(f"a table cannot give labels of the kind {self.info.kind}; see docs/finetuning.md")

    @abstractmethod
    def loss(self, raw: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N,) loss of each sample, not negative. Samples without the label are masked by the caller, so loss
        and gradient must be finite for ``empty_target`` too."""

    @abstractmethod
    def statistics(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """(N, K) sufficient statistics of the metric, one row per sample, from decoded outputs."""

    @abstractmethod
    def summarise(self, statistics: np.ndarray) -> dict[str, float]:
        """(M, K) rows of ``statistics`` -> metrics by name. The first one is the head's main metric."""

    def sample_errors(self, statistics: np.ndarray) -> np.ndarray:
        """(M, K) rows of ``statistics`` -> (M,) error of each sample: larger is worse, NaN is unknown.

        The evaluation shows the worst samples. By default nothing is known.
        """
        return np.full(len(statistics), np.nan)

    def nearest_truth(self, output: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The fields nearest to ``output`` that the label allows: what is shown as the label.

        Where a label says nothing (an unknown angle, a set of classes), the output stays as far as it may.
        Optional fields are left out. By default nothing is shown.
        """
        return {}

    def distillation_loss(
        self, raw: Mapping[str, Tensor], teacher: Mapping[str, Tensor], temperature: float
    ) -> Tensor:
        """(N,) distance of the raw outputs from what a teacher's head ``decode``d, 0 where they agree.

        By the kind of the output; see ``faceperc.distill.output_distance``.
        """
        return output_distance(self.info.kind, self.decode(raw), teacher, temperature)

    def resize_crops(self, ratio: float) -> None:
        """Fit weights that were learned on crops of another size to the model's own.

        Called when a model starts from another one, also where the sizes agree (``ratio`` is then 1). By
        default no output is in crop pixels.

        Args:
            ratio: side of the model's crops over that of those that the weights learned from.
        """

    def missing_row(self) -> np.ndarray | None:
        """(K,) statistics of a labelled face that was not found; None leaves such faces out."""
        return None

    def measure_finely(self) -> None:
        """Make ``encode`` give targets for measuring, finer than those for training, where that matters."""

    def unit_of(self, field: str) -> str | None:
        """Unit of one of the kind's fields, or None."""
        return self.info.unit if field == "value" else FIELD_UNITS.get(field)

    def describe(self, output: Mapping[str, Tensor]) -> dict[str, Any]:
        """The task's entry in the ONNX metadata, but for the names of the graph's outputs."""
        info = self.info
        known = KIND_FIELDS[info.kind]
        missing = [name for name, needed in known.items() if needed and name not in output]
        unknown = [name for name in output if name not in known]
        if missing or unknown:
            name = f"{type(self).__name__}.decode ({info.kind})"
            raise ValueError(f"{name}: missing fields {missing}, unknown fields {unknown}")
        entry: dict[str, Any] = {"kind": info.kind, "description": info.description}
        if info.labels:
            entry["labels"] = list(info.labels)
        if info.unit:
            entry["unit"] = info.unit
        if info.lines:
            entry["lines"] = [list(line) for line in info.lines]
        if info.bins:
            entry["bins"] = list(info.bins)
        return entry


@dataclass
class Batch:
    """Samples of any sources, some labels each.

    Attributes:
        crops: (N, S, S, 3) uint8 RGB.
        targets: task -> target name -> (N, ...).
        valid: task -> (N,) weight of the sample's label for the task: 0 = not labelled, 1 = labelled,
            between = a label that is trusted less.
        source: (N,) index of each sample's source.
    """

    crops: Tensor
    targets: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    valid: dict[str, Tensor] = field(default_factory=dict)
    source: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
