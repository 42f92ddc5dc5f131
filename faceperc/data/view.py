"""A view of an image: crop, bend, possibly mirror. Labels of every kind follow the pixels through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceperc.crop import FaceCrop, bent
from faceperc.data.cover import Cover

T = TypeVar("T", bound=np.generic)

#: Assumed focal length of a crop's camera, in sides of the crop: a portrait from an arm's length.
FOCAL = 2.0
_MIRROR = np.diag([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class View:
    """A crop of an image, bent as another camera would see it, mirrored left to right where ``flip`` is set.

    Attributes:
        crop: the region.
        flip: mirror it.
        visible: x0, y0, x1, y1 in whole image pixels, x1 and y1 excluded: what lies outside is blanked, and
            its labels are unknown. Everything is visible where None.
        turn: the camera is turned about the image's x and y axes by this rotation vector, degrees. The
            region's centre stays where it is.
        aspect: width of what was square over its height.
        cover: something that hides part of the view's pixels.

    Only geometry happens here. What a mirror means for names (left eye, point 36) is the head's to say:
    it reorders its points or classes where ``flip`` is set.
    """

    crop: FaceCrop
    flip: bool = False
    visible: tuple[int, int, int, int] | None = None
    turn: tuple[float, float] = (0.0, 0.0)
    aspect: float = 1.0
    cover: Cover | None = None

    @property
    def size(self) -> int:
        """Side of the view in pixels."""
        return self.crop.size

    def pixels(self, image: NDArray[np.uint8], fill: int = 0) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 image -> (size, size, 3) uint8 view, without its cover."""
        warped = self.crop.warp(self._blank(image, fill), fill, self.bend(self.size))
        return np.ascontiguousarray(warped[:, ::-1]) if self.flip else warped

    def points(self, points: ArrayLike) -> NDArray[np.float64]:
        """(..., 2) image pixels -> (..., 2) view pixels, in the same order."""
        inside = self.crop.to_crop(points)
        bend = self.bend(self.size)
        if bend is not None:
            inside = bent(bend, inside)
        if self.flip:
            inside[..., 0] = self.size - 1 - inside[..., 0]
        return inside

    def rotation(self, rotation: ArrayLike) -> NDArray[np.float64]:
        """(..., 3, 3) head rotation in the image -> the one in the view. A mirror negates yaw and roll.

        Both are rotations seen along the line of sight to the region's centre, as landmarks or a tight crop
        show them: where the region lies in the photograph does not matter. So a turned camera changes
        nothing: in its own axes the head's rotation is Q R, but the line of sight is Q z as well, and along
        it one sees Q^T Q R = R. Nor does a stretch D = diag(a, b): the affine camera that fits the stretched
        points is D P, P the first two rows of R, and the rotation nearest to it is R again (D P = I D P is
        its singular value decomposition); what remains is a head of another shape.
        """
        inside = self.crop.rotation_to_crop(rotation)
        return _MIRROR @ inside @ _MIRROR if self.flip else inside

    def labels(
        self, labels: NDArray[np.generic], size: int, fill: int = 0, thing: int | None = None
    ) -> NDArray[np.int32]:
        """(H, W) integer map of the image -> (size, size) map of the view's region.

        Args:
            labels: the map.
            size: side of the result.
            fill: label where nothing is known: outside the image, under a patch and under a hand.
            thing: label of another thing that hides the face; ``fill`` by default.
        """
        warped = self.crop.warp_labels(self._blank(labels, fill), size, fill, self.bend(size))
        warped = np.ascontiguousarray(warped[:, ::-1]) if self.flip else warped
        if self.cover is not None:
            known = thing if self.cover.is_background else None
            warped[self.cover.hidden(size)] = fill if known is None else known
        return warped

    def bend(self, size: int) -> NDArray[np.float64] | None:
        """(3, 3) homography of the pixels of a crop of this size: turn and aspect; None if there is neither.

        A camera turned by Q sees what lay at x at K Q K^-1 x (Hartley & Zisserman, Multiple View Geometry,
        section 8.4.2): it needs no depth. K has the focal length ``FOCAL`` and its principal point at the
        region's centre, which is moved back to the view's centre afterwards.
        """
        if self.aspect == 1.0 and self.turn == (0.0, 0.0):
            return None
        middle, focal = (size - 1) / 2, FOCAL * size
        to_pixels = np.array([[focal, 0.0, middle], [0.0, focal, middle], [0.0, 0.0, 1.0]])
        turn = cv2.Rodrigues(np.radians([*self.turn, 0.0]))[0]
        back = np.eye(3)
        back[:2, 2] = -turn[:2, 2] / turn[2, 2]
        stretch = np.diag([self.aspect**0.5, self.aspect**-0.5, 1.0])
        return to_pixels @ stretch @ back @ turn @ np.linalg.inv(to_pixels)

    def _blank(self, image: NDArray[T], fill: int) -> NDArray[T]:
        if self.visible is None:
            return image
        x0, y0, x1, y1 = (max(0, value) for value in self.visible)
        blank = np.full_like(image, fill)
        blank[y0:y1, x0:x1] = image[y0:y1, x0:x1]
        return blank
