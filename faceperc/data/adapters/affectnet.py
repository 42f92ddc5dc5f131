"""AffectNet: expressions, valence and arousal in the wild, annotated by hand.

Mollahosseini et al., "AffectNet: A Database for Facial Expression, Valence, and Arousal Computing in the
Wild", IEEE Transactions on Affective Computing 2019.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceperc.crop import box_from_landmarks
from faceperc.data.adapters._read import class_number, csv_rows, first_of
from faceperc.data.folder import FolderSource, Item, existing, images_in, numbers_of
from faceperc.data.source import Sample
from faceperc.errors import DataError
from faceperc.heads.expression import EXPRESSIONS
from faceperc.licences import RESEARCH

_IMAGES = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images")
_LISTS = {"train": "training.csv", "val": "validation.csv"}
_LIST_FOLDERS = ("Manually_Annotated_file_lists/", "Manually_Annotated/", "")
_COLUMNS = (
    "subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks",
    "expression", "valence", "arousal",
)  # fmt: skip
_CLASSES = len(EXPRESSIONS) + 3  # ours in our order, then: none, uncertain, no face


class AffectNet(FolderSource):
    """The manually annotated photographs with CSV lists, or (train_set/, val_set/) the later crops with an
    .npy file for each label. The face box follows from the 68 points of the authors' detector.

    Faces without one of the eight expressions are left out. Besides the expression there are the labels
    ``valence`` and ``arousal``, in [-1, 1], for heads of one's own.
    """

    name = "affectnet"
    origin = "AffectNet (Mollahosseini et al. 2019), manually annotated part"
    licence = "on request, under a licence agreement with the authors"
    terms = RESEARCH
    known_splits = ("train", "val")
    layout = "Manually_Annotated_Images/, training.csv and validation.csv; or train_set/ and val_set/"

    def items(self, root: Path, split: str) -> list[Item]:
        """See FolderSource.items. A label is (expression, box, valence, arousal), or the .npy files' stem."""
        if (folder := root / f"{split}_set").is_dir():
            return [Item(path, folder / "annotations" / path.stem) for path in images_in(folder / "images")]
        images = first_of(root, _IMAGES, "AffectNet's photographs (or, in the later layout, train_set/)")
        path = first_of(root, [folder + _LISTS[split] for folder in _LIST_FOLDERS], "AffectNet's labels")
        items = []
        for where, row in csv_rows(path, _COLUMNS, "AffectNet's labels"):
            expression = class_number(row["expression"], _CLASSES, where)
            if expression < len(EXPRESSIONS):
                points = numbers_of(row["facial_landmarks"].replace(";", " "), 136, f"{where}, landmarks")
                box = box_from_landmarks(points.reshape(68, 2))
                feeling = numbers_of(f"{row['valence']} {row['arousal']}", 2, where)
                items.append(Item(images / row["subDirectory_filePath"], (expression, box, *feeling)))
        return items

    def load(self, item: Item, image: NDArray[np.uint8]) -> Sample | None:
        """See FolderSource.load."""
        label = _read_npy(item.label) if isinstance(item.label, Path) else item.label
        expression, box, valence, arousal = label
        if expression >= len(EXPRESSIONS):
            return None
        labels = {"expression": expression, "valence": float(valence), "arousal": float(arousal)}
        return Sample(image, box, labels)


def _read_npy(stem: Path) -> tuple[int, NDArray[np.float64], float, float]:
    """(expression, box, valence, arousal) from the .npy files of a crop."""
    expression, points, valence, arousal = (
        _numbers(stem.with_name(f"{stem.name}_{part}.npy"), count)
        for part, count in (("exp", 1), ("lnd", 136), ("val", 1), ("aro", 1))
    )
    number = class_number(f"{expression[0]:g}", _CLASSES, f"{stem}_exp.npy")
    return number, box_from_landmarks(points.reshape(68, 2)), valence[0], arousal[0]


def _numbers(path: Path, count: int) -> NDArray[np.float64]:
    """An array of numbers, which may be stored as text; never unpickled."""
    try:
        values = np.load(existing(path, "a label of AffectNet"), allow_pickle=False).astype(float).ravel()
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as numbers ({error})") from error
    if len(values) != count:
        raise DataError(f"{path}: {len(values)} numbers instead of {count}")
    return values
