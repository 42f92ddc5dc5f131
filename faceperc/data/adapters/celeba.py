"""CelebA: 40 attributes of celebrities; the aligned crops or the photographs in the wild.

Liu et al., "Deep Learning Face Attributes in the Wild", ICCV 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceperc.data.adapters._read import class_number, first_of
from faceperc.data.boxes import box_from_five_points
from faceperc.data.folder import FolderSource, Item, lines_of, numbers_of
from faceperc.data.source import Sample
from faceperc.errors import DataError
from faceperc.heads.attributes import CELEBA_ATTRIBUTES
from faceperc.licences import RESEARCH

SPLITS = ("train", "val", "test")  # 0, 1, 2 in list_eval_partition.txt
MALE = CELEBA_ATTRIBUTES.index("Male")

_IMAGES = ("Img/img_align_celeba", "img_align_celeba", "Img/img_celeba", "img_celeba")
_POINTS = (
    "lefteye_x", "lefteye_y", "righteye_x", "righteye_y", "nose_x", "nose_y",
    "leftmouth_x", "leftmouth_y", "rightmouth_x", "rightmouth_y",
)  # fmt: skip


class CelebA(FolderSource):
    """The aligned crops where they are there, else the photographs in the wild.

    The face box follows from the five points; the authors' own boxes are loose. Nobody is in two splits.
    """

    name = "celeba"
    origin = "CelebA (Liu et al. 2015)"
    licence = "non-commercial research only (CelebA's agreement)"
    terms = RESEARCH
    known_splits = SPLITS
    layout = "Anno/, Eval/list_eval_partition.txt, and Img/img_align_celeba/ or Img/img_celeba/"

    def items(self, root: Path, split: str) -> list[Item]:
        """See FolderSource.items. A label is (attributes, five points)."""
        images = first_of(root, _IMAGES, "CelebA's photographs, aligned or (img_celeba) in the wild")
        kind = "_align" if "align" in images.name else ""
        places = table(root / f"Anno/list_landmarks{kind}_celeba.txt", _POINTS, "CelebA's five points")
        answers = attributes(root / "Anno/list_attr_celeba.txt")
        persons = identities(root / "Anno/identity_CelebA.txt")
        path = root / "Eval/list_eval_partition.txt"
        items = []
        for number, line in enumerate(lines_of(path, "CelebA's partition"), start=1):
            where = f"{path} line {number}"
            name, _, part = line.partition(" ")
            if SPLITS[class_number(part.strip(), len(SPLITS), where)] != split:
                continue
            if name not in answers or name not in places:
                raise DataError(f"{where}: {name} has no attributes or no points in Anno/")
            items.append(Item(images / name, (answers[name], places[name]), persons.get(name, "")))
        return items

    def load(self, item: Item, image: NDArray[np.uint8]) -> Sample:
        """See FolderSource.load."""
        answers, points = item.label
        labels = {"attributes": answers, "gender": int(answers[MALE])}
        return Sample(image, box_from_five_points(points.reshape(5, 2)), labels)


def table(path: Path, columns: Sequence[str], what: str) -> dict[str, NDArray[np.float64]]:
    """Image name -> its numbers, from a file with a count, the columns' names, and a row for each image.

    Raises:
        DataError: if the file is missing, has other columns, or ends early.
    """
    lines = lines_of(path, what)
    if len(lines) < 2 or lines[1].split() != list(columns):
        raise DataError(f"{path}: line 2 should name the columns {' '.join(columns)}")
    rows = {}
    for number, line in enumerate(lines[2:], start=3):
        name, _, values = line.partition(" ")
        rows[name] = numbers_of(values, len(columns), f"{path} line {number}")
    if lines[0] != str(len(rows)):
        raise DataError(f"{path}: {len(rows)} rows, but its first line says {lines[0]}: it may be cut off")
    return rows


def attributes(path: Path) -> dict[str, NDArray[np.float32]]:
    """Image name -> (40,) of 0 or 1, from a file with -1 and 1.

    Raises:
        DataError: see ``table``; or if there is another value.
    """
    rows = table(path, CELEBA_ATTRIBUTES, "CelebA's 40 attributes")
    for name, values in rows.items():
        if not np.isin(values, (-1, 1)).all():
            raise DataError(f"{path}: an attribute of {name} is neither -1 nor 1")
    return {name: (values > 0).astype(np.float32) for name, values in rows.items()}


def identities(path: Path) -> dict[str, str]:
    """Image name -> person, from identity_CelebA.txt, which the authors give on request; {} without it."""
    if not path.exists():
        return {}
    return {line.partition(" ")[0]: line.partition(" ")[2].strip() for line in lines_of(path, "identities")}
