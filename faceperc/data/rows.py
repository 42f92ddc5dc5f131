"""Rows of parquet files, and what lies in their columns: images and arrays as bytes.

Needs NumPy, Pillow and pyarrow only, so that a teacher can read and write them in an environment of its own.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray
from PIL import Image, UnidentifiedImageError

from faceperc.errors import DataError


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
