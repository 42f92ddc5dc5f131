"""Helen with face parsing: a probability map of each of 11 classes.

Smith et al., "Exemplar-Based Face Parsing", CVPR 2013; Le et al., "Interactive Facial Feature Localization",
ECCV 2012.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceperc.data.adapters._parts import box_around, forget_neck, parsing_label, read_map
from faceperc.data.folder import FolderSource, Item, existing, lines_of
from faceperc.data.source import Sample
from faceperc.errors import DataError
from faceperc.heads.parsing import CLASSES
from faceperc.licences import RESEARCH

_LISTS = {"train": "exemplars.txt", "val": "tuning.txt", "test": "testing.txt"}
_FACE = (CLASSES.index("skin"), CLASSES.index("lower_lip"))  # first and last class that is part of the face


class Helen(FolderSource):
    """SmithCVPR2013_dataset_original or _resized: exemplars, tuning and testing are train, val and test.

    The classes are ours in our order, but that ears and neck are background. The face box spans the parts.
    """

    name = "helen"
    origin = "Helen (Le et al. 2012; photographs from Flickr) with masks by Smith et al. 2013"
    licence = "not stated; photographs of people collected from the web: research use only"
    terms = RESEARCH
    known_splits = ("train", "val", "test")
    layout = "images/, labels/, exemplars.txt, tuning.txt, testing.txt"

    def items(self, root: Path, split: str) -> list[Item]:
        """See FolderSource.items. A line of a list is ``number , name``; a label is the maps' common path."""
        images = existing(root / "images", "Helen's photographs")
        path = root / _LISTS[split]
        names = []
        for number, line in enumerate(lines_of(path, "the names of the split's photographs"), start=1):
            _, comma, name = line.partition(",")
            if not comma:
                raise DataError(f"{path} line {number}: not a number, a comma and a name: {line!r}")
            names.append(name.strip())
        return [Item(images / f"{name}.jpg", root / "labels" / name / name) for name in names]

    def load(self, item: Item, image: NDArray[np.uint8]) -> Sample | None:
        """See FolderSource.load."""
        maps = [
            read_map(item.label.with_name(f"{item.label.name}_lbl{index:02d}.png"), image.shape, name)
            for index, name in enumerate(CLASSES)
        ]
        ids = np.argmax(maps, axis=0).astype(np.uint8)
        face = (ids >= _FACE[0]) & (ids <= _FACE[1])
        if not face.any():
            return None
        box = box_around(face)
        return Sample(image, box, {"parsing": parsing_label(forget_neck(ids, box))})
