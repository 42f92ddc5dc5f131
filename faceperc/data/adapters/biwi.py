"""BIWI Kinect Head Pose Database: 24 sequences of 20 people who turn their heads before a depth camera.

Fanelli et al., "Random Forests for Real Time 3D Face Analysis", IJCV 2013.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from faceperc.crop import box_from_landmarks
from faceperc.data.folder import FolderSource, Item, images_in, lines_of, numbers_of
from faceperc.data.mean_face import MEAN_FACE
from faceperc.data.source import Sample
from faceperc.licences import RESEARCH

#: Who is seen in the sequences 01 to 24: four people came twice.
PERSONS = (
    "F01", "F02", "F03", "F04", "F05", "F06", "M01", "M02", "M03", "M04", "M05", "M06",
    "M07", "M08", "F03", "M09", "M10", "F05", "M11", "M12", "F02", "M01", "M13", "M14",
)  # fmt: skip

_FLIP = np.array([1.0, -1.0, -1.0])  # the Kinect's y is down and its z away from the camera
_MILLIMETRES = 10.0  # per unit of MEAN_FACE


class _Camera(NamedTuple):
    """The colour camera: intrinsics, and where a point of the depth camera lies in its frame, millimetres."""

    matrix: NDArray[np.float64]
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(K, 3) points of the depth camera -> (K, 2) pixels of the colour image."""
        image = (points @ self.rotation.T + self.translation) @ self.matrix.T
        return image[:, :2] / image[:, 2:]


class BIWI(FolderSource):
    """A text file beside each frame: the head's rotation and its centre in the depth camera.

    All frames are the test set (protocol 1 of Yang et al., "FSA-Net", CVPR 2019). As in that protocol the
    rotation stays the depth camera's, which is turned by up to 2 degrees against the colour camera. The face
    box is that of the mean face with this pose at the head's centre, seen by the colour camera.
    """

    name = "biwi"
    origin = "BIWI Kinect Head Pose Database (Fanelli et al. 2013)"
    licence = "non-commercial use such as university research and education"
    terms = RESEARCH
    layout = "01/ to 24/ with rgb.cal, frame_00003_rgb.png, frame_00003_pose.txt and so on (the folder hpdb)"
    known_splits: ClassVar[tuple[str, ...]] = ("test",)

    def items(self, root: Path, split: str) -> list[Item]:
        """See FolderSource.items."""
        items = []
        for number, person in enumerate(PERSONS, start=1):
            folder = root / f"{number:02}"
            camera = _read_camera(folder / "rgb.cal")
            items += [Item(image, camera, person) for image in images_in(folder, "frame_*_rgb.png")]
        return items

    def load(self, item: Item, image: NDArray[np.uint8]) -> Sample | None:
        """See FolderSource.load."""
        path = item.image.with_name(item.image.name.replace("_rgb.png", "_pose.txt"))
        lines = lines_of(path, "the head's rotation and centre")
        values = numbers_of(" ".join(lines), 12, str(path))
        rotation, centre = values[:9].reshape(3, 3), values[9:]
        face = (MEAN_FACE * _FLIP * _MILLIMETRES) @ rotation.T + centre
        label = rotation * np.outer(_FLIP, _FLIP)  # the same turn in axes that point up and to the viewer
        return Sample(image, box_from_landmarks(item.label.project(face)), {"pose": label})


def _read_camera(path: Path) -> _Camera:
    """rgb.cal: matrix of the intrinsics, four numbers of distortion (zeros), rotation, translation, size."""
    values = numbers_of(" ".join(lines_of(path, "the colour camera's calibration")), 27, str(path))
    return _Camera(values[:9].reshape(3, 3), values[13:22].reshape(3, 3), values[22:25])
