"""Photographs sorted into a folder for each class: `photos/<class>/*.jpg`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceperc.data.folder import Item, images_in
from faceperc.data.own import OwnSource
from faceperc.data.source import Sample

_SPLITS = ("train", "val", "test")


class ClassFolders(OwnSource):
    """Folders of photographs whose names are the classes of one task.

    `train` and `val` folders with the classes' folders inside may lie between; without them a part of each
    class is held out. The detector finds the largest face of each photograph.

    Args:
        root: the folder of the classes' folders.
        task: the task that the classes belong to.
        weight, splits, balance, val_percent, side, name, origin, licence, terms: see OwnSource.
    """

    layout = "<class>/*.jpg, or train/<class>/*.jpg and val/<class>/*.jpg"

    def __init__(
        self,
        root: str,
        task: str,
        weight: float = 1.0,
        splits: tuple[str, ...] | None = None,
        balance: str | None = None,
        val_percent: float = 20.0,
        side: int = 320,
        name: str | None = None,
        origin: str = "the user's own photographs",
        licence: str = "not stated",
        terms: str = "",
    ) -> None:
        super().__init__(root, weight, splits, balance, val_percent, side, name, origin, licence, terms)
        self.task = task

    @property
    def classes(self) -> list[str]:
        """The classes' names, in order: those of the folders."""
        root = self.place()
        return sorted({folder.name for parent in _splits(root) or [root] for folder in _folders(parent)})

    def items(self, root: Path, split: str) -> list[Item]:
        """See FolderSource.items."""
        is_split = bool(_splits(root))
        parent = root / split if is_split else root
        items: list[Item] = []
        for folder in _folders(parent):
            own = [Item(path, folder.name) for path in images_in(folder)]
            items += own if is_split else self.part(own, split)
        return items

    def load(self, item: Item, image: NDArray[np.uint8]) -> Sample:
        """See FolderSource.load."""
        return Sample(image, self.box_of(item, image), {self.task: item.label})


def _splits(root: Path) -> list[Path]:
    """The folders of the splits; none where the classes' folders lie in ``root`` itself."""
    return [root / each for each in _SPLITS if (root / each).is_dir()]


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))
