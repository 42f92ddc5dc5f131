"""A source of labelled photographs: where it lies, what it labels, and how its labels become ours."""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from importlib import resources
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jsonargparse import ArgumentError, ArgumentParser
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from faceperc._find_config import find_config
from faceperc.data.rows import count_rows, decode_image, digest, numbered_rows, spread
from faceperc.errors import ConfigError, DataError
from faceperc.licences import terms_of

#: Names the folder with the parquet pack where no configuration does.
DATA_VARIABLE = "FACEPERC_DATA"


@dataclass(frozen=True)
class EncodedImage:
    """A photograph that is decoded when it is needed: large data sets fit into memory that way.

    Attributes:
        data: bytes of an image file.
        where: file and row, for messages.
    """

    data: bytes
    where: str

    def decode(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB. Raises DataError if the bytes are no readable image."""
        return decode_image(self.data, self.where)


@dataclass
class Sample:
    """One face in one photograph, with the labels that its source gives.

    Attributes:
        image: (H, W, 3) uint8 RGB, or a file's bytes; ``pixels`` gives the former of both.
        box: (4,) x0, y0, x1, y1 of the face in image pixels, hairline to chin.
        labels: task -> label in image coordinates, in the form that the task's head takes.
        trust: task -> weight in (0, 1) of a label that is trusted less than a person's; 1 where absent.
        derived: tasks whose labels were computed from other labels: to learn from, not to measure by.
        name: file and row, for messages.
        groups: whom the photograph shows, e.g. {"age": "20-39"}: for metrics by group, never a target.
        identity: person or video, where the source knows; one identity never lies in two splits.
        digest: ``faceperc.data.rows.digest`` of the image's file: a teacher's labels are found by it.
    """

    image: NDArray[np.uint8] | EncodedImage
    box: NDArray[np.float64]
    labels: dict[str, Any]
    trust: dict[str, float] = field(default_factory=dict)
    derived: frozenset[str] = frozenset()
    name: str = ""
    groups: dict[str, str] = field(default_factory=dict)
    identity: str = ""
    digest: str = ""

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB; decoded at every access where the image is encoded."""
        return self.image.decode() if isinstance(self.image, EncodedImage) else self.image

    def to_measure_by(self) -> Sample:
        """The same face without labels that were computed from other labels."""
        return replace(self, labels={k: label for k, label in self.labels.items() if k not in self.derived})


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


class Source(ABC):
    """Labelled photographs of one origin.

    Args:
        weight: share of this source in the mix, relative to the other sources.
        splits: splits that are read; a source may serve validation only.
        balance: an exclusive-class task (e.g. ``expression``) whose rare classes are drawn more often in
            training: a class of n samples counts as sqrt(n) does (square-root sampling, as in Mahajan et al.,
            "Exploring the Limits of Weakly Supervised Pretraining", ECCV 2018).
    """

    #: No two sources of a list share it: files, figures and the weights' record go by it.
    name: str
    #: One line each for the model card.
    origin: str
    licence: str
    #: What the owners allow, as in ``faceperc.licences``; by the text of ``licence`` where empty.
    terms: str = ""

    def __init__(
        self, weight: float = 1.0, splits: tuple[str, ...] = ("train", "val"), balance: str | None = None
    ) -> None:
        self.weight = weight
        self.splits = splits
        self.balance = balance

    def facts(self) -> list[dict[str, str]]:
        """Name, origin, licence and terms of the source and of whatever else its labels come from."""
        own = {"name": self.name, "origin": self.origin, "licence": self.licence, "terms": self.terms}
        return [own | {"terms": terms_of(own)}]

    @abstractmethod
    def read(
        self, folder: str | os.PathLike[str] | None, split: str, limit: int | None = None
    ) -> list[Sample]:
        """The usable samples of a split.

        Args:
            folder: the data folder (see ``data_folder``); a source that knows its own place ignores it.
            split: one of ``splits``.
            limit: read at most this many photographs, spread evenly over the split.

        Raises:
            DataError: if a file is missing or damaged.
        """


class ParquetSource(Source):
    """Photographs in `<folder>/<name>/<split>.parquet`: a row each, an `image` struct with the file's bytes.

    A subclass says in ``sample`` what a row's columns mean.
    """

    @abstractmethod
    def sample(self, row: dict[str, Any], image: NDArray[np.uint8]) -> Sample | None:
        """The row's face and labels, or None if the row is of no use here."""

    def read(
        self, folder: str | os.PathLike[str] | None, split: str, limit: int | None = None
    ) -> list[Sample]:
        """See Source.read: all usable rows of a split, decoded."""
        path = data_folder(folder) / self.name / f"{split}.parquet"
        samples = []
        for index, row in numbered_rows(path, spread(range(count_rows(path)), limit)):
            where = f"{path} row {index}"
            try:
                sample = self.sample(row, decode_image(row["image"]["bytes"], where))
            except KeyError as error:
                raise DataError(f"{path}: no column {error.args[0]!r}") from error
            if sample is not None:
                sample.name = where
                sample.digest = digest(row["image"]["bytes"])
                samples.append(sample)
        return samples


def load_sources(path: str | os.PathLike[str] | None = None) -> list[Source]:
    """The sources of a YAML list as in configs/data/pack.yaml, which is the default.

    Args:
        path: the user's, or ``configs/...`` of the package.

    Raises:
        UsageError: if there is no such file.
        ConfigError: if it names something unknown, or two sources have one name.
    """
    chosen = (
        find_config(os.fspath(path))
        if path is not None
        else Path(str(resources.files("faceperc.configs") / "data" / "pack.yaml"))
    )
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--sources", type=list[Source])
    try:
        sources: list[Source] = parser.instantiate_classes(
            parser.parse_object({"sources": yaml.safe_load(chosen.read_text())})
        ).sources
    except (OSError, ValueError, TypeError, ArgumentError, yaml.YAMLError) as error:
        raise ConfigError(f"{chosen}: no usable list of sources ({error})") from error
    check_names(sources)
    return sources


def check_names(sources: Iterable[Source]) -> None:
    """Raise ConfigError if two sources have the same name: one's figures would replace the other's."""
    name, count = max(Counter(source.name for source in sources).items(), key=itemgetter(1), default=("", 0))
    if count > 1:
        raise ConfigError(
            f"{count} sources are called {name!r}, so one's files and figures would replace the other's: "
            "leave one out, or give it another name (the argument 'name', where its class has one)"
        )


def decode_labels(data: bytes, where: str) -> NDArray[np.uint8]:
    """Encoded PNG of 8 bits, a palette's numbers, or black and white (0 and 1) -> (H, W) uint8 class ids.

    Raises:
        DataError: naming ``where`` if the bytes are no readable image, or one of other pixels.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.mode not in ("L", "P", "1"):
                raise DataError(
                    f"{where}: the mask's pixels are of Pillow's mode {picture.mode!r}; a mask has one "
                    "channel of 8 bits (L), a palette (P), or 1 bit"
                )
            return np.asarray(picture).astype(np.uint8)
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{where}: the mask cannot be decoded ({error})") from error
