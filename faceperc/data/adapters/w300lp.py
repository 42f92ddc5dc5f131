"""300W-LP: 300-W's photographs turned into large poses with a 3D face model.

Zhu et al., "Face Alignment Across Large Poses: A 3D Solution", CVPR 2016.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from faceperc.crop import box_from_landmarks
from faceperc.data.adapters._mat import angles_from_pose_para, read_mat
from faceperc.data.folder import FolderSource, Item, images_in
from faceperc.data.source import Sample
from faceperc.heads.landmarks import MIRROR
from faceperc.licences import RESEARCH

# AFW and Helen number the faces of a photograph; all four number its turned copies
_FACE_OF = re.compile(r"((?:AFW|HELEN)_\d+)_\d+")

_FOLDERS = ("AFW", "HELEN", "IBUG", "LFPW")
FLIPPED = "_Flip"  # ends the names of folders with mirror images
_TURNED = 0.5  # trust of points that a fitted model has moved


class W300LP(FolderSource):
    """A .mat file beside each image for the pose, another in ``landmarks/`` for the points.

    ``pt2d`` of the first one is not read: it stays where the points were before the face was turned. The
    images in ``*_Flip`` have no file in ``landmarks/``; they get the mirrored points of the original. Image
    ``*_0`` is the photograph itself, with points set by hand; those of the turned ones are trusted less.

    It holds 300-W's TEST photographs too (IBUG, and those of HELEN and LFPW): who learns from it cannot be
    measured on 300-W.
    """

    name = "300w-lp"
    origin = "300W-LP (Zhu et al. 2016): 300-W's photographs turned with a 3D face model"
    licence = "none stated by the authors; research use only, like 300-W, whose photographs it holds"
    terms = RESEARCH
    layout = "AFW/, HELEN/, IBUG/ and LFPW/, the same with _Flip, and landmarks/ with the first four"
    known_splits: ClassVar[tuple[str, ...]] = ("train",)

    def items(self, root: Path, split: str) -> list[Item]:
        """See FolderSource.items. A photograph's faces, turned copies and mirror images: one identity."""
        return [
            Item(image, root / "landmarks" / folder / f"{image.stem}_pts.mat", _photograph(image.stem))
            for folder in _FOLDERS
            for flipped in ("", FLIPPED)
            for image in images_in(root / (folder + flipped))
        ]

    def load(self, item: Item, image: NDArray[np.uint8]) -> Sample | None:
        """See FolderSource.load."""
        points, angles = self.labels(item, image.shape[1])
        turned = not item.image.stem.endswith("_0")
        return Sample(
            image,
            box_from_landmarks(points),
            {"landmarks": points, "pose": angles},
            trust={"landmarks": _TURNED} if turned else {},
        )

    def labels(self, item: Item, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(68, 2) points in image pixels, and (3,) yaw, pitch, roll in degrees.

        Args:
            item: one of ``items``.
            width: of the image, pixels.

        Raises:
            DataError: if one of its files is missing or damaged.
        """
        pose = read_mat(item.image.with_suffix(".mat"), Pose_Para=(1, 7))["Pose_Para"]
        points = read_mat(item.label, pts_2d=(68, 2))["pts_2d"] - 1  # MATLAB's first pixel is (1, 1)
        if item.image.parent.name.endswith(FLIPPED):
            points = points[MIRROR] * [-1, 1] + [width - 1, 0]
        return points, angles_from_pose_para(pose)


def _photograph(stem: str) -> str:
    """AFW_134212_1_0 -> AFW_134212, LFPW_image_train_0001_0 -> LFPW_image_train_0001."""
    face = stem.rpartition("_")[0]
    match = _FACE_OF.fullmatch(face)
    return match[1] if match else face
