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
from collections.abc import Iterable, Iterator
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
from faceperc.data.source import Sample, Source, data_folder, decode_image, read_rows
from faceperc.errors import ConfigError, DataError
from faceperc.heads.parsing import SetMask

_NO_TASKS = ("image", "box", "identity")
_SPLIT_NAMES = {"train": ("train",), "val": ("validation", "val", "valid", "dev"), "test": ("test",)}

_Table = tuple[str, list[str], Iterable[dict[str, Any]]]  # where it is, names of its columns, rows


class HuggingFaceDataset(Source):
    """Photographs of a data set on disk, or on the Hub where ``download`` allows it.

    Parquet files are read as they are. Other forms (image folders, saved data sets, the Hub) need the package
    `datasets`.

    Args:
        path: a folder, relative to the data folder (FACEPERC_DATA) where not absolute; or a name on the Hub.
        columns: what the columns mean; see above.
        name: of the source; the last part of ``path`` by default.
        licence: of the photographs and labels, for the record of a model that learns from them.
        download: take ``path`` for a name on the Hub and download it.
        weight, splits, balance: see Source. The split "val" may be called "validation".
        side: photographs are kept as the face's surroundings with at most this longer side, in pixels.

    Raises:
        ConfigError: if ``columns`` contains something unknown, or nothing tells where the face is.
    """

    name: str  # type: ignore[misc]  # given with the data, not with the class
    origin: str  # type: ignore[misc]
    licence: str  # type: ignore[misc]

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
    ) -> None:
        super().__init__(weight, splits, balance)
        self.path = path
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
        """See Source.read. Rows without a box are left out.

        Raises:
            ConfigError: if a column does not exist or has a value that its map does not name, or `datasets`
                is needed and not installed.
            DataError: if the data is missing or damaged.
        """
        samples: list[Sample] = []
        for where, names, rows in self._tables(folder, split):
            self._check(names, where)
            for index, row in enumerate(rows):
                if limit is not None and len(samples) >= limit:
                    return samples
                sample = self._sample(row, f"{where} row {index}")
                if sample is not None:
                    samples.append(shrink(sample, self.side))
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
            yield str(path), _names_of(path), read_rows(path, wanted)

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
        return f"{where} {name}", list(table.column_names), table

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
            if isinstance(label, SetMask) and label.sets.shape != image.shape[:2]:
                raise DataError(
                    f"{where}: the mask has {label.sets.shape} pixels, its image {image.shape[:2]}"
                )
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
            return box_from_landmarks(labels["landmarks"]) if "landmarks" in labels else None
        if entry.fractions:
            return box_from_fractions(entry.fractions, image.shape)
        return None if row[entry.column] is None else entry.box(row[entry.column], where)


def _belongs(path: Path, split: str) -> bool:
    """Whether a file belongs to a split, by the first word of its name or of a folder's."""
    words = {re.split(r"[-_.]", part)[0] for part in path.parts}
    return bool(words & set(_SPLIT_NAMES.get(split, (split,))))


def _names_of(path: Path) -> list[str]:
    """Names of a parquet file's columns."""
    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read, not a readable parquet file ({error})") from error
