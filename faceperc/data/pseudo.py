"""A source with a teacher's labels where it has none of its own."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from faceperc.data.derive import narrowed, parsing_from_landmarks
from faceperc.data.prepared import unpack_label
from faceperc.data.source import Sample, Source, data_folder
from faceperc.data.teachers.format import PseudoLabel, Teacher, labels_path, read_labels
from faceperc.errors import ConfigError, DataError
from faceperc.heads.parsing import SetMask
from faceperc.licences import terms_of
from faceperc.overlap import iou_matrix

#: The teacher's box is the source's face if they overlap by this much.
_SAME_FACE = 0.3


class WithPseudoLabels(Source):
    """Another source, whose training samples also learn from a teacher.

    A label of the source's own always wins, but for two options: ``narrow`` lets the teacher's mask decide
    where the own one leaves the class of a pixel open, ``blend`` lets its probabilities speak beside an own
    class. A teacher's counts as derived, so nothing is measured by it, and the validation split is left as it
    is. Its weight in the loss is ``trust`` times its confidence.

    Args:
        source: any source.
        teacher: name of the teacher, as in the files' names.
        folder: where the labels lie, as `<folder>/<source>/<split>.<teacher>.parquet`; the data folder by
            default.
        tasks: the tasks to take; all that the teacher labels by default.
        trust: weight of a label that the teacher is certain of, in (0, 1].
        min_confidence: labels that the teacher is less certain of are left out, in [0, 1).
        parts: where the teacher gives 68 landmarks, also learn what they say of the parts of the face
            (``faceperc.data.derive``): a mask that the source lacks, or what its own leaves open.
        narrow: learn the teacher's class of pixels for which the source's own mask allows several.
        blend: part of the teacher's probabilities, however certain, in the label of a face whose class the
            source gives; the rest stays with that class. In [0, 1]; Hinton et al., "Distilling the Knowledge
            in a Neural Network", 2015, at temperature 1.
    """

    def __init__(
        self,
        source: Source,
        teacher: str,
        folder: str | None = None,
        tasks: tuple[str, ...] | None = None,
        trust: float = 0.5,
        min_confidence: float = 0.0,
        parts: bool = False,
        narrow: bool = False,
        blend: float = 0.0,
    ) -> None:
        super().__init__(source.weight, source.splits, source.balance)
        if not 0 < trust <= 1 or not 0 <= min_confidence < 1:
            raise ConfigError(
                f"trust lies in (0, 1] and min_confidence in [0, 1); got {trust} and {min_confidence}"
            )
        if not 0 <= blend <= 1:
            raise ConfigError(f"blend lies in [0, 1]; got {blend}")
        self.source = source
        self.teacher = teacher
        self.folder = folder
        self.tasks = tasks
        self.trust = trust
        self.min_confidence = min_confidence
        self.parts = parts
        self.narrow = narrow
        self.blend = blend
        self._facts: dict[str, str] | None = None  # known once the labels are read

    @property
    def name(self) -> str:  # type: ignore[override]
        """The source's name."""
        return self.source.name

    @property
    def origin(self) -> str:  # type: ignore[override]
        """The source's origin."""
        return self.source.origin

    @property
    def licence(self) -> str:  # type: ignore[override]
        """The source's licence."""
        return self.source.licence

    @property
    def terms(self) -> str:  # type: ignore[override]
        """The source's terms."""
        return self.source.terms

    def facts(self) -> list[dict[str, str]]:
        """See Source.facts: the source's, and the teacher's once its labels are read."""
        return [*self.source.facts(), *([self._facts] if self._facts else [])]

    def read(
        self, folder: str | os.PathLike[str] | None, split: str, limit: int | None = None
    ) -> list[Sample]:
        """See Source.read.

        Raises:
            DataError: also if the teacher's file is missing or damaged, lacks a task, or is about other
                photographs. Single photographs without a label are counted in a warning.
        """
        samples = self.source.read(folder, split, limit)
        if split != "train":
            return samples
        path = labels_path(self.folder or data_folder(folder), self.name, split, self.teacher)
        teacher, labels = read_labels(path)
        self._facts = _facts(teacher)
        missing = set(self.tasks or ()) - {label.task for label in labels}
        if missing:
            raise DataError(f"{path}: does not label {', '.join(sorted(missing))}")
        own = match_faces(samples, labels)
        for sample, of_face in zip(samples, own, strict=True):
            for label in of_face:
                self._add(sample, label)
        lonely = sum(not of_face for of_face in own)
        if lonely:
            message = (
                f"{path}: nothing about {lonely} of {len(samples)} faces of {self.name}: the teacher did not "
                "find them, or the photographs have changed since"
            )
            if lonely == len(samples):
                raise DataError(f"{message}; label them again (docs/teachers.md)")
            rank_zero_warn(message)
        return samples

    def _add(self, sample: Sample, label: PseudoLabel) -> None:
        """Give the label to the sample, or what it adds to the sample's own, unless it is not wanted."""
        task, own = label.task, sample.labels.get(label.task)
        if self.tasks is not None and task not in self.tasks:
            return
        if own is not None and not self.narrow and not self.blend:
            return  # before it is unpacked, which takes time
        value = unpack_label(label.label)
        if self.blend and isinstance(own, str | int | float | np.integer) and np.ndim(value) == 1:
            sample.labels[task] = _blended(sample, task, value, self.blend)
            sample.derived |= {task}
            return  # however certain the teacher is: its probabilities tell
        weight = self.trust * label.confidence
        if weight <= 0 or label.confidence < self.min_confidence:
            return
        if own is None:
            _give(sample, task, value, weight)
            if self.parts and task == "landmarks":
                sets = parsing_from_landmarks(value, sample.pixels.shape[:2])
                _give_mask(sample, SetMask(sets.astype(np.int16)), weight)
        elif self.narrow and isinstance(value, SetMask):
            _give_mask(sample, value, weight)


def _blended(sample: Sample, task: str, probabilities: np.ndarray, part: float) -> np.ndarray:
    """(C,) votes: the given part of them is the teacher's probabilities, the rest has the sample's class."""
    own = sample.labels[task]
    if isinstance(own, str):  # a head understands it only later
        raise DataError(
            f"{sample.name}: {task} is the text {own!r}, but 'blend' needs the class's number: leave it out, "
            "or the task out of the teacher's tasks"
        )
    own = int(own)
    if own >= len(probabilities):
        raise DataError(
            f"{sample.name}: {task} is class {own}, the teacher knows {len(probabilities)}: take another "
            "teacher, or leave the task out of its tasks"
        )
    votes = part * probabilities
    votes[own] += 1 - part
    return votes


def _give(sample: Sample, task: str, value: Any, weight: float) -> None:
    sample.labels[task] = value
    sample.trust[task] = weight
    sample.derived |= {task}


def _give_mask(sample: Sample, mask: SetMask, weight: float) -> None:
    """Narrow the sample's own mask, which keeps its trust; or be its mask."""
    own = sample.labels.get("parsing")
    if own is None:
        _give(sample, "parsing", mask, weight)
    elif own.sets.shape != mask.sets.shape:
        ours, theirs = (" x ".join(map(str, each.sets.shape[::-1])) for each in (own, mask))
        raise DataError(
            f"{sample.name}: the teacher's mask has {theirs} pixels, the source's {ours}: the photographs "
            "are read at another size than when they were labelled; label them again (docs/teachers.md)"
        )
    else:
        sample.labels["parsing"] = narrowed(own, mask)
        sample.derived |= {"parsing"}


def _facts(teacher: Teacher) -> dict[str, str]:
    origin = f"labels by {teacher.origin}, version {teacher.version}"
    facts = {"name": teacher.name, "origin": origin, "licence": teacher.licence, "terms": teacher.terms}
    return facts | {"terms": terms_of(facts)}


def match_faces(samples: Sequence[Sample], labels: Iterable[PseudoLabel]) -> list[list[PseudoLabel]]:
    """Of each sample the labels of its face: its photograph's, in the box that overlaps its own best."""
    by_photograph = defaultdict(list)
    for label in labels:
        by_photograph[label.sha256].append(label)
    return [_of_face(sample, by_photograph.get(sample.digest, [])) for sample in samples]


def _of_face(sample: Sample, labels: list[PseudoLabel]) -> list[PseudoLabel]:
    if not labels:
        return []
    overlap = iou_matrix(sample.box[None], np.array([label.box for label in labels]))[0]
    best = int(overlap.argmax())
    if overlap[best] < _SAME_FACE:
        return []
    return [label for label in labels if label.box == labels[best].box]
