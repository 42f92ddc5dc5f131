"""68 landmarks from another scheme's mesh: a regression learned where photographs have both.

A mesh of the head and landmarks of the visible outline differ by convention, most at the jaw and on turned
heads. Fitted to the labels that there are, the mesh of a teacher becomes a teacher of landmarks for all
photographs that have none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceperc.data.prepared import unpack_label
from faceperc.data.pseudo import match_faces
from faceperc.data.rows import pack_arrays
from faceperc.data.source import Sample
from faceperc.data.teachers.format import PseudoLabel, Teacher
from faceperc.data.teachers.mediapipe_mesh import IBUG68, MIRROR
from faceperc.errors import DataError
from faceperc.heads.landmarks import MIRROR as LANDMARK_MIRROR

Array = NDArray[np.float64]

_EYES = [33, 263]  # the mesh's outer corners: image left, image right on a face from the front
_SHAPES, _SQUARED = 60, 12  # principal components of the mesh that are read, and whose products are read too
_RIDGE = 3.0  # penalty on the weights of components of unit variance, as a number of faces


def _frames(meshes: Array) -> tuple[Array, Array]:
    """(N, 478, 2) -> (N, 1, 2) centres and (N, 2, 2) matrices that turn and scale: the corners of the eyes
    come to lie level, the face gets unit size."""
    along = meshes[:, _EYES[1]] - meshes[:, _EYES[0]]
    cos, sin = (along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)).T
    turn = np.stack([np.stack([cos, -sin], axis=1), np.stack([sin, cos], axis=1)], axis=1)
    centre = meshes.mean(axis=1, keepdims=True)
    size = np.sqrt(np.ptp((meshes - centre) @ turn, axis=1).prod(axis=1))
    return centre, turn / np.maximum(size, 1e-9)[:, None, None]


class MeshToLandmarks:
    """Ridge regression from the principal components of meshes, and products of the first of them, to how far
    each landmark lies from the mesh's nearest point. A mirrored mesh gives the mirrored landmarks.

    Args:
        meshes: (N, 478, 2) image pixels.
        landmarks: (N, 68, 2) iBUG points of the same faces.

    Raises:
        DataError: if there are fewer than two faces.
    """

    def __init__(self, meshes: ArrayLike, landmarks: ArrayLike) -> None:
        given, wanted = np.asarray(meshes, dtype=np.float64), np.asarray(landmarks, dtype=np.float64)
        if len(given) < 2:
            raise DataError(
                f"{len(given)} training faces have both a mesh and landmarks: too few to learn from; add a "
                "source with landmarks, or label its training split with the mesh's teacher"
            )
        flip = np.array([-1.0, 1.0])
        given = np.concatenate([given, given[:, MIRROR] * flip])
        wanted = np.concatenate([wanted, wanted[:, LANDMARK_MIRROR] * flip])
        centre, frame = _frames(given)
        shapes = ((given - centre) @ frame).reshape(len(given), -1)
        self.mean = shapes.mean(axis=0)
        _, deviations, axes = np.linalg.svd(shapes - self.mean, full_matrices=False)
        kept = deviations > 1e-6 * max(deviations[0], 1e-12)
        self.axes = (axes[kept] / deviations[kept, None])[:_SHAPES] * np.sqrt(len(given))
        features = self._features(shapes)
        offsets = ((wanted - given[:, IBUG68]) @ frame).reshape(len(given), -1)
        penalty = _RIDGE * np.eye(features.shape[1])
        penalty[0, 0] = 0.0  # the constant is free
        self.weights = np.linalg.solve(features.T @ features + penalty, features.T @ offsets)

    def _features(self, shapes: Array) -> Array:
        parts = (shapes - self.mean) @ self.axes.T
        first = parts[:, :_SQUARED]
        rows, columns = np.triu_indices(first.shape[1])
        return np.hstack([np.ones((len(parts), 1)), parts, first[:, rows] * first[:, columns]])

    def __call__(self, meshes: ArrayLike) -> Array:
        """(N, 478, 2) image pixels -> (N, 68, 2)."""
        given = np.asarray(meshes, dtype=np.float64)
        centre, frame = _frames(given)
        shapes = ((given - centre) @ frame).reshape(len(given), -1)
        offsets = (self._features(shapes) @ self.weights).reshape(len(given), 68, 2)
        return given[:, IBUG68] + offsets @ np.linalg.inv(frame)


@dataclass(frozen=True)
class Labelled:
    """The faces of one split and a mesh teacher's labels of it."""

    samples: Sequence[Sample]
    labels: Sequence[PseudoLabel]


def _mesh(label: PseudoLabel) -> Array:
    return np.asarray(unpack_label(label.label), dtype=np.float64)[:, :2]


def fit(sources: Mapping[str, Labelled], min_confidence: float = 0.3) -> MeshToLandmarks:
    """Learn from the training faces that have landmarks of their own and a mesh that is sure enough.

    Args:
        sources: name -> its training split.
        min_confidence: least confidence of a mesh.

    Raises:
        DataError: if there are hardly any.
    """
    meshes, landmarks = [], []
    for each in sources.values():
        for sample, of_face in zip(each.samples, match_faces(each.samples, each.labels), strict=True):
            truth = sample.labels.get("landmarks")
            found = [
                label for label in of_face if label.task == "mesh" and label.confidence >= min_confidence
            ]
            if truth is not None and found:
                meshes.append(_mesh(found[0]))
                landmarks.append(truth)
    return MeshToLandmarks(meshes, landmarks)


def translated(labels: Sequence[PseudoLabel], rule: MeshToLandmarks) -> Iterator[PseudoLabel]:
    """The landmarks of a teacher's meshes, with their confidence."""
    for label in labels:
        if label.task == "mesh":
            points = rule(_mesh(label)[None])[0].astype(np.float32)
            yield replace(label, task="landmarks", label=pack_arrays(value=points))


def translator(teacher: Teacher, learned_from: Sequence[str]) -> Teacher:
    """The teacher that a translated teacher is.

    Args:
        teacher: of the meshes.
        learned_from: names of the sources whose landmarks the translation learned from.
    """
    origin = f"68 landmarks fitted to those of {', '.join(learned_from)}, from {teacher.origin}"
    return replace(teacher, name=f"{teacher.name}-landmarks", origin=origin)
