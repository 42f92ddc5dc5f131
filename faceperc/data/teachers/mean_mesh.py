"""The mean mesh: `python -m faceperc.data.teachers.mean_mesh LABELS` prints the table of `mesh_face`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceperc.data.mean_face import MEAN_FACE
from faceperc.data.prepared import unpack_label
from faceperc.data.teachers.format import labels_path, read_labels
from faceperc.data.teachers.mediapipe_mesh import MIRROR

_SOURCES = ("w300", "celebahq1k")
_SURE = 0.6  # confidence of the meshes that count
_FRONTAL = 0.25  # share of them, the most symmetric ones
_CORNERS = (33, 263)  # outer corners of the eyes: points 36 and 45 of the mean face


def mean_mesh(folder: Path) -> NDArray[np.float64]:
    """(478, 2) mean of the most frontal meshes, symmetric, its eyes' outer corners on those of ``MEAN_FACE``.

    Args:
        folder: of the labels that the MediaPipe teacher has written.
    """
    meshes = []
    for source in _SOURCES:
        _, labels = read_labels(labels_path(folder, source, "train", "mediapipe-mesh"))
        chosen = [label for label in labels if label.task == "mesh" and label.confidence > _SURE]
        meshes += [_upright(unpack_label(label.label) * [1.0, -1.0]) for label in chosen]
    faces = np.array(meshes)
    mirrored = faces[:, MIRROR] * [-1.0, 1.0]
    asymmetry = np.abs(faces - mirrored).mean((1, 2))
    frontal = asymmetry <= np.quantile(asymmetry, _FRONTAL)
    mean = (faces[frontal] + mirrored[frontal]).mean(0) / 2
    width = np.ptp(MEAN_FACE[[36, 45], 0])
    scaled: NDArray[np.float64] = mean * width + [0.0, MEAN_FACE[36, 1]]
    return scaled


def _upright(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The points in units of the corners' distance, from their middle, the corners level."""
    right, left = points[list(_CORNERS)]
    x, y = (left - right) / np.square(left - right).sum()
    return (points - (right + left) / 2) @ np.array([[x, -y], [y, x]])


if __name__ == "__main__":
    table = mean_mesh(Path(sys.argv[1]))
    kept = np.concatenate([np.arange(248), np.arange(468, 473)])
    for line in np.array_split(table[kept], range(6, len(kept), 6)):
        print("    " + ", ".join(f"[{x:.2f}, {y:.2f}]" for x, y in line.round(2) + 0.0) + ",")
