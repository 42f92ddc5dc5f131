"""FER-2013: expressions of grey faces of 48 px that fill the image.

Goodfellow et al., "Challenges in Representation Learning: A Report on Three Machine Learning Contests",
ICONIP 2013.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from faceperc._names import unknown_name
from faceperc.data.adapters._read import class_number, csv_rows
from faceperc.data.boxes import box_from_fractions
from faceperc.data.folder import FolderSource, Item, existing, images_in
from faceperc.data.source import Sample
from faceperc.errors import DataError
from faceperc.heads.expression import EXPRESSIONS
from faceperc.licences import RESEARCH

#: Expressions in the order of the file's numbers 0 to 6.
ORDER = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
#: Split -> its name in the files.
USAGE = {"train": "Training", "val": "PublicTest", "test": "PrivateTest"}

_FOLDERS = dict(zip(("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"), ORDER, strict=True))
_BOX = (0.09, 0.04, 0.91, 0.98)  # as in the parquet pack
_SIZE = 48


class Fer2013(FolderSource):
    """fer2013.csv: the class, the pixels as text, and the split."""

    name = "fer2013"
    origin = "FER-2013 (Goodfellow et al. 2013)"
    licence = "not stated; photographs of people collected from the web: research use only"
    terms = RESEARCH
    known_splits: ClassVar[tuple[str, ...]] = tuple(USAGE)
    layout = "fer2013.csv (the folders train/ and test/: as fer2013-folders)"

    def items(self, root: Path, split: str) -> list[Item]:
        """See FolderSource.items. The image is a row of the file; a label is (pixels as text, expression)."""
        items = []
        for where, row in fer_rows(root):
            if row["Usage"] == USAGE[split]:
                expression = EXPRESSIONS.index(ORDER[class_number(row["emotion"], len(ORDER), where)])
                items.append(Item(Path(where), (row["pixels"], expression)))
        return items

    def pixels(self, item: Item) -> NDArray[np.uint8]:
        """(48, 48, 3) the photograph of a row. Raises DataError naming the row if it is damaged."""
        words = item.label[0].split()
        if len(words) != _SIZE**2 or not all(word.isdigit() and int(word) < 256 for word in words):
            raise DataError(f"{item.image}: not {_SIZE**2} pixels from 0 to 255")
        grey = np.array(words, dtype=np.uint8).reshape(_SIZE, _SIZE)
        return np.repeat(grey[..., None], 3, axis=2)

    def load(self, item: Item, image: NDArray[np.uint8]) -> Sample:
        """See FolderSource.load."""
        _, expression = item.label
        return Sample(image, box_from_fractions(_BOX, image.shape), {"expression": expression})


class Fer2013Folders(FolderSource):
    """The same photographs as Kaggle distributes them, in a folder per class; its test folder holds the
    authors' PublicTest and PrivateTest. There is no validation split: see ``val_percent``.
    """

    name = "fer2013-folders"
    origin = Fer2013.origin
    licence = Fer2013.licence
    terms = RESEARCH
    layout = "train/ and test/, each with a folder per class: angry/, disgust/, ... (fer2013.csv: as fer2013)"

    def items(self, root: Path, split: str) -> list[Item]:
        """See FolderSource.items. A label is the expression."""
        items = []
        for folder in sorted(existing(root / split, "a folder per class").iterdir()):
            if not folder.is_dir():
                continue
            if folder.name not in _FOLDERS:
                raise DataError(f"{folder}: {unknown_name('class', folder.name, _FOLDERS)}")
            expression = EXPRESSIONS.index(_FOLDERS[folder.name])
            items += [Item(path, expression) for path in images_in(folder)]
        return items

    def load(self, item: Item, image: NDArray[np.uint8]) -> Sample:
        """See FolderSource.load."""
        return Sample(image, box_from_fractions(_BOX, image.shape), {"expression": item.label})


def fer_rows(root: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Where each row of fer2013.csv stands, and the row. Raises DataError if a split's name is unknown."""
    for where, row in csv_rows(root / "fer2013.csv", ("emotion", "pixels", "Usage"), "FER-2013's pixels"):
        if row["Usage"] not in USAGE.values():
            raise DataError(f"{where}: {unknown_name('usage', row['Usage'], USAGE.values())}")
        yield where, row
