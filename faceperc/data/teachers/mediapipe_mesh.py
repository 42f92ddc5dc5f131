"""Label photographs with MediaPipe Face Mesh: 478 points, and the head pose that they show.

    python -m faceperc.data.teachers.mediapipe_mesh FOLDER --out LABELS

MediaPipe needs an old NumPy, so this runs in an environment of its own (docs/teachers.md): of faceperc it
imports only what needs NumPy, Pillow and pyarrow.

Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019; Grishchenko
et al., "Attention Mesh: High-Fidelity Face Mesh Prediction in Real-time", 2020.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from faceperc.data.mean_face import MEAN_FACE
from faceperc.data.rows import decode_image, digest, pack_arrays, read_rows
from faceperc.data.teachers.format import PseudoLabel, Teacher, labels_path, write_labels
from faceperc.errors import DataError, FacepercError

Array = NDArray[np.float64]

#: (H, W, 3) uint8 RGB -> (478, 3) points of its most visible face, or None.
FaceMesh = Callable[[NDArray[np.uint8]], Array | None]

POINTS = 478
VERSION = "0.10.21"  # of the last package that holds its models

_MIDDLE = (
    *(0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19),
    *(94, 151, 152, 164, 168, 175, 195, 197, 199, 200),
)
_RIGHT = [index for index in range(248) if index not in _MIDDLE]
_RIGHT_IRIS, _LEFT_IRIS = [468, 469, 470, 471, 472], [473, 476, 475, 474, 477]

#: (478,) the point that each point becomes in a mirror. Points 248 to 467 mirror those of the subject's right
#: half in the same order.
MIRROR = np.arange(POINTS)
MIRROR[_RIGHT + _RIGHT_IRIS] = [*range(248, 468), *_LEFT_IRIS]
MIRROR[[*range(248, 468), *_LEFT_IRIS]] = _RIGHT + _RIGHT_IRIS

#: (68,) the mesh's point nearest to each iBUG landmark: medians over w300's training photographs, the same on
#: both halves. The jaws differ by nature: the landmarks follow the visible outline, the mesh the head.
IBUG68 = np.array(
    [
        *(127, 227, 177, 215, 172, 136, 149, 148, 152, 377, 378, 365, 397, 435, 401, 447, 356),
        *(70, 63, 105, 66, 55, 285, 296, 334, 293, 300, 168, 197, 5, 4, 75, 97, 2, 326, 305),
        *(33, 160, 158, 155, 153, 144, 382, 385, 387, 263, 373, 380),
        *(61, 39, 37, 11, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87),
    ]
)

# Landmarks that no expression moves: the nose, and the corners of the eyes.
_RIGID = [*range(27, 36), 36, 39, 42, 45]

# Face Mesh makes a face too flat: with its depth as it is, yaw comes out at 0.86 of celebahq1k's and w300's
# (slopes over their training photographs), with this factor at 0.95.
_DEPTH = 1.3
_MARGIN = 0.25  # black border, as a share of the longer side: tight crops are not found without
_NO_TRUST = 0.04  # share of the face's size


def mean_mesh(face_mesh: FaceMesh, image: NDArray[np.uint8]) -> tuple[Array, float] | None:
    """The mean of the meshes of a photograph and of its mirror image, and how well they agree.

    Args:
        face_mesh: finds the mesh.
        image: (H, W, 3) uint8 RGB.

    Returns:
        (478, 3) image pixels, z towards the viewer negative and without a fixed origin; and the confidence: 1
        where both meshes agree, 0 where their points lie 4 % of the face's size (the square root of its box's
        area) apart on average. None if there is no face in one of them.
    """
    mesh = face_mesh(image)
    mirrored = face_mesh(np.ascontiguousarray(image[:, ::-1]))
    if mesh is None or mirrored is None:
        return None
    mirrored = (mirrored * [-1, 1, 1] + [image.shape[1] - 1, 0, 0])[MIRROR]
    mean = (mesh + mirrored) / 2
    gap = np.linalg.norm((mesh - mirrored)[:, :2], axis=1).mean()
    size = math.sqrt(np.ptp(mean[:, :2], axis=0).prod())
    return mean, max(0.0, 1.0 - float(gap) / (_NO_TRUST * size))


def pose_from_mesh(mesh: ArrayLike) -> Array:
    """(3,) yaw, pitch, roll in degrees (docs/contract.md) of a mesh (478, 3) in image pixels.

    The rotation that brings the mean face's nose and corners of the eyes closest to the mesh's, whatever
    their size (orthogonal Procrustes; Kabsch, Acta Cryst. A32, 1976).
    """
    seen = np.asarray(mesh, dtype=np.float64)[IBUG68[_RIGID]] * [1, -1, -_DEPTH]
    head = MEAN_FACE[_RIGID]
    u, _, vt = np.linalg.svd((seen - seen.mean(0)).T @ (head - head.mean(0)))
    rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    yaw = math.atan2(-rotation[0, 2], math.hypot(rotation[1, 2], rotation[2, 2]))
    pitch = math.atan2(rotation[1, 2], rotation[2, 2])
    roll = math.atan2(rotation[0, 1], rotation[0, 0])
    return np.degrees([yaw, pitch, roll])


def label_split(face_mesh: FaceMesh, path: Path) -> Iterator[PseudoLabel]:
    """The mesh and pose of every photograph of `<source>/<split>.parquet` that shows a face.

    Raises:
        DataError: if the file is damaged or has no column `image`.
    """
    for index, row in enumerate(read_rows(path, ["image"])):
        where = f"{path} row {index}"
        if not row:
            raise DataError(f"{path}: no column 'image'")
        data = row["image"]["bytes"] if isinstance(row["image"], dict) else row["image"]
        found = mean_mesh(face_mesh, decode_image(data, where))
        if found is None:
            continue
        mesh, confidence = found
        points = mesh[:, :2]
        labels: dict[str, NDArray[Any]] = {"mesh": points.astype(np.float32), "pose": pose_from_mesh(mesh)}
        box = [*points.min(0).tolist(), *points.max(0).tolist()]
        for task, label in labels.items():
            packed = pack_arrays(value=label)
            yield PseudoLabel(path.parent.name, path.stem, where, digest(data), box, task, packed, confidence)


def open_face_mesh() -> FaceMesh:
    """MediaPipe's own models. Raises DataError if its package is missing or another version."""
    try:
        import mediapipe
    except ImportError as error:
        raise DataError(f"no MediaPipe here ({error}): pip install mediapipe=={VERSION}") from error
    if mediapipe.__version__ != VERSION:
        raise DataError(f"MediaPipe {mediapipe.__version__}: this needs mediapipe=={VERSION}")
    model = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True)

    def face_mesh(image: NDArray[np.uint8]) -> Array | None:
        height, width = image.shape[:2]
        side, border = max(height, width), round(_MARGIN * max(height, width))
        # square: a turned face in another image would come out sheared
        wide = np.pad(image, ((border, border + side - height), (border, border + side - width), (0, 0)))
        faces: Any = model.process(wide).multi_face_landmarks
        if not faces:
            return None
        points = np.array([(point.x, point.y, point.z) for point in faces[0].landmark])
        # MediaPipe counts from edge to edge, and depth as it counts x
        return points * len(wide) - [border + 0.5, border + 0.5, 0.0]

    return face_mesh


def main(args: list[str]) -> int:
    """Label every `<source>/<split>.parquet` of a folder; files that are there already are left."""
    parser = argparse.ArgumentParser(
        prog="python -m faceperc.data.teachers.mediapipe_mesh", description=main.__doc__
    )
    parser.add_argument("folder", type=Path, help="the parquet pack, or what 'faceperc data prepare' wrote")
    parser.add_argument("--out", type=Path, help="folder for the labels; next to the data by default")
    parser.add_argument("--source", action="append", help="only this source; may be repeated")
    options = parser.parse_args(args)
    teacher = Teacher(
        "mediapipe-mesh",
        VERSION,
        "MediaPipe Face Mesh with attention (Google; the package's own models)",
        "Apache-2.0",
    )
    sources = options.source or sorted(path.name for path in options.folder.iterdir() if path.is_dir())
    face_mesh = open_face_mesh()
    for source in sources:
        for path in sorted(options.folder.glob(f"{source}/*.parquet")):
            if "." in path.stem:  # another teacher's labels
                continue
            target = labels_path(options.out or options.folder, source, path.stem, teacher.name)
            if target.exists():
                continue
            labels = list(label_split(face_mesh, path))
            write_labels(target, teacher, labels)
            faces, photographs = len({label.name for label in labels}), pq.read_metadata(path).num_rows
            print(f"{target}: {faces} faces in {photographs} photographs", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except FacepercError as error:
        sys.exit(f"faceperc: {error}")
