"""RAF-DB: seven basic expressions in the wild, the majority of about 40 opinions.

Li et al., "Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression Recognition in the
Wild", CVPR 2017.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceperc.data.adapters._read import class_number, first_of
from faceperc.data.boxes import box_from_fractions
from faceperc.data.folder import FolderSource, Item, lines_of, numbers_of
from faceperc.data.source import Sample
from faceperc.errors import DataError
from faceperc.heads.expression import EXPRESSIONS
from faceperc.licences import RESEARCH

#: Expressions in the order of the label file's numbers 1 to 7.
ORDER = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")

_ALIGNED_BOX = (0.05, 0.0, 0.95, 1.0)  # an estimate: the face fills the aligned crops of 100 px


class RAFDB(FolderSource):
    """The basic (single-label) part: the aligned crops where they are there, else the original photographs
    with the authors' boxes. The authors give no validation split: see ``val_percent``.
    """

    name = "raf-db"
    origin = "RAF-DB, basic expressions (Li et al. 2017)"
    licence = "non-commercial research only (RAF-DB's terms)"
    terms = RESEARCH
    layout = "basic/ with EmoLabel/, Image/aligned/ or Image/original/ and Annotation/boundingbox/"

    def items(self, root: Path, split: str) -> list[Item]:
        """See FolderSource.items. A label is (expression, the box's file or None)."""
        base = root / "basic"
        images = first_of(base, ("Image/aligned", "Image/original"), "RAF-DB's photographs")
        path = base / "EmoLabel/list_patition_label.txt"  # the authors' spelling
        items = []
        for number, line in enumerate(lines_of(path, "RAF-DB's labels"), start=1):
            where = f"{path} line {number}"
            name, _, word = line.partition(" ")
            expression = EXPRESSIONS.index(ORDER[class_number(word.strip(), len(ORDER), where, first=1)])
            if not name.startswith(("train_", "test_")):
                raise DataError(f"{where}: {name} belongs to no split")
            if name.startswith(split):
                stem = Path(name).stem
                if images.name == "aligned":
                    items.append(Item(images / f"{stem}_aligned.jpg", (expression, None)))
                else:
                    box = base / f"Annotation/boundingbox/{stem}_boundingbox.txt"
                    items.append(Item(images / name, (expression, box)))
        return items

    def load(self, item: Item, image: NDArray[np.uint8]) -> Sample:
        """See FolderSource.load."""
        expression, path = item.label
        if path is None:
            box = box_from_fractions(_ALIGNED_BOX, image.shape)
        else:
            box = numbers_of(" ".join(lines_of(path, "RAF-DB's face box")), 4, str(path))
        return Sample(image, box, {"expression": expression})
