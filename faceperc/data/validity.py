"""Cheap checks of a sample, made where it is read: a face box, and labels that fit the photograph."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from faceperc.data.source import EncodedImage, Sample
from faceperc.errors import DataError
from faceperc.heads.parsing import SetMask


def checked(sample: Sample, where: str) -> Sample:
    """The sample, without numbers that are NaN: an unknown label is none.

    Args:
        sample: of a whole photograph or of a face's surroundings.
        where: file and row, for the message.

    Raises:
        DataError: if its face box is no box or lies outside the image, or its mask has another size.
    """
    problem = _problem(sample)
    if problem:
        raise DataError(f"{where}: {problem}")
    if not any(_is_nan(label) for label in sample.labels.values()):
        return sample
    return replace(sample, labels={k: label for k, label in sample.labels.items() if not _is_nan(label)})


def _problem(sample: Sample) -> str | None:
    height, width = _size(sample)
    if sample.box.shape != (4,):
        return f"its face box has the shape {sample.box.shape}, not (4,)"
    x0, y0, x1, y1 = sample.box
    if not np.isfinite(sample.box).all() or x1 <= x0 or y1 <= y0:
        return f"its face box is no box: {np.round(sample.box, 1).tolist()}"
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        return f"its face box {np.round(sample.box, 1).tolist()} lies outside the image ({width} x {height})"
    for task, label in sample.labels.items():
        if isinstance(label, SetMask) and label.sets.shape != (height, width):
            return f"its label {task} has {label.sets.shape} pixels, but its image {(height, width)}"
    return None


def _size(sample: Sample) -> tuple[int, int]:
    """Height and width of its image; of an encoded one only the header is read."""
    if not isinstance(sample.image, EncodedImage):
        return sample.image.shape[0], sample.image.shape[1]
    try:
        with Image.open(io.BytesIO(sample.image.data)) as picture:
            return picture.height, picture.width
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{sample.image.where}: the image cannot be decoded ({error})") from error


def _is_nan(label: Any) -> bool:
    return isinstance(label, float) and bool(np.isnan(label))
