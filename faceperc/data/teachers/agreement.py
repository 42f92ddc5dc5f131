"""How far a teacher is from the labels that a source has itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceperc.data.prepared import unpack_label
from faceperc.data.pseudo import match_faces
from faceperc.data.region import is_rotation
from faceperc.data.source import Sample
from faceperc.data.teachers.format import PseudoLabel
from faceperc.data.teachers.mediapipe_mesh import IBUG68
from faceperc.heads.landmarks import Landmarks
from faceperc.rotations import angles_of

#: What is compared: mean absolute errors, and the normalised mean errors of the landmarks.
GAPS = ("yaw deg", "pitch deg", "roll deg", "NME %", "NME 51 %")


@dataclass(frozen=True)
class Agreement:
    """A teacher against a source.

    Attributes:
        labelled: share of the faces that the teacher found.
        confidence: median confidence in its labels.
        gaps: mean of each of ``GAPS`` over the faces that both label.
    """

    labelled: float
    confidence: float
    gaps: dict[str, float]


def agreement(samples: Sequence[Sample], labels: Sequence[PseudoLabel]) -> Agreement:
    """Compare pose with pose, and landmarks, or the points of the mesh nearest to them, with landmarks.

    Args:
        samples: of a source, with its own labels.
        labels: of the same photographs, by the teacher.
    """
    matched = match_faces(samples, labels)
    gaps = defaultdict(list)
    for sample, of_face in zip(samples, matched, strict=True):
        for name, gap in _gaps(sample, {label.task: unpack_label(label.label) for label in of_face}):
            if np.isfinite(gap):
                gaps[name].append(gap)
    found = [label.confidence for of_face in matched for label in of_face]
    return Agreement(
        labelled=sum(map(bool, matched)) / max(1, len(samples)),
        confidence=float(np.median(found)) if found else float("nan"),
        gaps={name: float(np.mean(values)) for name, values in gaps.items()},
    )


def _gaps(sample: Sample, taught: dict[str, Any]) -> Iterator[tuple[str, float]]:
    if "pose" in taught and "pose" in sample.labels:
        gaps = pose_angles(taught["pose"]) - pose_angles(sample.labels["pose"])
        angles = np.abs((gaps + 180) % 360 - 180)
        yield from zip(GAPS, angles.tolist(), strict=False)
    points = taught["mesh"][IBUG68] if "mesh" in taught else taught.get("landmarks")
    truth = sample.labels.get("landmarks")
    if points is not None and truth is not None and points.shape == truth.shape:
        first, second = Landmarks.normaliser
        errors = 100 * np.linalg.norm(points - truth, axis=1) / np.linalg.norm(truth[first] - truth[second])
        yield "NME %", float(errors.mean())
        yield "NME 51 %", float(errors[17:].mean())


def pose_angles(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3,) yaw, pitch, roll in degrees of a label, which may be the rotation (3, 3)."""
    return angles_of(pose) if is_rotation(pose) else pose
