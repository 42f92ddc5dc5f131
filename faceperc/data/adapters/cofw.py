"""COFW: 29 points on faces behind hands, hair and glasses, each marked visible or occluded.

Burgos-Artizzu et al., "Robust Face Landmark Estimation under Occlusion", ICCV 2013.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceperc.crop import box_from_landmarks
from faceperc.data.folder import FolderSource, Item, existing
from faceperc.data.mean_face import MEAN_FACE
from faceperc.data.source import Sample
from faceperc.errors import DataError
from faceperc.licences import RESEARCH

#: Split -> file, the variable with the photographs, the one with the points.
FILES = {
    "train": ("COFW_train_color.mat", "IsTr", "phisTr"),
    "test": ("COFW_test_color.mat", "IsT", "phisT"),
}

_POINTS = 29
# HDF5 closes a file for all that have it open in this process.
_ONE_AT_A_TIME = Lock()
# How far the mean face's jaw reaches beyond its brows on each side, as a part of the brows' whole width.
_JAW = (np.ptp(MEAN_FACE[:17, 0]) / np.ptp(MEAN_FACE[17:27, 0]) - 1) / 2


class COFW(FolderSource):
    """A .mat file per split holds the photographs and, for each, all x, all y and all flags of occlusion.

    The files are MATLAB 7.3's, that is HDF5 with transposed arrays: reading them needs the package h5py.
    845 of the 1,345 training faces are LFPW's, nearly all without occlusion.
    """

    name = "cofw"
    origin = "COFW, colour (Burgos-Artizzu et al. 2013; part of the training faces from LFPW)"
    licence = "the terms of its record at CaltechDATA; photographs of people collected from the web"
    terms = RESEARCH
    layout = "COFW_train_color.mat and COFW_test_color.mat"

    def items(self, root: Path, split: str) -> list[Item]:
        """See FolderSource.items."""
        file, images, points = FILES[split]
        path = existing(root / file, "COFW's photographs and points")
        with _opened(path) as content:
            values = np.asarray(content[points], dtype=np.float64)
            count = content[images].size
        if values.shape != (3 * _POINTS, count):
            raise DataError(
                f"{path}: {points} should have the shape {(3 * _POINTS, count)}; it is {values.shape}"
            )
        return [Item(path, (images, column), row=row) for row, column in enumerate(values.T)]

    def pixels(self, item: Item) -> NDArray[np.uint8]:
        """See FolderSource.pixels: a cell of the array of photographs, of which some are grey."""
        with _opened(item.image) as content:
            references = content[item.label[0]][()].ravel()
            image = np.asarray(content[references[item.row]]).T
        if image.dtype != np.uint8 or image.ndim not in (2, 3):
            raise DataError(f"{item.name}: no 8-bit image but {image.dtype} of the shape {image.shape}")
        return np.ascontiguousarray(image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2))

    def load(self, item: Item, image: NDArray[np.uint8]) -> Sample | None:
        """See FolderSource.load."""
        x, y, occluded = item.label[1].reshape(3, _POINTS)
        points = np.column_stack([x - 1, y - 1, 1 - occluded])  # MATLAB's first pixel is (1, 1)
        # the 29 points end at the chin, but at the brows' ends instead of the jaw
        x0, y0, x1, y1 = box_from_landmarks(points[:, :2])
        margin = _JAW * (x1 - x0)
        box = np.array([x0 - margin, y0, x1 + margin, y1])
        return Sample(image, box, {"landmarks29": points})


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The HDF5 file. Raises DataError naming it if h5py is missing or the file is damaged."""
    try:
        import h5py
    except ImportError as error:
        raise DataError(f"{path}: files of MATLAB 7.3 are read with h5py: pip install h5py") from error
    try:
        with _ONE_AT_A_TIME, h5py.File(path, "r") as content:
            yield content
    except (OSError, KeyError) as error:
        raise DataError(f"{path}: cannot be read as MATLAB 7.3's HDF5 ({error})") from error
