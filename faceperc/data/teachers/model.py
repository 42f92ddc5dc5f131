"""Any exported faceperc model as a teacher: what it says of the faces of a source becomes their labels."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

from faceperc.data.prepared import pack_label
from faceperc.data.source import Source
from faceperc.data.teachers.format import PseudoLabel, Teacher
from faceperc.errors import DataError, UsageError
from faceperc.heads.parsing import CLASSES, SetMask, class_set
from faceperc.kind import Kind
from faceperc.kinds import Classes, Points, Probabilities, Rotation, Scalar
from faceperc.licences import RESEARCH, SYNTHETIC, permissive, spdx_of, use_of_weights
from faceperc.mask import Mask
from faceperc.predict import Predictor

_NO_TRUST = 0.1  # share of the face's size


def teacher_of(predictor: Predictor) -> Teacher:
    """The predictor's model, as its metadata describes it."""
    metadata = predictor.metadata
    version = f"{metadata.version}-{metadata.weights_sha256[:12]}"
    licence = str(metadata.training.get("licence") or "not stated")
    if use_of_weights(metadata.training) == "research":
        terms = RESEARCH  # its answers carry what its own sources forbid
    else:
        terms = permissive(licence) if spdx_of(licence) else SYNTHETIC
    return Teacher(metadata.name, version, "a faceperc model", licence, terms)


def label_source(
    predictor: Predictor, source: Source, folder: str | os.PathLike[str] | None, split: str
) -> Iterator[PseudoLabel]:
    """What the model says of every face of a split, in the box that the source gives.

    Raises:
        DataError: if the source cannot be read, or does not tell its photographs apart.
        UsageError: if the model's parsing has other classes than ours.
    """
    for sample in tqdm(source.read(folder, split), f"{source.name} {split}", leave=False):
        if not sample.digest:
            raise DataError(
                f"{source.name}: its photographs have no digest; label what 'faceperc data prepare' wrote"
            )
        (face,) = predictor(sample.pixels, boxes=sample.box[None])
        size = math.sqrt(np.prod(sample.box[2:] - sample.box[:2]))
        for task, result in face.tasks.items():
            label, confidence = _LABELS[type(result)](result, size)
            yield PseudoLabel(
                source.name, split, sample.name, sample.digest, sample.box.tolist(), task,
                pack_label(label), confidence,
            )  # fmt: skip


def _points(result: Points, size: float) -> tuple[Any, float]:
    """Certain where the expected error is 0, worthless where it is a tenth of the face's size."""
    label = result.points
    if result.visibility is not None:
        label = np.column_stack([label, result.visibility])
    if result.sigma is None:
        return label, 1.0
    return label, max(0.0, 1.0 - float(result.sigma.mean()) / (_NO_TRUST * size))


def _rotation(result: Rotation, size: float) -> tuple[Any, float]:
    return np.array([result.yaw, result.pitch, result.roll]), 1.0


def _mask(result: Mask, size: float) -> tuple[Any, float]:
    """As certain as the scores are on average. Outside the model's crop nothing is known."""
    unknown = [label for label in result.labels if label not in CLASSES]
    if unknown:
        raise UsageError(f"the teacher's parsing has classes that ours lacks: {', '.join(unknown)}")
    classes, (left, top) = result.in_region()
    sets = np.zeros(result.image_shape, np.int16)
    bits = np.array([class_set(label) for label in result.labels], np.int16)
    sets[top : top + classes.shape[0], left : left + classes.shape[1]] = bits[classes]
    confidence = 1.0 if result.confidence is None else float(result.confidence.mean())
    return SetMask(sets), confidence


def _classes(result: Classes, size: float) -> tuple[Any, float]:
    """All probabilities, as votes."""
    return result.probabilities, result.score


def _probabilities(result: Probabilities, size: float) -> tuple[Any, float]:
    """Yes or no, as certain as the answers are on average."""
    yes = result.values >= 0.5
    return yes.astype(np.float32), float(np.where(yes, result.values, 1 - result.values).mean())


def _scalar(result: Scalar, size: float) -> tuple[Any, float]:
    return result.value, 1.0


#: Result class -> (result, size of the face in pixels) -> the label that a head takes, and a confidence: 1
#: where the model does not say how certain it is.
_LABELS: dict[type[Kind], Callable[[Any, float], tuple[Any, float]]] = {
    Points: _points,
    Rotation: _rotation,
    Mask: _mask,
    Classes: _classes,
    Probabilities: _probabilities,
    Scalar: _scalar,
}
