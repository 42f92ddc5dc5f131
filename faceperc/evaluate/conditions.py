"""Harder conditions than a good photograph: what they do to a crop, and how much worse the answers become.

Each condition changes the crop that the network sees, so that it means the same for photographs of any size.
Nothing is random: which way a face is turned or its box is off follows from its place in the source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from faceperc.crop import CropRule, FaceCrop
from faceperc.data.cover import Cover
from faceperc.data.view import View

Pixels = NDArray[np.uint8]
Box = NDArray[np.float64]

#: How a box is wrong, in shares of its longer side: moved by (x, y), its sides multiplied by the third.
_OFF = (
    (0.15, 0.0, 1.0),
    (-0.15, 0.0, 1.0),
    (0.0, 0.15, 1.0),
    (0.0, -0.15, 1.0),
    (0.0, 0.0, 1.15),
    (0.0, 0.0, 1 / 1.15),
)
_COVERED = 0.42  # of the box's height, from below: mouth and chin, about as a medical mask
_STOPS, _PHOTONS = 3, 1000  # low light: so many stops too dark, with the noise of so many photons at white
_GAMMA = 2.2


def _same(crop: Pixels) -> Pixels:
    return crop


@dataclass(frozen=True)
class Condition:
    """What is done to the faces of an evaluation.

    Attributes:
        name: for tables.
        angle: the crop is turned by so many degrees, every second face the other way.
        wrong_box: whether the box is off by 15 % of its longer side: moved to one of four sides, too large or
            too small, in turn.
        covered: whether a patch hides the lower face. What is under it is not measured of masks.
        change: (S, S, 3) uint8 crop -> the crop that the network sees.
    """

    name: str
    angle: float = 0.0
    wrong_box: bool = False
    covered: bool = False
    change: Callable[[Pixels], Pixels] = _same

    def view(self, box: Box, rule: CropRule, index: int) -> View:
        """The view of a face.

        Args:
            box: (4,) x0, y0, x1, y1 in image pixels.
            rule: the model's crop rule.
            index: the face's place in its source.
        """
        seen = _moved(box, *_OFF[index % len(_OFF)]) if self.wrong_box else box
        view = View(FaceCrop.from_box(seen, rule, self.angle if index % 2 == 0 else -self.angle))
        return replace(view, cover=_lower_face(box, view)) if self.covered else view

    def pixels(self, view: View, image: Pixels) -> Pixels:
        """(S, S, 3) uint8: what the network sees of an (H, W, 3) image."""
        crop = view.pixels(image)
        if view.cover is not None:
            crop = np.where(view.cover.opacity[..., None] > 127, np.uint8(127), crop)
        return np.ascontiguousarray(self.change(crop))


def _moved(box: Box, x: float, y: float, size: float) -> Box:
    x0, y0, x1, y1 = box
    longer = max(x1 - x0, y1 - y0)
    centre = np.array([(x0 + x1) / 2 + x * longer, (y0 + y1) / 2 + y * longer])
    half = size * np.array([x1 - x0, y1 - y0]) / 2
    return np.concatenate([centre - half, centre + half])


def _lower_face(box: Box, view: View) -> Cover:
    """A patch over the lower part of the box, as far as it is wide."""
    x0, y0, x1, y1 = box
    top = y1 - _COVERED * (y1 - y0)
    corners = view.points([(x0, top), (x1, top), (x1, y1), (x0, y1)])
    opacity = np.zeros((view.size, view.size), np.uint8)
    cv2.fillPoly(opacity, [corners.round().astype(np.int32)], 255)
    return Cover("patch", opacity)


def _half_resolution(crop: Pixels) -> Pixels:
    height, width = crop.shape[:2]
    small = cv2.resize(crop, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _jpeg(crop: Pixels) -> Pixels:
    _, data = cv2.imencode(".jpg", crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 30])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]


def _low_light(crop: Pixels) -> Pixels:
    """Three stops too dark, in linear light, with the shot noise of that little light."""
    light = (crop / 255.0) ** _GAMMA / 2**_STOPS
    random = np.random.default_rng(int(crop.sum()))  # the same noise for the same crop
    caught = random.poisson(light * _PHOTONS) / _PHOTONS
    return np.asarray((255 * np.clip(caught, 0, 1) ** (1 / _GAMMA)).round(), np.uint8)


PLAIN = Condition("as it is")
#: The conditions of the model card's robustness table.
HARDER = (
    Condition("turned 30 degrees", angle=30.0),
    Condition("half resolution", change=_half_resolution),
    Condition("JPEG quality 30", change=_jpeg),
    Condition("low light", change=_low_light),
    Condition("box off by 15 %", wrong_box=True),
    Condition("mouth covered", covered=True),
)
