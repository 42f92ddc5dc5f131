"""FaceCrop: the one place where image pixels become crop pixels and back.

Training, evaluation, export and prediction all crop with this class, so a half-pixel slip cannot hide in
one of them. Coordinates are (x, y) in pixels; (0, 0) is the CENTRE of the top left pixel, in the image and
in the crop, so an image of width W spans x from -0.5 to W - 0.5.

Only NumPy and Pillow are used: both halves of the project import this file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from faceperc.errors import UsageError

Array = NDArray[np.float64]
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True)
class CropRule:
    """How a face box becomes a square crop. It travels with the model, in the ONNX metadata.

    Attributes:
        size: side of the crop in pixels.
        scale: side of the crop's region as a multiple of the longer side of the face box.
        shift: centre of the region, moved by this fraction of the longer side (x, y); negative y is up.
    """

    size: int
    scale: float = 1.5
    shift: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class FaceCrop:
    """A square, possibly rotated region of an image, resampled to ``size`` x ``size`` pixels.

    Attributes:
        centre: centre of the region in image pixels, (x, y).
        side: side of the region in image pixels, > 0.
        size: side of the crop in pixels.
        angle: clockwise rotation of the region in the image, degrees. A head rolled clockwise by ``angle``
            stands upright in the crop.
    """

    centre: tuple[float, float]
    side: float
    size: int
    angle: float = 0.0

    @classmethod
    def from_box(cls, box: ArrayLike, rule: CropRule, angle: float = 0.0) -> FaceCrop:
        """Crop for a face box.

        Args:
            box: (4,) x0, y0, x1, y1 in image pixels: tight, from hairline to chin.
            rule: the crop rule of the model.
            angle: clockwise rotation of the region, degrees.

        Raises:
            UsageError: if the box is not four finite numbers with x1 > x0 and y1 > y0.
        """
        x0, y0, x1, y1 = check_box(box)
        longer = max(x1 - x0, y1 - y0)
        centre = ((x0 + x1) / 2 + rule.shift[0] * longer, (y0 + y1) / 2 + rule.shift[1] * longer)
        return cls(centre, rule.scale * longer, rule.size, angle)

    @property
    def scale(self) -> float:
        """Crop pixels per image pixel."""
        return self.size / self.side

    @property
    def matrix(self) -> Array:
        """(2, 3) affine from image pixels to crop pixels."""
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        linear = self.scale * np.array([[cos, sin], [-sin, cos]])
        middle = (self.size - 1) / 2  # centre of the crop where (0, 0) is a pixel's centre
        return np.column_stack([linear, middle - linear @ np.asarray(self.centre)])

    @property
    def inverse_matrix(self) -> Array:
        """(2, 3) affine from crop pixels to image pixels."""
        linear = np.linalg.inv(self.matrix[:, :2])
        return np.column_stack([linear, -linear @ self.matrix[:, 2]])

    def to_crop(self, points: ArrayLike) -> Array:
        """(..., 2) image pixels -> (..., 2) crop pixels."""
        return _apply(self.matrix, points)

    def to_image(self, points: ArrayLike) -> Array:
        """(..., 2) crop pixels -> (..., 2) image pixels."""
        return _apply(self.inverse_matrix, points)

    def length_to_image(self, lengths: ArrayLike) -> Array:
        """Lengths in crop pixels -> lengths in image pixels."""
        return np.asarray(lengths, dtype=np.float64) / self.scale

    def rotation_to_crop(self, rotation: ArrayLike) -> Array:
        """(..., 3, 3) head rotation seen in the image -> the one seen in the crop."""
        return _roll_matrix(-self.angle) @ np.asarray(rotation, dtype=np.float64)

    def rotation_to_image(self, rotation: ArrayLike) -> Array:
        """(..., 3, 3) head rotation seen in the crop -> the one seen in the image."""
        return _roll_matrix(self.angle) @ np.asarray(rotation, dtype=np.float64)

    @property
    def region(self) -> Array:
        """(4,) x0, y0, x1, y1 of the region's outer border in image pixels; only for an unrotated crop."""
        half = self.side / 2
        x, y = self.centre
        return np.array([x - half, y - half, x + half, y + half])

    def warp(self, image: NDArray[np.uint8], fill: int = 0, bend: Array | None = None) -> NDArray[np.uint8]:
        """Resample the region, bilinearly; large regions are area-averaged first, so nothing aliases.

        Args:
            image: (H, W, 3) or (H, W) uint8.
            fill: value of crop pixels that lie outside the image.
            bend: (3, 3) homography that moves the crop's pixels, in the same resampling.

        Returns:
            (size, size, 3) or (size, size) uint8.
        """
        factor = max(1, int(self.side / self.size))
        part, offset = _part_for(image, self, factor, bend)
        picture = Image.fromarray(part)
        matrix = np.column_stack([self.inverse_matrix[:, :2], self.inverse_matrix[:, 2] - offset])
        if factor > 1:
            picture = picture.reduce(factor)
            # pixel i of the small picture covers the part's pixels i * factor ... i * factor + factor - 1
            matrix = np.column_stack([matrix[:, :2], matrix[:, 2] - (factor - 1) / 2]) / factor
        return np.array(_transform(picture, matrix, self.size, Image.Resampling.BILINEAR, fill, bend))

    def warp_labels(
        self, labels: NDArray[np.generic], size: int, fill: int = 0, bend: Array | None = None
    ) -> NDArray[np.int32]:
        """Resample an integer label map of the image by nearest neighbour.

        Args:
            labels: (H, W) integers of the image.
            size: side of the result, which covers the same region as the crop; may differ from ``self.size``.
            fill: label of pixels that lie outside the image.
            bend: (3, 3) homography that moves the pixels of a crop of this size.

        Returns:
            (size, size) int32.
        """
        crop = FaceCrop(self.centre, self.side, size, self.angle)
        part, offset = _part_for(labels, crop, 1, bend)
        picture = Image.fromarray(np.ascontiguousarray(part, dtype=np.int32), mode="I")
        matrix = np.column_stack([crop.inverse_matrix[:, :2], crop.inverse_matrix[:, 2] - offset])
        return np.array(_transform(picture, matrix, size, Image.Resampling.NEAREST, fill, bend))


def check_box(box: ArrayLike) -> Array:
    """(4,) float64 x0, y0, x1, y1 of a usable box.

    Raises:
        UsageError: if it is not four finite numbers with x1 > x0 and y1 > y0.
    """
    array = np.asarray(box, dtype=np.float64)
    if array.shape != (4,) or not np.isfinite(array).all():
        raise UsageError(f"a face box is four finite numbers x0, y0, x1, y1 in pixels; got {box!r}")
    if array[2] <= array[0] or array[3] <= array[1]:
        raise UsageError(f"a face box needs x1 > x0 and y1 > y0; got {array.tolist()}")
    return array


def box_from_landmarks(points: ArrayLike) -> Array:
    """(4,) face box of (68, 2) iBUG points: their bounding box, its top moved up by 25 % of its height.

    Points that are NaN, unknown, do not count; NaN where all are.
    """
    array = np.asarray(points, dtype=np.float64)
    x0, y0 = np.fmin.reduce(array, axis=0)
    x1, y1 = np.fmax.reduce(array, axis=0)
    return np.array([x0, y0 - 0.25 * (y1 - y0), x1, y1])


def bent(homography: ArrayLike, points: ArrayLike) -> Array:
    """(..., 2) points that a (3, 3) homography moves."""
    moved = _apply(np.asarray(homography, dtype=np.float64), points)
    return moved[..., :2] / moved[..., 2:]


def _apply(matrix: Array, points: ArrayLike) -> Array:
    return np.asarray(points, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]


def _roll_matrix(angle: float) -> Array:
    """Head rotation by ``angle`` degrees clockwise in the image (camera x right, y up, z to the viewer)."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])


def _part_for(image: NDArray[T], crop: FaceCrop, factor: int, bend: Array | None) -> tuple[NDArray[T], Array]:
    """The part of the image that the crop needs, cut at multiples of ``factor``, and the (x, y) where it
    begins. A crop that lies wholly outside the image gets the image's first pixel, which it does not see."""
    if bend is None:
        angle = math.radians(crop.angle)
        reach = crop.side * (abs(math.cos(angle)) + abs(math.sin(angle))) / 2
    else:
        first, last = -0.5, crop.size - 0.5
        border = [(first, first), (last, first), (first, last), (last, last)]
        reach = float(np.abs(crop.to_image(bent(np.linalg.inv(bend), border)) - crop.centre).max())
    height, width = image.shape[:2]
    x, y = crop.centre
    left, top = (max(0, math.floor(v - reach) - factor) // factor * factor for v in (x, y))
    right = min(width, math.ceil(x + reach) + factor)
    bottom = min(height, math.ceil(y + reach) + factor)
    if right <= left or bottom <= top:
        return image[:1, :1], np.zeros(2)
    return image[top:bottom, left:right], np.array([left, top], dtype=np.float64)


def _transform(
    picture: Image.Image, matrix: Array, size: int, resample: int, fill: int, bend: Array | None
) -> Image.Image:
    # Pillow maps pixel corners: it wants the affine for coordinates in which (0.5, 0.5) is the centre of
    # the top left pixel, so both sides are moved by half a pixel.
    shift = matrix[:, 2] + 0.5 - 0.5 * matrix[:, :2].sum(axis=1)
    (a, b), (d, e) = matrix[:, :2]
    data: tuple[float, ...] = (a, b, shift[0], d, e, shift[1])
    method = Image.Transform.AFFINE
    if bend is not None:
        half = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
        backwards = np.reshape([*data, 0, 0, 1], (3, 3)) @ half @ np.linalg.inv(bend) @ np.linalg.inv(half)
        data = tuple((backwards / backwards[2, 2]).ravel()[:8])
        method = Image.Transform.PERSPECTIVE
    fillcolor = (fill,) * 3 if picture.mode == "RGB" else fill
    return picture.transform(
        (size, size), method, data, resample=Image.Resampling(resample), fillcolor=fillcolor
    )
