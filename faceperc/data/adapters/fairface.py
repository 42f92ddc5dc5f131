"""FairFace: age bands and gender, balanced over seven groups of people.

Kärkkäinen and Joo, "FairFace: Face Attribute Dataset for Balanced Race, Gender, and Age for Bias Measurement
and Mitigation", WACV 2021.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceperc._names import unknown_name
from faceperc.data.adapters._read import csv_rows, first_of
from faceperc.data.boxes import box_from_fractions
from faceperc.data.folder import FolderSource, Item
from faceperc.data.source import Sample
from faceperc.errors import DataError
from faceperc.heads.gender import GENDERS
from faceperc.licences import permissive

#: Age band -> its middle in years.
AGES = {
    "0-2": 1.0, "3-9": 6.0, "10-19": 14.5, "20-29": 24.5, "30-39": 34.5, "40-49": 44.5, "50-59": 54.5,
    "60-69": 64.5, "more than 70": 75.0,
}  # fmt: skip

# Folder of photographs -> face box in units of the crop. dlib cut these crops: the width of its mean face's
# 51 inner points is the unit, with a margin of 0.25 or 1.25 around; there the box of our mean face lies.
_BOXES = {
    "fairface-img-margin125-trainval": (0.32, 0.27, 0.68, 0.70),
    "fairface-img-margin025-trainval": (0.08, -0.03, 0.92, 0.96),
    ".": (0.08, -0.03, 0.92, 0.96),
}


class FairFace(FolderSource):
    """The crops with a wide margin where they are there, else those with a narrow one.

    An age is the middle of a band: learned with a low trust, never measured by. The race is no label: metrics
    can be split by it.
    """

    name = "fairface"
    origin = "FairFace (Kärkkäinen and Joo 2021; photographs from YFCC-100M)"
    licence = "CC BY 4.0"
    terms = permissive("CC-BY-4.0")
    known_splits = ("train", "val")
    layout = (
        "fairface_label_train.csv, fairface_label_val.csv, and fairface-img-margin125-trainval/ or "
        "fairface-img-margin025-trainval/ (or, of the latter, train/ and val/)"
    )

    def items(self, root: Path, split: str) -> list[Item]:
        """See FolderSource.items. A label is (face box as fractions, age band, gender, race)."""
        images = first_of(root, [f"{folder}/{split}" for folder in _BOXES], "FairFace's photographs").parent
        box = _BOXES.get(images.name, _BOXES["."])
        path = root / f"fairface_label_{split}.csv"
        items = []
        for where, row in csv_rows(path, ("file", "age", "gender", "race"), "FairFace's labels"):
            gender = row["gender"].lower()
            for what, name, known in (("age", row["age"], AGES), ("gender", gender, GENDERS)):
                if name not in known:
                    raise DataError(f"{where}: {unknown_name(what, name, known)}")
            items.append(Item(images / row["file"], (box, row["age"], gender, row["race"])))
        return items

    def load(self, item: Item, image: NDArray[np.uint8]) -> Sample:
        """See FolderSource.load."""
        fractions, age, gender, race = item.label
        return Sample(
            image,
            box_from_fractions(fractions, image.shape),
            {"age": AGES[age], "gender": GENDERS.index(gender)},
            trust={"age": 0.3},
            derived=frozenset({"age"}),
            groups={"age": age, "gender": gender, "FairFace group": race},
        )
