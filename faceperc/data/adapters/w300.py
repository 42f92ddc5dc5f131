"""300-W: 68 points on photographs of AFW, Helen, LFPW and iBUG.

Sagonas et al., "300 Faces In-The-Wild Challenge: Database and Results", Image and Vision Computing 2016.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from faceperc.data.derive import landmark_sample
from faceperc.data.folder import FolderSource, Item, images_in, lines_of, numbers_of
from faceperc.data.source import Sample
from faceperc.errors import DataError
from faceperc.licences import RESEARCH

#: Split -> folder -> the test subset that it is, if any.
FOLDERS: dict[str, dict[str, str]] = {
    "train": {"afw": "", "helen/trainset": "", "lfpw/trainset": ""},
    "test": {"helen/testset": "common", "lfpw/testset": "common", "ibug": "challenge"},
    "private": {"300W/01_Indoor": "indoor", "300W/02_Outdoor": "outdoor"},
}

_POINTS = 68
_PHOTOGRAPH = re.compile(r"(\d+)_\d+")  # AFW and Helen number the faces of a photograph


class W300(FolderSource):
    """A .pts file beside each photograph. Pose and a partial mask are derived from the points.

    The test split is the field's full set: ``subset`` is common (LFPW and Helen) or challenge (iBUG). The
    challenge's own test set, 300 faces indoors and 300 outdoors, is the split "private": it is read where
    ``splits`` names it. Mirrored copies (``*_mirror``), which some redistributions add, are left out.
    """

    name = "300w"
    origin = "300-W (Sagonas et al. 2016): AFW, Helen, LFPW and iBUG with 68 points"
    licence = "annotations for research, no commercial use; photographs under the terms of their data sets"
    terms = RESEARCH
    layout = "afw/, helen/, lfpw/ and ibug/, the second and third with trainset/ and testset/"
    extra_splits: ClassVar[tuple[str, ...]] = ("private",)

    def items(self, root: Path, split: str) -> list[Item]:
        """See FolderSource.items."""
        items = []
        for folder, subset in FOLDERS[split].items():
            for image in images_in(root / folder):
                if image.stem.endswith("_mirror"):
                    continue
                match = _PHOTOGRAPH.fullmatch(image.stem)
                photograph = match[1] if match else image.stem
                # an LFPW photograph has the same name in both of its folders
                where = folder if folder.startswith("lfpw") else folder.split("/")[0]
                items.append(Item(image, subset, f"{where} {photograph}"))
        return items

    def load(self, item: Item, image: NDArray[np.uint8]) -> Sample | None:
        """See FolderSource.load."""
        sample = landmark_sample(image, read_pts(item.image.with_suffix(".pts"), _POINTS))
        if item.label:
            sample.groups = {"subset": item.label}
        return sample


def read_pts(path: Path, count: int) -> NDArray[np.float64]:
    """(count, 2) points of a .pts file, whose first pixel is (1, 1), in pixels from (0, 0).

    Raises:
        DataError: if the file is missing or damaged, or has another number of points.
    """
    lines = lines_of(path, f"{count} points")
    if "{" not in lines or "}" not in lines:
        raise DataError(f"{path}: no points between braces, so it is no .pts file")
    body = lines[lines.index("{") + 1 : lines.index("}")]
    return numbers_of(" ".join(body), 2 * count, str(path)).reshape(count, 2) - 1
