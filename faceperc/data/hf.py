"""Any image data set in the forms of Hugging Face `datasets`; a mapping in YAML says what its columns mean.

    - class_path: faceperc.data.hf.HuggingFaceDataset
      init_args:
        path: my-faces          # a folder; or, with download: true, a name on the Hub
        columns:
          image: image
          box: { column: bbox, format: xywh }
          expression: { column: label, map: { 0: anger, 1: happiness, 2: null } }
          age: { column: years, trust: 0.5 }
          identity: person
          groups: [country]

`image` names the photographs. `box` is a column, or `fractions: [x0, y0, x1, y1]` of the image where faces
always lie at the same place; without it the box follows from 68 `landmarks`. `identity` is a column, `groups`
are columns that metrics can be split by. Every other key is a task; see ``faceperc.data.columns.Column``.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from faceperc._names import unknown_name
from faceperc.crop import box_from_landmarks
from faceperc.data.boxes import box_from_fractions
from faceperc.data.columns import Column, file_bytes
from faceperc.data.region import shrink
from faceperc.data.rows import count_rows, decode_image, numbered_rows, spread
from faceperc.data.source import Sample, Source, data_folder
from faceperc.data.validity import checked
from faceperc.errors import ConfigError, DataError
from faceperc.licences import checked_terms

_NO_TASKS = ("image", "box", "identity")
_SPLIT_NAMES = {"train": ("train",), "val": ("validation", "val", "valid", "dev"), "test": ("test",)}

_Row = tuple[int, dict[str, Any]]  # its number and its values by column


@dataclass(frozen=True)
class _Table:
    """One file of a split.

    Attributes:
        where: its name, for messages.
        columns: names of its columns.
        count: how many rows it has.
        rows: gives those of the rows that are asked for, by their numbers from 0.
    """

    where: str
    columns: list[str]
    count: int
    rows: Callable[[list[int]], Iterable[_Row]]


class HuggingFaceDataset(Source):
    """Photographs of a data set on disk, or on the Hub where ``download`` allows it.

    Parquet files are read as they are. Other forms (image folders, saved data sets, the Hub) need the package
    `datasets`.

    Args:
        path: a folder, relative to the data folder (FACEPERC_DATA) where not absolute; or a name on the Hub.
        columns: what the columns mean; see above.
        name: of the source; the last part of ``path`` by default.
        licence: of the photographs and labels, for the record of a model that learns from them.
        terms: what their owners allow: ``research``, ``own``, ``synthetic`` or the SPDX identifier of a
            permissive licence. By the licence where not given; unknown text counts as research.
        download: take ``path`` for a name on the Hub and download it.
        weight, splits, balance: see Source. The split "val" may be called "validation".
        side: photographs are kept as the face's surroundings with at most this longer side, in pixels.

    Raises:
        ConfigError: if ``columns`` contains something unknown, nothing tells where the face is, or the terms
            are none.
    """

    def __init__(
        self,
        path: str,
        columns: dict[str, Any],
        name: str | None = None,
        licence: str = "not stated",
        download: bool = False,
        weight: float = 1.0,
        splits: tuple[str, ...] = ("train", "val"),
        balance: str | None = None,
        side: int = 320,
        terms: str = "",
    ) -> None:
        super().__init__(weight, splits, balance)
        self.path = path
        self.terms = checked_terms(terms) if terms else ""
        self.name = name or Path(path).name
        self.origin = f"Hugging Face data set {path}"
        self.licence = licence
        self.download = download
        self.side = side
        self.groups: list[str] = columns.get("groups", [])
        self.columns = {key: Column.parse(key, each) for key, each in columns.items() if key != "groups"}
        if "image" not in self.columns:
            raise ConfigError("columns.image: missing; it names the column of the photographs")
        if not {"box", "landmarks"} & set(self.columns):
            raise ConfigError("columns.box: missing; give a column, or fractions: [x0, y0, x1, y1]")

    def read(
        self, folder: str | os.PathLike[str] | None, split: str, limit: int | None = None
    ) -> list[Sample]:
        """See Source.read. Rows without a box are left out; the limit counts them.

        Raises:
            ConfigError: if a column does not exist or has a value that its map does not name, or `datasets`
                is needed and not installed.
            DataError: if the data is missing or damaged, no row has a face box, or one is none or lies
                outside its image.
        """
        samples: list[Sample] = []
        tables = list(self._tables(folder, split))
        chosen, start = spread(range(sum(table.count for table in tables)), limit), 0
        for table in tables:
            self._check(table.columns, table.where)
            stop = start + table.count
            own = chosen[bisect_left(chosen, start) : bisect_left(chosen, stop)]
            for index, row in table.rows([number - start for number in own]):
                sample = self._sample(row, f"{table.where} row {index}")
                if sample is not None:
                    samples.append(shrink(checked(sample, sample.name), self.side))
            start = stop
        if not samples and limit != 0:
            raise DataError(
                f"{self.path}: none of the {len(chosen)} rows read of the split {split!r} has a face box; "
                "check 'columns.box'"
            )
        return samples

    def _tables(self, folder: str | os.PathLike[str] | None, split: str) -> Iterator[_Table]:
        if self.download:
            yield self._by_datasets(self.path, split)
            return
        given = Path(self.path).expanduser()
        root = given if given.is_absolute() else data_folder(folder) / given
        if not root.is_dir():
            raise DataError(f"{root}: no such folder (a name on the Hub needs download: true)")
        files = sorted(root.rglob("*.parquet"))
        if not files:
            yield self._by_datasets(str(root), split)
            return
        chosen = [path for path in files if _belongs(path.relative_to(root), split)]
        if not chosen:
            raise DataError(f"{root}: no parquet file of the split {split!r}, such as {split}-00000.parquet")
        wanted = {each.column for each in self.columns.values()} | set(self.groups)
        for path in chosen:
            rows = partial(numbered_rows, path, columns=wanted)
            yield _Table(str(path), _names_of(path), count_rows(path), rows)

    def _by_datasets(self, where: str, split: str) -> _Table:
        try:
            import datasets
        except ImportError as error:
            raise ConfigError(
                f"{where}: anything but a folder of parquet files needs the package datasets: "
                "pip install datasets"
            ) from error
        try:
            saved = Path(where, "dataset_dict.json").is_file()
            data = datasets.load_from_disk(where) if saved else datasets.load_dataset(where)
        except (OSError, ValueError) as error:
            raise DataError(f"{where}: cannot be loaded by datasets ({error})") from error
        name = next((name for name in _SPLIT_NAMES.get(split, (split,)) if name in data), None)
        if name is None:
            raise DataError(f"{where}: no split {split!r}; it has {', '.join(data)}")
        table, image = data[name], self.columns["image"].column
        if image in table.column_names:
            table = table.cast_column(image, datasets.Image(decode=False))
        numbered = partial(map, lambda index: (index, table[index]))
        return _Table(f"{where} {name}", list(table.column_names), len(table), numbered)

    def _check(self, names: list[str], where: str) -> None:
        keys = [(f"columns.{key}", each.column) for key, each in self.columns.items() if each.column]
        for key, column in keys + [("columns.groups", column) for column in self.groups]:
            if column not in names:
                raise ConfigError(f"{key}: {where}: {unknown_name('column', column, names)}")

    def _sample(self, row: dict[str, Any], where: str) -> Sample | None:
        image = decode_image(file_bytes(row[self.columns["image"].column], where), where)
        labels, trust = {}, {}
        for task, entry in self.columns.items():
            if task in _NO_TASKS or row[entry.column] is None:
                continue
            label = entry.label(row[entry.column], where)
            if label is not None:
                labels[task] = label
                if entry.trust < 1:
                    trust[task] = entry.trust
        box = self._box(row, image, labels, where)
        if box is None:
            return None
        person = self.columns.get("identity")
        return Sample(
            image,
            box,
            labels,
            trust=trust,
            name=where,
            groups={column: str(row[column]) for column in self.groups},
            identity=str(row[person.column]) if person else "",
        )

    def _box(
        self, row: dict[str, Any], image: NDArray[np.uint8], labels: dict[str, Any], where: str
    ) -> NDArray[np.float64] | None:
        entry = self.columns.get("box")
        if entry is None:
            return box_from_landmarks(labels["landmarks"][:, :2]) if "landmarks" in labels else None
        if entry.fractions:
            return box_from_fractions(entry.fractions, image.shape)
        return None if row[entry.column] is None else entry.box(row[entry.column], where)


def _belongs(path: Path, split: str) -> bool:
    """Whether a file belongs to a split, by the first word of its name, or of the innermost folder's that
    names a split."""
    own = _SPLIT_NAMES.get(split, (split,))
    known = {*own, *chain.from_iterable(_SPLIT_NAMES.values())}
    words = [re.split(r"[-_.]", part)[0] for part in path.parts]
    return next((word for word in reversed(words) if word in known), None) in own


def _names_of(path: Path) -> list[str]:
    """Names of a parquet file's columns."""
    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read, not a readable parquet file ({error})") from error
