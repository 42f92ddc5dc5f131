"""The sources of the parquet pack. What their columns mean, and what is known of their labels' faults, is in
the pack's own README; each class below turns a row into a face box and canonical labels."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from faceperc.data.boxes import (
    box_from_fractions,
    box_from_yunet,
    corrected_ibug_landmarks,
    corrected_ytf_landmarks,
)
from faceperc.data.derive import landmark_sample
from faceperc.data.source import ParquetSource, Sample, decode_labels
from faceperc.heads.expression import EXPRESSIONS
from faceperc.heads.gender import GENDERS
from faceperc.heads.parsing import CLASSES, SetMask, class_set
from faceperc.licences import RESEARCH

_RESEARCH = "research use only; photographs of people collected from the web, not for redistribution"
_EVERYTHING = class_set(*CLASSES)
_HAIR = class_set("hair")
_AGE_BANDS = ((10, "0-9"), (20, "10-19"), (40, "20-39"), (60, "40-59"), (200, "60+"))
_UTKFACE_GROUPS = ("White", "Black", "Asian", "Indian", "other")
#: Where the face lies in a crop, in units of its size.
UTKFACE_BOX = (0.07, 0.05, 0.93, 0.98)
_MALE = 20  # index of "Male" among CelebA's attributes


class W300(ParquetSource):
    """300-W: hand-corrected 68 points. Pose and a partial mask are derived from them.

    For training the points are moved back by their small systematic error, which mirrored copies contradict;
    the other splits are measured by the labels as they are published.
    """

    name = "w300"
    origin = "300-W training photographs (LFPW, AFW, part of Helen), iBUG annotation (Sagonas et al. 2013)"
    licence = _RESEARCH
    terms = RESEARCH

    def sample(self, row: dict[str, Any], image: NDArray[np.uint8]) -> Sample | None:
        """See ParquetSource.sample."""
        return landmark_sample(image, np.reshape(row["landmarks"], (68, 2)))

    def read(
        self, folder: str | os.PathLike[str] | None, split: str, limit: int | None = None
    ) -> list[Sample]:
        """See Source.read."""
        samples = super().read(folder, split, limit)
        if split == "train":
            for sample in samples:
                sample.labels["landmarks"] = corrected_ibug_landmarks(sample.labels["landmarks"])
        return samples


class Ytf68(ParquetSource):
    """YouTube Faces frames with 68 machine-made points, moved back by their known systematic error."""

    name = "ytf68"
    origin = "YouTube Faces frames with 68 keypoints (udacity/P1_Facial_Keypoints; Wolf et al. 2011)"
    licence = "MIT for the annotation; no terms stated for the frames: " + _RESEARCH
    terms = RESEARCH

    def sample(self, row: dict[str, Any], image: NDArray[np.uint8]) -> Sample | None:
        """See ParquetSource.sample."""
        return landmark_sample(image, corrected_ytf_landmarks(row["landmarks"]))


class CelebAHQ(ParquetSource):
    """CelebAMask-HQ portraits: hair mask, 40 attributes, head pose from a network (its roll is ~0)."""

    name = "celebahq1k"
    origin = "CelebAMask-HQ subset (Lee et al. 2019; Liu et al. 2015)"
    licence = "non-commercial research and education only (CelebAMask-HQ's terms)"
    terms = RESEARCH

    def sample(self, row: dict[str, Any], image: NDArray[np.uint8]) -> Sample | None:
        """See ParquetSource.sample."""
        if row["det_box"] is None:
            return None
        attributes = np.array(row["attributes"], dtype=np.float32)
        labels = {
            "attributes": attributes,
            "gender": int(attributes[_MALE]),
            # the photographs are levelled by the eyes; the annotated roll is noise
            "pose": np.array([row["pose_yaw"], row["pose_pitch"], 0.0]),
            "parsing": _hair_mask(row),
        }
        return Sample(image, box_from_yunet(row["det_box"]), labels, trust={"pose": 0.5})


class Figaro(ParquetSource):
    """Hair masks in the wild; only the photographs with a visible face."""

    name = "figaro1k"
    origin = "Figaro-1k (Svanera et al. 2016)"
    licence = _RESEARCH
    terms = RESEARCH

    def sample(self, row: dict[str, Any], image: NDArray[np.uint8]) -> Sample | None:
        """See ParquetSource.sample."""
        if row["det_box"] is None:
            return None
        return Sample(image, box_from_yunet(row["det_box"]), {"parsing": _hair_mask(row)})


class Fasseg(ParquetSource):
    """FASSEG: skin, hair (with brows), eyes, nose, mouth; and the yaw that the sitter was told to take."""

    name = "fasseg"
    origin = "FASSEG (Khan et al. 2015, 2017)"
    licence = _RESEARCH
    terms = RESEARCH
    #: FASSEG's classes, in the order of its ids, as sets of ours.
    groups: ClassVar[tuple[int, ...]] = (
        class_set("background"),
        class_set("skin"),
        class_set("hair", "left_brow", "right_brow"),
        class_set("left_eye", "right_eye"),
        class_set("nose"),
        class_set("upper_lip", "inner_mouth", "lower_lip"),
    )

    def sample(self, row: dict[str, Any], image: NDArray[np.uint8]) -> Sample | None:
        """See ParquetSource.sample."""
        if row["det_box"] is None:
            return None
        ids = decode_labels(row["mask"]["bytes"], "mask")
        labels: dict[str, Any] = {"parsing": SetMask(np.array(self.groups, np.int16)[ids], self.groups)}
        if row["yaw"] is not None:
            labels["pose"] = np.array([row["yaw"], np.nan, np.nan])
        return Sample(image, box_from_yunet(row["det_box"]), labels, trust={"pose": 0.5})


class UTKFace(ParquetSource):
    """UTKFace: age and gender of tight crops."""

    name = "utkface"
    origin = "UTKFace, part (Zhang et al. 2017)"
    licence = "non-commercial research only (UTKFace's terms)"
    terms = RESEARCH

    def sample(self, row: dict[str, Any], image: NDArray[np.uint8]) -> Sample | None:
        """See ParquetSource.sample."""
        box = box_from_fractions(UTKFACE_BOX, image.shape)
        if row["det_box"] is not None:
            box = box_from_yunet(row["det_box"])
        gender = 1 - int(row["gender"])  # UTKFace: 0 is male
        labels = {"age": float(row["age"]), "gender": gender}
        return Sample(image, box, labels, groups=utkface_groups(row["age"], gender, row["race"]))


class Muxspace(ParquetSource):
    """Expressions of tight crops, one student's opinion each."""

    name = "muxspace"
    origin = "muxspace/facial_expressions (LFW and film faces)"
    licence = "Apache-2.0 for the labels; the photographs' origin is not stated: " + _RESEARCH
    terms = RESEARCH

    def sample(self, row: dict[str, Any], image: NDArray[np.uint8]) -> Sample | None:
        """See ParquetSource.sample."""
        labels = {"expression": EXPRESSIONS.index(row["expression"])}
        return Sample(image, box_from_yunet(row["det_box"]), labels, trust={"expression": 0.5})


class Fer2013(ParquetSource):
    """FER-2013: expressions of 48 px grey faces that fill the image."""

    name = "fer2013"
    origin = "FER-2013 (Goodfellow et al. 2013)"
    licence = _RESEARCH
    terms = RESEARCH

    def sample(self, row: dict[str, Any], image: NDArray[np.uint8]) -> Sample | None:
        """See ParquetSource.sample."""
        height, width = image.shape[:2]
        box = np.array([0.09, 0.04, 0.91, 0.98]) * [width, height, width, height]
        return Sample(image, box, {"expression": EXPRESSIONS.index(row["expression"])})


def utkface_groups(age: int, gender: int, race: int) -> dict[str, str]:
    """Groups of Sample from an age, an index of GENDERS, and UTKFace's number of a race."""
    return {
        "age": next(name for limit, name in _AGE_BANDS if age < limit),
        "gender": GENDERS[gender],
        "UTKFace group": _UTKFACE_GROUPS[race],
    }


def _hair_mask(row: dict[str, Any]) -> SetMask:
    hair = decode_labels(row["hair_mask"]["bytes"], "hair_mask") > 0
    groups = (_HAIR, _EVERYTHING & ~_HAIR)
    return SetMask(np.where(hair, *groups).astype(np.int16), groups)
