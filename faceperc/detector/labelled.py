"""Photographs that somebody else labelled, as every reader of ``faceperc.detector.adapters`` gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from faceperc.data.folder import tell_left_out
from faceperc.data.rows import decode_image
from faceperc.errors import DataError

Array = NDArray[np.float64]
T = TypeVar("T")

# cosines of the angle between where the face looks and where the camera is: to 90 degrees half of a face can
# be seen at least, beyond 110 hardly more than a cheek
_FACE_SEEN, _FACE_HIDDEN = 0.0, float(np.cos(np.radians(110)))


@dataclass(frozen=True)
class LabelledFace:
    """One face, or a region of which nothing is to be learned.

    Attributes:
        box: (4,) x0, y0, x1, y1 in image pixels, (0, 0) the centre of the top left pixel: hairline to chin.
            Of a head seen from behind, the face's box as if one could look through the head.
        points: (5, 2) image pixels: the subject's right eye, left eye, nose tip, right and left mouth corner.
            A point that nobody labelled is NaN; None if all are.
        rotation: (3, 3) head to camera (docs/contract.md), or None.
        visible: whether a face can be seen; False of a head seen from behind, None where nobody says.
        ignore: ``box`` is a region that counts neither as a face nor as none.
    """

    box: Array
    points: Array | None = None
    rotation: Array | None = None
    visible: bool | None = None
    ignore: bool = False


@dataclass(frozen=True)
class LabelledPhoto:
    """A photograph, not yet decoded, and the faces in it.

    Attributes:
        source: name of the source, a key of ``faceperc.detector.adapters.LICENCES``.
        path_or_bytes: the image's file, or its bytes.
        size: width, height in pixels as they are stored: an EXIF orientation is not applied.
        faces: what is labelled.
        complete: whether everybody whose face can be seen is labelled; otherwise there may be more faces.
    """

    source: str
    path_or_bytes: Path | bytes
    size: tuple[int, int]
    faces: list[LabelledFace]
    complete: bool = True

    def data(self) -> bytes:
        """The encoded image. Raises DataError naming the file if it cannot be read."""
        if isinstance(self.path_or_bytes, bytes):
            return self.path_or_bytes
        try:
            return self.path_or_bytes.read_bytes()
        except OSError as error:
            raise DataError(f"{self.path_or_bytes}: cannot be read ({error.strerror or error})") from error

    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB. Raises DataError naming the file if it is missing or damaged."""
        where = f"an image of {self.source}" if isinstance(self.path_or_bytes, bytes) else self.path_or_bytes
        return decode_image(self.data(), str(where))


def image_size(path: Path) -> tuple[int, int]:
    """Width, height of an image file from its header; the pixels are not decoded.

    Raises:
        DataError: naming the file if it is missing or no image.
    """
    try:
        with Image.open(path) as picture:
            return picture.size
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: no image of a known file format") from error
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: the image cannot be read ({error})") from error


def gather(name: str, items: Sequence[T], read: Callable[[T], LabelledPhoto | None]) -> list[LabelledPhoto]:
    """The photographs of some items in order, their headers read in threads.

    Items whose files are missing or damaged are named in a warning and left out.

    Args:
        name: of the source, for messages.
        items: what ``read`` takes.
        read: gives an item's photograph, None if it is of no use, or raises DataError.

    Raises:
        DataError: if there is no item, or none can be read.
    """
    if not items:
        raise DataError(f"{name}: the label files list no photograph")
    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(partial(_attempt, read), items))
    errors = [str(outcome) for outcome in outcomes if isinstance(outcome, DataError)]
    photos = [outcome for outcome in outcomes if isinstance(outcome, LabelledPhoto)]
    tell_left_out(name, errors, len(items), len(photos))
    return photos


def _attempt(read: Callable[[T], LabelledPhoto | None], item: T) -> LabelledPhoto | DataError | None:
    try:
        return read(item)
    except DataError as error:
        return error


def face_seen(rotation: Array) -> bool | None:
    """Whether a head turned like this shows its face: True within 90 degrees of the camera, False beyond 110.

    Args:
        rotation: (3, 3) head to camera.
    """
    towards = rotation[2, 2]  # of the face's axis, the part that points to the viewer
    return True if towards >= _FACE_SEEN else False if towards < _FACE_HIDDEN else None
