"""A CSV file of labels beside photographs of one's own; docs/finetuning.md describes the columns."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceperc._names import unknown_name
from faceperc.data.folder import Item
from faceperc.data.own import OwnSource, person_of
from faceperc.data.source import Sample
from faceperc.errors import ConfigError, DataError

_BOX = ("x0", "y0", "x1", "y1")
_RESERVED = ("image", *_BOX, "split", "person", "weight")
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class _Row:
    """What a row says, beside its image, person and split.

    Attributes:
        where: file and line, for messages.
        box: the face, where the row says it.
        trust: weight of its labels.
        labels: task -> cell, or label -> cell.
    """

    where: str
    box: NDArray[np.float64] | None
    trust: float
    labels: dict[str, str | dict[str, str]]


class CsvSource(OwnSource):
    """The rows of a CSV file, a face each: `image`, and a column for each task.

    The columns `x0`, `y0`, `x1`, `y1` (face box in pixels), `split` (train, val or test), `person` and
    `weight` (trust in the row's labels, in (0, 1]) may be there; `task.label` is one label of a task of
    several yes/no questions. An empty cell says nothing, and a column without a name is not read. Where a box
    is missing the detector finds the largest face.

    Args:
        root: the file.
        images: the folder that the names of the images are relative to: from the working directory, or else
            from the file's folder, which it is by default.
        weight, splits, balance, val_percent, side, name, origin, licence, terms: see OwnSource.
    """

    layout = "a CSV file whose first line names the columns, one of them image"

    def __init__(
        self,
        root: str,
        images: str | None = None,
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
        self.images = images

    def items(self, root: Path, split: str) -> list[Item]:
        """See FolderSource.items: the rows of the split; "train" and "val" share those that name none."""
        folder = self._images(root)
        named = [_item(folder, f"{root} line {line}", row) for line, row in _rows(root)]
        # a person whom some rows put into a split is in it altogether
        homes: dict[str, str] = {}
        for item, own in named:
            person = person_of(item)
            if own and homes.setdefault(person, own) != own:
                raise DataError(
                    f"{item.label.where}: {person} is in the split {own} here, in {homes[person]} by another "
                    "row, but nobody is in two splits"
                )
        placed = [(item, own or homes.get(person_of(item), "")) for item, own in named]
        return [item for item, own in placed if own == split] + self.part(
            [item for item, own in placed if not own], split
        )

    def _images(self, root: Path) -> Path:
        if self.images is None:
            return root.parent
        given = Path(self.images).expanduser()
        for folder in (given, root.parent / given):
            if folder.is_dir():
                return folder
        raise ConfigError(f"{given}: there is no such folder of images, neither here nor beside {root}")

    def load(self, item: Item, image: NDArray[np.uint8]) -> Sample:
        """See FolderSource.load."""
        row: _Row = item.label
        box = self.box_of(item, image) if row.box is None else row.box
        trust = dict.fromkeys(row.labels, row.trust) if row.trust < 1 else {}
        return Sample(image, box, dict(row.labels), trust=trust)

    def open(self, item: Item) -> Sample | None:
        """See FolderSource.open; the sample's name tells the line as well."""
        sample = super().open(item)
        if sample is not None:
            sample.name = f"{item.label.where} ({item.image.name})"
        return sample


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells of each row, by column, stripped; empty cells are left out.

    Raises:
        DataError: if the file cannot be read, lacks the column `image`, or a row has another number of cells.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(",;\t", key=header.count), strict=True)
            columns = [name.strip() for name in next(reader, [])]
            _check_columns(path, columns)
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(columns):
                    raise DataError(
                        f"{path} line {reader.line_num}: {len(cells)} cells, but {len(columns)} columns"
                    )
                row = {key: cell.strip() for key, cell in zip(columns, cells, strict=True) if cell.strip()}
                row.pop("", None)  # a column without a name, as pandas writes its index
                yield reader.line_num, row
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not written in UTF-8 ({error}); save it so") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table of text ({error})") from error


def _check_columns(path: Path, columns: list[str]) -> None:
    if doubled := {name for name in columns if name and columns.count(name) > 1}:
        raise DataError(f"{path}: two columns are called {sorted(doubled)[0]!r}")
    if "image" not in columns:
        raise DataError(f"{path}: no column 'image'; it has {', '.join(columns) or 'no columns'}")
    if 0 < len(set(_BOX) & set(columns)) < len(_BOX):
        raise DataError(f"{path}: a face box needs all of the columns {', '.join(_BOX)}")


def _item(folder: Path, where: str, row: dict[str, str]) -> tuple[Item, str]:
    """The photograph of a row, and the split that it names, or nothing."""
    if "image" not in row:
        raise DataError(f"{where}: no image")
    split = row.get("split", "")
    if split and split not in _SPLITS:
        raise DataError(f"{where}: {unknown_name('split', split, _SPLITS)}")
    given = [name for name in _BOX if name in row]
    if given and len(given) < len(_BOX):
        raise DataError(f"{where}: a part of the face box is missing")
    box = np.array([_number(row[name], name, where) for name in _BOX]) if given else None
    trust = _number(row.get("weight", "1"), "weight", where)
    if not 0 < trust <= 1:
        raise DataError(f"{where}: weight: lies in (0, 1]; got {trust:g}")
    labels: dict[str, str | dict[str, str]] = {}
    for column, cell in row.items():
        task, _, label = column.partition(".")
        if column in _RESERVED:
            continue
        if not label:
            labels[task] = cell
        elif isinstance(cells := labels.setdefault(task, {}), dict):
            cells[label] = cell
        else:
            raise DataError(f"{where}: {task} has a column of its own and {column}")
    # without persons the rows of a photograph are one, and not those of its namesake in another folder
    person = row.get("person", row["image"])
    return Item(folder / row["image"], _Row(where, box, trust, labels), person), split


def _number(text: str, column: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: {column}: {text!r} is no number")
    return value
