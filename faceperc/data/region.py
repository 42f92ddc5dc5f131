"""The part of a photograph that training needs, at the resolution that it needs: the face and what is around.

Photographs of several megapixels become a few ten kilobytes, once, and their labels follow.
"""

from __future__ import annotations

import dataclasses
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from faceperc.data.rows import digest
from faceperc.data.source import EncodedImage, Sample

#: Side of the region as a multiple of the face box's longer side: room for a turned, shifted, enlarged crop.
_MARGIN = 2.6
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class Region:
    """A rectangle of an image, resampled.

    Attributes:
        box: x0, y0, x1, y1 in whole image pixels; x1 and y1 are excluded.
        size: width and height after resampling.
    """

    box: tuple[int, int, int, int]
    size: tuple[int, int]

    @classmethod
    def around(cls, face: ArrayLike, shape: tuple[int, ...], side: int) -> Region:
        """The surroundings of a face box inside an image.

        Args:
            face: (4,) x0, y0, x1, y1.
            shape: (H, W, ...) of the image.
            side: the longer side after resampling is at most this; nothing is enlarged.
        """
        x0, y0, x1, y1 = np.asarray(face, dtype=np.float64)
        half = _MARGIN / 2 * max(x1 - x0, y1 - y0)
        centre_x, centre_y = (x0 + x1) / 2, (y0 + y1) / 2
        left, right = (int(np.clip(centre_x + k * half, 0, shape[1])) for k in (-1, 1))
        top, bottom = (int(np.clip(centre_y + k * half, 0, shape[0])) for k in (-1, 1))
        if right <= left or bottom <= top:  # the box lies outside: nothing to gain
            left, top, right, bottom = 0, 0, shape[1], shape[0]
        shrink = min(1.0, side / max(right - left, bottom - top))
        size = max(1, round((right - left) * shrink)), max(1, round((bottom - top) * shrink))
        return cls((left, top, right, bottom), size)

    def points(self, points: ArrayLike) -> NDArray[np.float64]:
        """(..., 2) image pixels -> (..., 2) pixels of the region; (0, 0) is a pixel's centre in both."""
        x0, y0, x1, y1 = self.box
        factor = np.array(self.size) / [x1 - x0, y1 - y0]
        return (np.asarray(points, dtype=np.float64) - [x0 - 0.5, y0 - 0.5]) * factor - 0.5

    def pixels(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) -> (h, w, 3), averaged over the pixels that a new one covers."""
        return np.asarray(Image.fromarray(image).resize(self.size, Image.Resampling.BOX, box=self.box))

    def labels(self, labels: NDArray[Any]) -> NDArray[Any]:
        """(H, W) integer map -> (h, w), the value at each new pixel's centre."""
        x0, y0, x1, y1 = self.box
        width, height = self.size
        columns = x0 + ((np.arange(width) + 0.5) * (x1 - x0) / width).astype(int)
        rows = y0 + ((np.arange(height) + 0.5) * (y1 - y0) / height).astype(int)
        return labels[rows[:, None], columns]


def shrink(sample: Sample, side: int) -> Sample:
    """The sample's region around its face, as a JPEG in memory; labels that are places follow.

    Args:
        sample: with its pixels. Points (see ``is_points``) follow; a label with a method ``in_region`` (such
            as ``SetMask``) knows how to; others do not depend on the place.
        side: longer side of the region in pixels, at most.
    """
    image = sample.pixels
    region = Region.around(sample.box, image.shape, side)
    stream = io.BytesIO()
    Image.fromarray(region.pixels(image)).save(stream, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return dataclasses.replace(
        sample,
        image=EncodedImage(stream.getvalue(), sample.name),
        box=region.points(sample.box.reshape(2, 2)).reshape(4),
        labels={task: _follow(label, region) for task, label in sample.labels.items()},
        digest=digest(stream.getvalue()),
    )


def _follow(label: Any, region: Region) -> Any:
    if hasattr(label, "in_region"):
        return label.in_region(region)
    if is_points(label):
        return np.hstack([region.points(label[:, :2]), label[:, 2:]])
    return label


def is_points(label: Any) -> bool:
    """Whether a label is points: (K, 2) x, y, or (K, 3) x, y, visibility; but (3, 3) is a rotation."""
    is_table = isinstance(label, np.ndarray) and label.ndim == 2 and label.shape[1] in (2, 3)
    return is_table and not is_rotation(label)


def is_rotation(label: Any) -> bool:
    """Whether a label is a rotation matrix, (3, 3)."""
    return isinstance(label, np.ndarray) and label.shape == (3, 3)
