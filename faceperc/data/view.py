"""A view of an image: crop, then possibly mirror. Labels of every kind follow the pixels through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceperc.crop import FaceCrop

T = TypeVar("T", bound=np.generic)

_MIRROR = np.diag([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class View:
    """A crop of an image, mirrored left to right where ``flip`` is set.

    Attributes:
        crop: the region.
        flip: mirror it.
        visible: x0, y0, x1, y1 in whole image pixels, x1 and y1 excluded: what lies outside is blanked, and
            its labels are unknown. Everything is visible where None.

    Only geometry happens here. What a mirror means for names (left eye, point 36) is the head's to say:
    it reorders its points or classes where ``flip`` is set.
    """

    crop: FaceCrop
    flip: bool = False
    visible: tuple[int, int, int, int] | None = None

    @property
    def size(self) -> int:
        """Side of the view in pixels."""
        return self.crop.size

    def pixels(self, image: NDArray[np.uint8], fill: int = 0) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 image -> (size, size, 3) uint8 view."""
        warped = self.crop.warp(self._blank(image, fill), fill)
        return np.ascontiguousarray(warped[:, ::-1]) if self.flip else warped

    def points(self, points: ArrayLike) -> NDArray[np.float64]:
        """(..., 2) image pixels -> (..., 2) view pixels, in the same order."""
        inside = self.crop.to_crop(points)
        if self.flip:
            inside[..., 0] = self.size - 1 - inside[..., 0]
        return inside

    def rotation(self, rotation: ArrayLike) -> NDArray[np.float64]:
        """(..., 3, 3) head rotation in the image -> the one in the view. A mirror negates yaw and roll."""
        inside = self.crop.rotation_to_crop(rotation)
        return _MIRROR @ inside @ _MIRROR if self.flip else inside

    def labels(self, labels: NDArray[np.generic], size: int, fill: int = 0) -> NDArray[np.int32]:
        """(H, W) integer map of the image -> (size, size) map of the view's region."""
        warped = self.crop.warp_labels(self._blank(labels, fill), size, fill)
        return np.ascontiguousarray(warped[:, ::-1]) if self.flip else warped

    def _blank(self, image: NDArray[T], fill: int) -> NDArray[T]:
        if self.visible is None:
            return image
        x0, y0, x1, y1 = (max(0, value) for value in self.visible)
        blank = np.full_like(image, fill)
        blank[y0:y1, x0:x1] = image[y0:y1, x0:x1]
        return blank
