"""A source of labelled photographs: where it lies, what it labels, and how its labels become ours."""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from jsonargparse import ArgumentError, ArgumentParser
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from faceperc.errors import ConfigError, DataError

#: Names the folder with the parquet pack where no configuration does.
DATA_VARIABLE = "FACEPERC_DATA"


@dataclass
class Sample:
    """One face in one photograph, with the labels that its source gives.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        box: (4,) x0, y0, x1, y1 of the face in image pixels, hairline to chin.
        labels: task -> label in image coordinates, in the form that the task's head takes.
        trust: task -> weight in (0, 1) of a label that is trusted less than a person's; 1 where absent.
        derived: tasks whose labels were computed from other labels: to learn from, not to measure by.
        name: file and row, for messages.
        groups: whom the photograph shows, e.g. {"age": "20-39"}: for metrics by group, never a target.
    """

    image: NDArray[np.uint8]
    box: NDArray[np.float64]
    labels: dict[str, Any]
    trust: dict[str, float] = field(default_factory=dict)
    derived: frozenset[str] = frozenset()
    name: str = ""
    groups: dict[str, str] = field(default_factory=dict)


def data_folder(path: str | os.PathLike[str] | None = None) -> Path:
    """The folder of the parquet pack: the argument, or the environment variable FACEPERC_DATA.

    Raises:
        DataError: if neither is given or the folder does not exist.
    """
    given = path or os.environ.get(DATA_VARIABLE)
    if not given:
        raise DataError(f"no data folder: set data.path in the configuration or the variable {DATA_VARIABLE}")
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise DataError(f"{folder}: the data folder does not exist")
    return folder


class ParquetSource(ABC):
    """Photographs in `<folder>/<name>/<split>.parquet`: a row each, an `image` struct with the file's bytes.

    A subclass says in ``sample`` what a row's columns mean.

    Args:
        weight: share of this source in the mix, relative to the other sources.
        splits: splits that are read; a source may serve validation only.
    """

    name: ClassVar[str]
    #: One line each for the model card.
    origin: ClassVar[str]
    licence: ClassVar[str]

    def __init__(self, weight: float = 1.0, splits: tuple[str, ...] = ("train", "val")) -> None:
        self.weight = weight
        self.splits = splits

    @abstractmethod
    def sample(self, row: dict[str, Any], image: NDArray[np.uint8]) -> Sample | None:
        """The row's face and labels, or None if the row is of no use here."""

    def read(self, folder: Path, split: str, limit: int | None = None) -> list[Sample]:
        """All usable rows of a split, decoded.

        Args:
            folder: the pack's folder.
            split: "train" or "val".
            limit: read at most this many rows.

        Raises:
            DataError: if the file is missing or no parquet file, or an image in it is damaged.
        """
        path = folder / self.name / f"{split}.parquet"
        samples = []
        for index, row in enumerate(read_rows(path)):
            if limit is not None and index >= limit:
                break
            where = f"{path} row {index}"
            try:
                sample = self.sample(row, decode_image(row["image"]["bytes"], where))
            except KeyError as error:
                raise DataError(f"{path}: no column {error.args[0]!r}") from error
            if sample is not None:
                sample.name = where
                samples.append(sample)
        return samples


def load_sources(path: str | os.PathLike[str] | None = None) -> list[ParquetSource]:
    """The sources of a YAML list as in configs/data/pack.yaml, which is the default.

    Raises:
        ConfigError: if the file is missing or names something unknown.
    """
    chosen = (
        Path(path)
        if path is not None
        else Path(str(resources.files("faceperc.configs") / "data" / "pack.yaml"))
    )
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--sources", type=list[ParquetSource])
    try:
        sources: list[ParquetSource] = parser.instantiate_classes(
            parser.parse_object({"sources": yaml.safe_load(chosen.read_text())})
        ).sources
    except (OSError, ArgumentError, yaml.YAMLError) as error:
        raise ConfigError(f"{chosen}: no usable list of sources ({error})") from error
    return sources


def decode_image(data: bytes, where: str) -> NDArray[np.uint8]:
    """Encoded bytes -> (H, W, 3) uint8 RGB.

    Raises:
        DataError: naming ``where`` if the bytes are no readable image.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{where}: the image cannot be decoded ({error})") from error


def decode_labels(data: bytes, where: str) -> NDArray[np.uint8]:
    """Encoded single-channel PNG -> (H, W) uint8 class ids."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return np.asarray(picture)
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{where}: the mask cannot be decoded ({error})") from error


def read_rows(path: Path, columns: Collection[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a parquet file, a few hundred in memory at a time.

    Args:
        path: the file.
        columns: read only those of these columns that the file has; all by default.

    Raises:
        DataError: if the file is missing or is no parquet file.
    """
    if not path.is_file():
        raise DataError(f"{path}: missing; the data folder needs this file (see the configuration's sources)")
    try:
        with pq.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if columns is None or name in columns]
            for batch in file.iter_batches(batch_size=256, columns=names):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read, not a readable parquet file ({error})") from error
