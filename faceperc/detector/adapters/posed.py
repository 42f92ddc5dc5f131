"""300W-LP and AFLW2000-3D (Zhu et al., CVPR 2016): one face with points and rotation in each image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceperc.crop import box_from_landmarks
from faceperc.data.adapters.aflw2000 import AFLW2000
from faceperc.data.adapters.w300lp import FLIPPED, W300LP
from faceperc.data.boxes import five_points
from faceperc.data.folder import FolderSource, Item
from faceperc.data.rows import spread
from faceperc.detector.labelled import (
    LabelledFace,
    LabelledPhoto,
    face_seen,
    gather,
    image_size,
)
from faceperc.rotations import matrix_from_angles

Array = NDArray[np.float64]


def read_300w_lp(root: str | Path, limit: int | None = None) -> list[LabelledPhoto]:
    """300W-LP without the mirror images of its folders ``*_Flip``: mosaics mirror photographs themselves.

    Other people in the photographs are not labelled. What else there is to know: ``W300LP``.

    Args:
        root: folder with ``AFW``, ``HELEN``, ``IBUG``, ``LFPW`` and ``landmarks``.
        limit: at most so many images, spread evenly over the list.

    Raises:
        DataError: if a folder is missing, or no image can be read.
    """
    source = W300LP(str(Path(root).absolute()))

    def photo(item: Item) -> LabelledPhoto:
        size = image_size(item.image)
        return _photo(source, item, size, *source.labels(item, size[0]))

    items = [
        item
        for item in source.split_items(source.place(), "train")
        if not item.image.parent.name.endswith(FLIPPED)
    ]
    return gather(source.name, spread(items, limit), photo)


def read_aflw2000(root: str | Path, limit: int | None = None) -> list[LabelledPhoto]:
    """AFLW2000-3D, a test set: faces with an angle beyond 99 degrees are left out, as the field does.

    The box is that of the 3D model's 68 points, part of which a turned head hides. Other people are not
    labelled.

    Args:
        root: folder with ``image00002.jpg``, ``image00002.mat`` and so on.
        limit: at most so many photographs, spread evenly over the list.

    Raises:
        DataError: if the folder is missing, or no photograph can be read.
    """
    source = AFLW2000(str(Path(root).absolute()))

    def photo(item: Item) -> LabelledPhoto | None:
        labels = source.labels(item)
        return None if labels is None else _photo(source, item, image_size(item.image), *labels)

    return gather(source.name, spread(source.split_items(source.place(), "test"), limit), photo)


def _photo(
    source: FolderSource, item: Item, size: tuple[int, int], points: Array, angles: Array
) -> LabelledPhoto:
    rotation = matrix_from_angles(*angles)
    face = LabelledFace(box_from_landmarks(points), five_points(points), rotation, face_seen(rotation))
    return LabelledPhoto(source.name, item.image, size, [face], complete=False)
