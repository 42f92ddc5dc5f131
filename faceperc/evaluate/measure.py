"""Run a model file over labelled photographs: for every face and task the row that the metrics are made of.

It measures what ships: the ONNX file in ONNX Runtime, fed with the crops that prediction makes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from faceperc.config import FaceModelConfig, build_heads
from faceperc.crop import CropRule
from faceperc.data.own import understood
from faceperc.data.source import DATA_VARIABLE, Sample, Source, check_names
from faceperc.detect import FaceDetector
from faceperc.errors import ModelError, UsageError
from faceperc.evaluate.bands import with_yaw_band
from faceperc.evaluate.conditions import PLAIN, Condition
from faceperc.head import Head
from faceperc.metadata import check_takes_crops
from faceperc.overlap import iou_matrix
from faceperc.runtime import OnnxModel

Box = NDArray[np.float64]

_BATCH = 64
#: A detected box is the labelled face's if they overlap by this much.
_SAME_FACE = 0.3


@dataclass
class Measurement:
    """One task of a model on one source, face by face.

    Attributes:
        source: name of the source.
        task: name of the task.
        head: the task's head, which turns rows into metrics.
        rows: (M, K) the head's statistics.
        names: M unique names of the faces.
        samples: the M faces themselves; empty where only their rows were kept.
        boxes: where each face was looked for, (4,); None where the detector did not find it.
    """

    source: str
    task: str
    head: Head
    rows: np.ndarray
    names: list[str]
    samples: list[Sample] = field(default_factory=list)
    boxes: list[Box | None] = field(default_factory=list)

    def without_faces(self) -> Measurement:
        """Only the rows and their names: the photographs take far more memory."""
        return replace(self, samples=[], boxes=[])


def measure(
    model: OnnxModel, sources: Sequence[Source], folder: str | os.PathLike[str] | None,
    detector: FaceDetector | None = None, limit: int | None = None, split: str = "val",
    condition: Condition = PLAIN,
) -> Iterator[Measurement]:  # fmt: skip
    """Measure every task of the model that a source labels.

    Args:
        model: a face model.
        sources: labelled sources; those without the split are left out.
        folder: the data folder; the environment variable FACEPERC_DATA where None.
        detector: find the faces by it; by default the labelled boxes are taken. A face that it does not find
            counts as the head says (``Head.missing_row``).
        limit: measure at most this many faces of each source, spread evenly over them.
        split: the split that is read.
        condition: what is done to each crop before the model sees it.

    Raises:
        ConfigError: if two sources have the same name.
        ModelError: if the file is no face model or does not hold its configuration.
        UsageError: if no source has the split.
        DataError: if the data is missing or damaged.
    """
    rule = crop_rule(model)
    known = {each for source in sources for each in source.splits}
    if split not in known:
        raise UsageError(
            f"no source has the split {split!r}; they have: {', '.join(sorted(known)) or 'none'}"
        )
    config = model.metadata.raw.get("config")
    if config is None:
        raise ModelError(f"{model.path}: its metadata lacks 'config', which names the heads; export it again")
    heads = {task: head for task, head in heads_of(config).items() if task in model.metadata.tasks}
    for source in sources:
        if split in source.splits:
            samples = understood(source.read(folder, split, limit), heads)
            check_names(sources)  # some sources know their names only now
            _name(samples, folder or os.environ.get(DATA_VARIABLE))
            yield from _measure_source(model, rule, heads, source.name, samples, detector, condition)


def heads_of(config: dict[str, Any]) -> dict[str, Head]:
    """The heads of a model by task, for measuring; ``config`` as in an exported file's metadata.

    Raises:
        ConfigError: if it names something unknown.
    """
    heads = build_heads(FaceModelConfig.from_dict(config))
    for head in heads.values():
        head.measure_finely()
    return heads


def _name(samples: Sequence[Sample], folder: str | os.PathLike[str] | None) -> None:
    """Make the samples' names unique, and the same wherever the data folder lies: pairs are found by them."""
    prefix = f"{Path(folder)}/" if folder else ""
    seen: Counter[str] = Counter()
    for sample in samples:
        name = sample.name.removeprefix(prefix)
        seen[name] += 1
        sample.name = name if seen[name] == 1 else f"{name} face {seen[name]}"


def _measure_source(
    model: OnnxModel, rule: CropRule, heads: Mapping[str, Head], name: str,
    samples: list[Sample], detector: FaceDetector | None, condition: Condition,
) -> Iterator[Measurement]:  # fmt: skip
    faces: dict[str, list[tuple[np.ndarray, Sample, Box | None]]] = {task: [] for task in heads}
    samples = [with_yaw_band(sample).to_measure_by() for sample in samples]
    for start in range(0, len(samples), _BATCH):
        batch = samples[start : start + _BATCH]
        boxes = [sample.box if detector is None else _find(detector, sample) for sample in batch]
        found = [(sample, box) for sample, box in zip(batch, boxes, strict=True) if box is not None]
        views = [condition.view(box, rule, start + place) for place, (_, box) in enumerate(found)]
        crops = [condition.pixels(view, s.pixels) for (s, _), view in zip(found, views, strict=True)]
        output = run(model, crops)
        for task, head in heads.items():
            places = [k for k, (sample, _) in enumerate(found) if task in sample.labels]
            if places:
                targets = [head.encode(found[k][0].labels[task], views[k]) for k in places]
                chosen = {key: value[places] for key, value in output[task].items()}
                rows = head.statistics(chosen, default_collate(targets)).numpy()
                faces[task] += [(row, *found[k]) for row, k in zip(rows, places, strict=True)]
            missing = head.missing_row()
            if missing is not None:
                lost = [s for s, box in zip(batch, boxes, strict=True) if box is None and task in s.labels]
                faces[task] += [(missing, sample, None) for sample in lost]
    for task, members in faces.items():
        if members:
            rows, kept, where = zip(*members, strict=True)
            names = [sample.name for sample in kept]
            yield Measurement(name, task, heads[task], np.stack(rows), names, list(kept), list(where))


def crop_rule(model: OnnxModel) -> CropRule:
    """The crop rule of a face model.

    Raises:
        ModelError: if the model is no face model for crops.
    """
    check_takes_crops(model.metadata, str(model.path))
    assert model.metadata.crop is not None  # every face model has one
    return model.metadata.crop


def run(model: OnnxModel, crops: Sequence[np.ndarray]) -> dict[str, dict[str, Tensor]]:
    """The model's answers, task -> field -> (N, ...); nothing where there are no crops.

    Args:
        model: a face model.
        crops: N crops, each (S, S, 3) uint8.
    """
    if not crops:
        return {}
    arrays = model.run({model.metadata.input: np.stack(crops)})
    return {
        task: {key: torch.from_numpy(arrays[entry.output]) for key, entry in info.fields.items()}
        for task, info in model.metadata.tasks.items()
    }


def _find(detector: FaceDetector, sample: Sample) -> Box | None:
    """The detected box that overlaps the labelled one best, or None."""
    boxes, _ = detector.detect(sample.pixels)
    if not len(boxes):
        return None
    overlap = iou_matrix(sample.box[None], boxes)[0]
    best = int(overlap.argmax())
    return boxes[best] if overlap[best] >= _SAME_FACE else None
