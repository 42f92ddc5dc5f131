"""LaPa: masks of 11 classes and 106 points of faces in the wild.

Liu et al., "A New Dataset and Boundary-Attention Semantic Segmentation for Face Parsing", AAAI 2020.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceperc.crop import box_from_landmarks
from faceperc.data.adapters._parts import forget_neck, parsing_label, read_map
from faceperc.data.folder import FolderSource, Item, images_in, lines_of, numbers_of
from faceperc.data.source import Sample
from faceperc.errors import DataError
from faceperc.heads.parsing import CLASSES
from faceperc.licences import RESEARCH

_POINTS = 106
_CONTOUR_AND_BROWS = slice(0, 51)  # what spans the face like the 68 points' own contour and brows


class LaPa(FolderSource):
    """The classes are ours in our order, but that the neck is background."""

    name = "lapa"
    origin = "LaPa (Liu et al. 2020)"
    licence = "non-commercial purposes only (LaPa's licence terms)"
    terms = RESEARCH
    known_splits = ("train", "val", "test")
    layout = "train/, val/, test/, each with images/, labels/ and landmarks/"

    def items(self, root: Path, split: str) -> list[Item]:
        """See FolderSource.items. A label is the paths of the mask and of the points."""
        folder = root / split
        return [
            Item(path, (folder / f"labels/{path.stem}.png", folder / f"landmarks/{path.stem}.txt"))
            for path in images_in(folder / "images")
        ]

    def load(self, item: Item, image: NDArray[np.uint8]) -> Sample | None:
        """See FolderSource.load."""
        mask_path, points_path = item.label
        ids = read_map(mask_path, image.shape, "LaPa's mask of the photograph")
        if ids.max() >= len(CLASSES):
            raise DataError(
                f"{mask_path}: unknown class {ids.max()}; the classes are 0 to {len(CLASSES) - 1}"
            )
        points = _points(points_path)
        box = box_from_landmarks(points[_CONTOUR_AND_BROWS])
        labels = {"parsing": parsing_label(forget_neck(ids, box)), "landmarks106": points}
        return Sample(image, box, labels)


def _points(path: Path) -> NDArray[np.float64]:
    """(106, 2) image pixels."""
    count, *lines = lines_of(path, "LaPa's 106 points") or [""]
    if count != str(_POINTS):
        raise DataError(f"{path}: the first line should be {_POINTS}, it is {count!r}")
    return numbers_of(" ".join(lines), 2 * _POINTS, str(path)).reshape(_POINTS, 2)
