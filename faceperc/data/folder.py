"""Data sets in the layout in which their authors distribute them: label files beside folders of images."""

from __future__ import annotations

import os
import zlib
from abc import abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from numpy.typing import NDArray
from tqdm import tqdm

from faceperc.data.region import shrink
from faceperc.data.rows import decode_image, spread
from faceperc.data.source import Sample, Source, data_folder
from faceperc.data.validity import checked
from faceperc.errors import ConfigError, DataError

_NAMED = 5  # damaged files that a warning names


def tell_left_out(where: str, errors: list[str], total: int, kept: int) -> None:
    """Warn of photographs that could not be read, naming the first of them.

    Args:
        where: source and split, for the message.
        errors: what is wrong with each; none, and nothing is said.
        total: photographs that there were.
        kept: photographs that are left.

    Raises:
        DataError: with the same text if none is left.
    """
    if not errors:
        return
    named = "; ".join(errors[:_NAMED]) + ("; ..." if len(errors) > _NAMED else "")
    message = f"{where}: {len(errors)} of {total} photographs left out: {named}"
    if not kept:
        raise DataError(message)
    rank_zero_warn(message)


@dataclass(frozen=True)
class Item:
    """A photograph and what the label files say about it, before either is opened.

    Attributes:
        image: the image file.
        label: whatever the source's ``load`` needs: a row of the label file, the paths of masks.
        identity: person or video, so that nobody lies in two splits; the image's own name where unknown.
        row: place in ``image`` where that file holds many photographs.
    """

    image: Path
    label: Any = None
    identity: str = ""
    row: int | None = None

    @property
    def name(self) -> str:
        """The file, and the row if it has many: for messages."""
        return str(self.image) if self.row is None else f"{self.image} row {self.row}"


class FolderSource(Source):
    """A data set that its authors distribute as folders. A subclass lists its items and loads one.

    Args:
        root: the data set's folder; relative to the data folder (FACEPERC_DATA) where not absolute.
        weight, balance: see Source.
        splits: splits that are read; ``known_splits`` by default, and "val" with ``val_percent``.
        val_percent: hold this share of the training identities out as the split "val", for data sets whose
            authors give none. The choice depends on the identity's name alone.
        side: photographs are kept as the face's surroundings with at most this longer side, in pixels.
        name: of the source, where the class's own is another source's in the same list.

    Raises:
        ConfigError: if the data set has no such split.
    """

    #: Splits that the authors distribute.
    known_splits: ClassVar[tuple[str, ...]] = ("train", "test")
    #: Splits that come apart from the others: read where ``splits`` names them.
    extra_splits: ClassVar[tuple[str, ...]] = ()
    #: What must lie in ``root``, for the message when it does not.
    layout: ClassVar[str]

    def __init__(
        self,
        root: str,
        weight: float = 1.0,
        splits: tuple[str, ...] | None = None,
        balance: str | None = None,
        val_percent: float = 0.0,
        side: int = 320,
        name: str | None = None,
    ) -> None:
        if name:
            self.name = name
        own = tuple(dict.fromkeys((*self.known_splits, *(("val",) if val_percent else ()))))
        unknown = set(splits or ()) - {*own, *self.extra_splits}
        if unknown:
            there = ", ".join((*own, *self.extra_splits))
            hint = "; val_percent holds some of the training set out" if "val" in unknown else ""
            raise ConfigError(f"{self.name} has no split {', '.join(sorted(unknown))}: {there}{hint}")
        super().__init__(weight, own if splits is None else splits, balance)
        self.root = root
        self.val_percent = val_percent
        self.side = side

    @abstractmethod
    def items(self, root: Path, split: str) -> list[Item]:
        """What the authors' ``split`` holds, from the label files; no image is opened.

        Raises:
            DataError: if a label file is missing or damaged; ``lines_of`` and ``existing`` raise it.
        """

    @abstractmethod
    def load(self, item: Item, image: NDArray[np.uint8]) -> Sample | None:
        """The face and its labels in the pixels of the whole photograph, or None if it is of no use.

        Args:
            item: one of ``items``.
            image: (H, W, 3) RGB, see ``pixels``.

        Raises:
            DataError: if a file that belongs to it is missing or damaged.
        """

    def pixels(self, item: Item) -> NDArray[np.uint8]:
        """(H, W, 3) RGB of an item; the image file decoded, unless a subclass keeps photographs elsewhere.

        Raises:
            DataError: naming the file if it is missing or damaged.
        """
        try:
            data = item.image.read_bytes()
        except OSError as error:
            raise DataError(f"{item.image}: cannot be read ({error.strerror or error})") from error
        return decode_image(data, item.name)

    def place(self, folder: str | os.PathLike[str] | None = None) -> Path:
        """The data set's folder. Raises DataError if it does not exist."""
        root = Path(self.root).expanduser()
        path = root if root.is_absolute() else data_folder(folder) / root
        if not path.is_dir():
            raise DataError(f"{path}: no such folder; {self.name} expects there: {self.layout}")
        return path

    def split_items(self, root: Path, split: str) -> list[Item]:
        """The items of a split, "val" held out of "train" where ``val_percent`` says so.

        Raises:
            DataError: if the authors' split is empty, and as ``items``.
        """
        is_parted = bool(self.val_percent) and split in ("train", "val")
        authors = "train" if is_parted else split
        items = self.items(root, authors)
        if not items:
            raise DataError(
                f"{root}: no photographs of the split {authors!r}; {self.name} expects there: {self.layout}"
            )
        if not is_parted:
            return items
        return [item for item in items if self._held_out(item) == (split == "val")]

    def _held_out(self, item: Item) -> bool:
        name = item.identity or Path(item.name).name
        return zlib.crc32(name.encode()) % 10_000 < 100 * self.val_percent

    def open(self, item: Item) -> Sample | None:
        """An item's sample, of the whole photograph, or None if it is of no use.

        Raises:
            DataError: naming the file if one is damaged, or the face box is none or lies outside.
        """
        sample = self.load(item, self.pixels(item))
        if sample is None:
            return None
        sample.name = item.name
        sample.identity = item.identity
        return checked(sample, item.name)

    def read(
        self, folder: str | os.PathLike[str] | None, split: str, limit: int | None = None
    ) -> list[Sample]:
        """See Source.read: the split's faces, each shrunken to its surroundings.

        A damaged photograph, or one with an impossible face box, is named in a warning and left out.

        Raises:
            DataError: if the folder or a label file is missing, or no photograph can be read or shows a face.
        """
        items = spread(self.split_items(self.place(folder), split), limit)
        samples, errors = [], []
        for outcome in tqdm(self._opened(items), f"{self.name} {split}", len(items), leave=False):
            if isinstance(outcome, DataError):
                errors.append(str(outcome))
            elif outcome is not None:
                samples.append(outcome)
        tell_left_out(f"{self.name} {split}", errors, len(items), len(samples))
        if items and not samples:
            raise DataError(
                f"{self.place(folder)}: none of the {len(items)} photographs of {self.name} {split} has a "
                "usable face; look at them with 'faceperc data check'"
            )
        return samples

    def _opened(self, items: list[Item]) -> Iterator[Sample | DataError | None]:
        """The shrunken samples in order, decoded in threads a few at a time."""
        with ThreadPoolExecutor() as pool:
            waiting = iter(items)
            while batch := list(islice(waiting, 256)):
                yield from pool.map(partial(_attempt, self), batch)


def _attempt(source: FolderSource, item: Item) -> Sample | DataError | None:
    try:
        sample = source.open(item)
    except DataError as error:
        return error
    return None if sample is None else shrink(sample, source.side)


def images_in(folder: Path, pattern: str = "*") -> list[Path]:
    """The JPEG, PNG and WebP files of a folder whose names match ``pattern``, in order.

    Raises:
        DataError: if there is no such folder or no such image.
    """
    paths = sorted(
        path
        for path in existing(folder, "photographs").glob(pattern)
        if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp")
    )
    if not paths:
        raise DataError(f"{folder / pattern}: no photographs there (.jpg, .jpeg, .png or .webp)")
    return paths


def existing(path: Path, what: str) -> Path:
    """The path itself. Raises DataError, saying what it should hold, if there is no such file or folder."""
    if not path.exists():
        raise DataError(f"{path}: missing; it should hold {what}")
    return path


def lines_of(path: Path, what: str) -> list[str]:
    """The lines of a label file that are not blank, stripped.

    Raises:
        DataError: if it is missing or no text.
    """
    try:
        text = existing(path, what).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def numbers_of(text: str, count: int, where: str) -> NDArray[np.float64]:
    """(count,) numbers separated by blanks or commas.

    Raises:
        DataError: naming ``where`` if there are more or fewer, or one is no number, or not a finite one.
    """
    try:
        values = np.array([float(word) for word in text.replace(",", " ").split()])
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
    if len(values) != count:
        raise DataError(f"{where}: {len(values)} numbers instead of {count}")
    if not np.isfinite(values).all():
        raise DataError(f"{where}: {values[~np.isfinite(values)][0]} is no finite number")
    return values
