"""Photographs of one's own: found faces where no box is given, and people held out for validation.

What `CsvSource` and `ClassFolders` share. Their labels are texts, which the heads of the model that learns
turn into labels: see ``understood``.
"""

from __future__ import annotations

import os
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from numpy.typing import NDArray

from faceperc._names import unknown_name
from faceperc.data.folder import FolderSource, Item
from faceperc.data.source import Sample, data_folder
from faceperc.detect import FaceDetector
from faceperc.errors import ConfigError, DataError, ImageError
from faceperc.head import Head
from faceperc.image import read_image
from faceperc.licences import checked_terms
from faceperc.runtime import OnnxModel
from faceperc.zoo import DEFAULT_DETECTOR, find_model


class OwnSource(FolderSource):
    """Photographs of the user's own.

    Args:
        root: where they are; relative to the working directory, or else to the data folder.
        weight, splits, balance, side: see FolderSource.
        val_percent: the share of people, or of photographs where people have no names, that is held out as
            the split "val" where the data names no splits itself. The choice depends on their names alone.
        name: of the source, in metrics and in the record of the model; that of ``root`` by default.
        origin, licence: of the photographs and labels, for the record of the model.
        terms: what their owners allow: ``own``, ``research``, ``synthetic`` or the SPDX identifier of a
            permissive licence. Where empty the licence counts if it is one; else ``research``.

    Raises:
        ConfigError: if ``val_percent`` or the terms cannot be.
    """

    name = "own"
    known_splits: ClassVar[tuple[str, ...]] = ("train", "val")
    extra_splits: ClassVar[tuple[str, ...]] = ("test",)

    def __init__(
        self,
        root: str,
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
        if not 0 <= val_percent < 100:
            raise ConfigError(f"val_percent lies in [0, 100); got {val_percent}")
        if splits is None and not val_percent:
            splits = ("train",)
        super().__init__(root, weight, splits, balance, 0.0, side, name or Path(root).stem)
        self.held_out_percent = val_percent  # not FolderSource's, which knows no "at least one"
        self.origin = origin
        self.licence = licence
        self.terms = checked_terms(terms) if terms else ""

    def place(self, folder: str | os.PathLike[str] | None = None) -> Path:
        """See FolderSource.place; a file counts as well as a folder."""
        given = Path(self.root).expanduser()
        path = given if given.exists() or given.is_absolute() else data_folder(folder) / given
        if not path.exists():
            raise DataError(f"{path}: missing; {self.name} expects there: {self.layout}")
        return path

    def pixels(self, item: Item) -> NDArray[np.uint8]:
        """(H, W, 3) RGB, upright as prediction sees it: a camera's note of how it was held is followed."""
        try:
            return read_image(item.image)
        except ImageError as error:
            raise DataError(str(error)) from error

    def box_of(self, item: Item, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(4,) box of the largest face that the bundled detector finds. Raises DataError if there is none."""
        boxes, _ = self._detector.detect(image)
        if not len(boxes):
            raise DataError(f"{item.name}: no face is found; give its box in the columns x0, y0, x1, y1")
        largest: NDArray[np.float64] = boxes[np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).argmax()]
        return largest

    @cached_property
    def _detector(self) -> FaceDetector:
        return FaceDetector(OnnxModel(find_model(DEFAULT_DETECTOR), threads=1))

    def part(self, items: Sequence[Item], split: str) -> list[Item]:
        """Of items that no split is named for, those of "train" or "val"; of "test" none.

        The people whose names have the lowest checksums are held out: at least one where there are two.
        """
        people = sorted(
            {person_of(item) for item in items}, key=lambda each: (zlib.crc32(each.encode()), each)
        )
        wanted = round(len(people) * self.held_out_percent / 100)
        count = min(max(wanted, 1), len(people) - 1) if self.held_out_percent else 0
        chosen = {"val": set(people[:count]), "train": set(people[count:])}.get(split, set())
        return [item for item in items if person_of(item) in chosen]


def person_of(item: Item) -> str:
    """The person in a photograph, or where unknown the photograph's name."""
    return item.identity or item.image.name


def understood(samples: Iterable[Sample], heads: Mapping[str, Head]) -> list[Sample]:
    """The samples with labels that the heads take, where they were texts. What no head asks for is left out.

    Args:
        samples: of any source; labels that are no texts stay as they are.
        heads: task -> head.

    Raises:
        DataError: naming the row if a head does not understand a text; or if there are texts, but none is for
            any of the heads.
    """
    kept, unasked, asked = [], defaultdict(list), False
    for sample in samples:
        texts = {task: label for task, label in sample.labels.items() if isinstance(label, str | dict)}
        labels: dict[str, Any] = {task: label for task, label in sample.labels.items() if task not in texts}
        for task, text in texts.items():
            if task not in heads:
                unasked[task].append(sample.name)
                continue
            asked = True
            try:
                labels[task] = heads[task].from_text(text)
            except DataError as error:
                raise DataError(f"{sample.name}: {task}: {error}") from error
        sample.labels = labels
        kept.append(sample)
    if heads:  # a pretraining has none
        _tell_unasked(unasked, heads, asked)
    return kept


def _tell_unasked(unasked: Mapping[str, list[str]], heads: Mapping[str, Head], asked: bool) -> None:
    for task, names in unasked.items():
        message = f"{names[0]}: {unknown_name('task', task, heads)}"
        if not asked:
            raise DataError(f"{message}; no column is a task of the model")
        rank_zero_warn(f"{message}; the column is not used")
