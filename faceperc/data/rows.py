"""Rows of parquet files, and what lies in their columns: images and arrays as bytes.

Needs NumPy, Pillow and pyarrow only, so that a teacher can read and write them in an environment of its own.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray
from PIL import Image, UnidentifiedImageError

from faceperc.errors import DataError, UsageError

T = TypeVar("T")


def read_rows(path: Path, columns: Collection[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a parquet file, a few hundred in memory at a time.

    Args:
        path: the file.
        columns: read only those of these columns that the file has; all by default.

    Raises:
        DataError: if the file is missing or is no parquet file.
    """
    for _, row in numbered_rows(path, range(count_rows(path)), columns):
        yield row


def count_rows(path: Path) -> int:
    """How many rows a parquet file has.

    Raises:
        DataError: if the file is missing or is no parquet file.
    """
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def numbered_rows(
    path: Path, chosen: Sequence[int], columns: Collection[str] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Some rows of a parquet file with their numbers, a few hundred in memory at a time.

    Args:
        path: the file.
        chosen: numbers of the rows from 0, in ascending order.
        columns: read only those of these columns that the file has; all by default.

    Raises:
        DataError: if the file is missing or is no parquet file.
    """
    numbers = np.asarray(chosen, dtype=np.int64)
    with _opened(path) as file:
        names = [name for name in file.schema_arrow.names if columns is None or name in columns]
        start = 0
        for batch in file.iter_batches(batch_size=256, columns=names):
            stop = start + batch.num_rows
            inside = numbers[slice(*np.searchsorted(numbers, (start, stop)))]
            rows = batch if len(inside) == batch.num_rows else batch.take(pa.array(inside - start))
            yield from zip(inside.tolist(), rows.to_pylist(), strict=True)
            start = stop


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """The parquet file. Raises DataError naming it if it is missing or damaged."""
    if not path.is_file():
        raise DataError(f"{path}: missing; the data folder needs this file (see the configuration's sources)")
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read, not a readable parquet file ({error})") from error


def spread(things: Sequence[T], limit: int | None) -> list[T]:
    """At most ``limit`` of some things, spread evenly over their order; all of them where None.

    Files are sorted by person, class or folder: the first of them are no fair choice.

    Raises:
        UsageError: if ``limit`` is negative.
    """
    if limit is not None and limit < 0:
        raise UsageError(f"a limit is a number from 0 on; got {limit}")
    if limit is None or limit >= len(things):
        return list(things)
    return [things[int(index)] for index in np.linspace(0, len(things) - 1, limit)]


def decode_image(data: bytes, where: str) -> NDArray[np.uint8]:
    """Encoded bytes -> (H, W, 3) uint8 RGB.

    Raises:
        DataError: naming ``where`` if the bytes are no readable image.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return np.asarray(picture.convert("RGB"))
    except UnidentifiedImageError as error:
        raise DataError(f"{where}: the image cannot be decoded (no known file format)") from error
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{where}: the image cannot be decoded ({error})") from error


def digest(data: bytes) -> str:
    """SHA-256 of an image file's bytes, hexadecimal: the photograph's name that nothing else can have."""
    return hashlib.sha256(data).hexdigest()


def pack_arrays(**arrays: ArrayLike) -> bytes:
    """Arrays by name -> the bytes of a compressed .npz file."""
    stream = io.BytesIO()
    named: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
    np.savez_compressed(stream, **named)
    return stream.getvalue()
