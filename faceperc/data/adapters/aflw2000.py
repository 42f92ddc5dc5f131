"""AFLW2000-3D: the head pose of AFLW's first 2,000 faces, from a fitted 3D face model.

Zhu et al., "Face Alignment Across Large Poses: A 3D Solution", CVPR 2016.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from faceperc.crop import box_from_landmarks
from faceperc.data.adapters._mat import angles_from_pose_para, read_mat
from faceperc.data.folder import FolderSource, Item, images_in
from faceperc.data.source import Sample
from faceperc.licences import RESEARCH

_LARGEST = 99.0  # degrees


class AFLW2000(FolderSource):
    """A .mat file beside each photograph. All of them are the test set.

    Faces with an angle beyond 99 degrees are left out: 1,969 remain (the protocol of Ruiz et al.,
    "Fine-Grained Head Pose Estimation Without Keypoints", CVPRW 2018). The 68 points give the face box only:
    their jaw is the 3D model's, part of which a turned head hides, where 300-W's follows the visible outline,
    so they are no label of the task ``landmarks``.
    """

    name = "aflw2000"
    origin = "AFLW2000-3D (Zhu et al. 2016; photographs from AFLW)"
    licence = "none stated by the authors; AFLW's photographs are for non-commercial research"
    terms = RESEARCH
    layout = "image00002.jpg with image00002.mat and so on (the archive's folder AFLW2000)"
    known_splits: ClassVar[tuple[str, ...]] = ("test",)

    def items(self, root: Path, split: str) -> list[Item]:
        """See FolderSource.items."""
        return [Item(image) for image in images_in(root)]

    def load(self, item: Item, image: NDArray[np.uint8]) -> Sample | None:
        """See FolderSource.load."""
        labels = self.labels(item)
        return None if labels is None else Sample(image, box_from_landmarks(labels[0]), {"pose": labels[1]})

    def labels(self, item: Item) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """(68, 2) points in image pixels, and (3,) yaw, pitch, roll in degrees; None beyond 99 degrees.

        Args:
            item: one of ``items``.

        Raises:
            DataError: if its .mat file is missing or damaged.
        """
        content = read_mat(item.image.with_suffix(".mat"), Pose_Para=(1, 7), pt3d_68=(3, 68))
        angles = angles_from_pose_para(content["Pose_Para"])
        if (abs(angles) > _LARGEST).any():
            return None
        return content["pt3d_68"][:2].T - 1, angles  # MATLAB's first pixel is (1, 1)
