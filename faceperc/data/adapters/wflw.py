"""WFLW: 98 points in the wild, with six attributes of difficulty.

Wu et al., "Look at Boundary: A Boundary-Aware Face Alignment Algorithm", CVPR 2018.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceperc.crop import box_from_landmarks
from faceperc.data.folder import FolderSource, Item, existing, lines_of, numbers_of
from faceperc.data.source import Sample
from faceperc.licences import RESEARCH

#: The attributes in the order of the label files; each is a subset of the test set.
SUBSETS = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")

_LISTS = "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_{split}.txt"
#: The points that stand for 300-W's 68: jaw, nose and mouth are the same points; of the lids and the brows'
#: upper edges, which WFLW divides otherwise, the nearest are taken. It is the correspondence that the field's
#: code uses (as WFLW_98_TO_DLIB_68_IDX_MAPPING).
TO_68 = np.array(
    [
        *(*range(0, 33, 2), *range(33, 38), *range(42, 47), *range(51, 60)),
        *(60, 61, 63, 64, 65, 67, 68, 69, 71, 72, 73, 75, *range(76, 96)),
    ]
)

_POINTS = 98
_TRUST_68 = 0.5


class WFLW(FolderSource):
    """A label file's line: 196 coordinates, a detector's box, six attributes, the image's name.

    The test set's subsets overlap; a face that is in none of them counts in the whole only.
    """

    name = "wflw"
    origin = "WFLW (Wu et al. 2018; photographs from WIDER FACE)"
    licence = "none stated by the authors; photographs of people collected from the web: research use only"
    terms = RESEARCH
    layout = "WFLW_images/ and WFLW_annotations/list_98pt_rect_attr_train_test/"

    def items(self, root: Path, split: str) -> list[Item]:
        """See FolderSource.items."""
        path = root / _LISTS.format(split=split)
        images = existing(root / "WFLW_images", "WFLW's photographs")
        items = []
        for number, line in enumerate(lines_of(path, "WFLW's 98 points"), start=1):
            *values, name = line.split()
            label = numbers_of(" ".join(values), 2 * _POINTS + 4 + len(SUBSETS), f"{path} line {number}")
            items.append(Item(images / name, label))
        return items

    def load(self, item: Item, image: NDArray[np.uint8]) -> Sample | None:
        """See FolderSource.load."""
        points = item.label[: 2 * _POINTS].reshape(_POINTS, 2)
        flags = item.label[-len(SUBSETS) :]
        groups = {f"subset {name}": "yes" for name, flag in zip(SUBSETS, flags, strict=True) if flag}
        return Sample(
            image,
            box_from_landmarks(points[TO_68]),
            {"landmarks98": points, "landmarks": points[TO_68]},
            trust={"landmarks": _TRUST_68},
            derived=frozenset({"landmarks"}),
            groups=groups,
        )
