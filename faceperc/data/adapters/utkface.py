"""UTKFace: age and gender in the names of tight, aligned crops.

Zhang et al., "Age Progression/Regression by Conditional Adversarial Autoencoder", CVPR 2017.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceperc.data.adapters._read import first_of
from faceperc.data.boxes import box_from_fractions
from faceperc.data.folder import FolderSource, Item
from faceperc.data.pack import UTKFACE_BOX, utkface_groups
from faceperc.data.source import Sample
from faceperc.errors import DataError
from faceperc.licences import RESEARCH

_NAME = re.compile(r"(\d{1,3})_([01])_([0-4])_\d+\.jpg(\.chip\.jpg)?")  # age, gender, race, date


class UTKFace(FolderSource):
    """The aligned crops. A few names lack a part: they are reported as damaged.

    The authors give no splits: see ``val_percent``. The race is no label: metrics can be split by it.
    """

    name = "utkface"
    origin = "UTKFace (Zhang et al. 2017)"
    licence = "non-commercial research only (UTKFace's terms)"
    terms = RESEARCH
    known_splits = ("train",)
    layout = "UTKFace/ (or the folder itself) with [age]_[gender]_[race]_[date].jpg.chip.jpg"

    def items(self, root: Path, split: str) -> list[Item]:
        """See FolderSource.items."""
        images = sorted(first_of(root, ("UTKFace", "."), "UTKFace's crops").glob("*.jpg"))
        if not images:
            raise DataError(f"{root}: no photographs; expected is {self.layout}")
        return [Item(path) for path in images]

    def load(self, item: Item, image: NDArray[np.uint8]) -> Sample:
        """See FolderSource.load."""
        match = _NAME.fullmatch(item.image.name)
        if not match:
            raise DataError(f"{item.image}: the name is not [age]_[gender]_[race]_[date].jpg")
        age, male, race = int(match[1]), match[2] == "0", int(match[3])
        labels = {"age": float(age), "gender": int(male)}
        box = box_from_fractions(UTKFACE_BOX, image.shape)
        return Sample(image, box, labels, groups=utkface_groups(age, int(male), race))
