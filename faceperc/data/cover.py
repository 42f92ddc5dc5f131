"""Things that hide part of a face: hands, masks, scarves, sunglasses, and patches of anything.

Simple shapes with plausible colours, placed by 68 landmarks. What a network learns from them is to look at
the rest of the face; landmarks and head pose stay as they are ("cut-occlusion": Zhou et al.,
"Semi-Supervised Unconstrained Head Pose Estimation in the Wild", 2024).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Pixels = NDArray[np.uint8]
Array = NDArray[np.float64]
Rng = np.random.Generator

_WHOLE_SIDES = 0.4  # share of the patches that hide one side of a face
_SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates


@dataclass(frozen=True, eq=False)
class Cover:
    """Something in front of a view.

    Attributes:
        shape: one of SHAPES.
        opacity: (S, S) uint8: 0 where nothing is hidden, 255 where nothing shines through.
    """

    shape: str
    opacity: Pixels

    @property
    def is_thing(self) -> bool:
        """Whether it is an object of the scene, so that labels of the whole face may no longer hold. Behind a
        patch the face goes on."""
        return self.shape != "patch"

    @property
    def is_background(self) -> bool:
        """Whether pixels under it are background, as LaPa and CelebAMask-HQ label what hides a face. Of a
        hand nothing is said: it looks like the cheek beside it, and cheeks with holes would be learned."""
        return self.is_thing and self.shape != "hand"

    def hidden(self, size: int) -> NDArray[np.bool_]:
        """(size, size): where it hides most of what is behind it."""
        places = ((np.arange(size) + 0.5) * len(self.opacity) / size).astype(int)
        hidden: NDArray[np.bool_] = self.opacity[np.ix_(places, places)] > 127
        return hidden

    def paint(self, pixels: Pixels, random: Rng) -> Pixels:
        """(S, S, 3) uint8 view -> the view behind the cover, in random colours."""
        share = self.opacity[..., None] / np.float32(255)
        surface = _SURFACES[self.shape](pixels, self.opacity, random)
        mixed = pixels * (1 - share) + np.clip(surface, 0, 255) * share
        return np.asarray(mixed.round(), dtype=np.uint8)


def random_cover(shape: str, points: ArrayLike, size: int, random: Rng) -> Cover:
    """Place a cover.

    Args:
        shape: one of SHAPES.
        points: (68, 2) iBUG points in the view; mirrored or not.
        size: side of the view in pixels.
        random: source of all randomness.
    """
    opacity = np.zeros((size, size), np.uint8)
    SHAPES[shape](opacity, np.asarray(points, dtype=np.float64), random)
    return Cover(shape, opacity)


def _patch(opacity: Pixels, points: Array, random: Rng) -> None:
    """A rectangle of a tenth to 45 % of the face's height, its centre at one of the points; or a whole side
    of the face, most often the lower one."""
    if random.random() < _WHOLE_SIDES:
        _side(opacity, points, random)
        return
    half = random.uniform(0.05, 0.225, 2) * _height(points)
    x, y = points[random.integers(68)]
    _fill(opacity, [(x - half[0], y - half[1]), (x + half[0], y - half[1]), (x + half[0], y + half[1]),
                    (x - half[0], y + half[1])])  # fmt: skip


def _side(opacity: Pixels, points: Array, random: Rng) -> None:
    """All that lies beyond a line through the face."""
    unit, down = _height(points), _down(points)
    towards = _turned(down, random.choice([0, 0, 0, 90, -90, 180]) + random.uniform(-15, 15))
    edge = points.mean(0) + towards * random.uniform(0.0, 0.3) * unit
    across, depth = _turned(towards, 90) * 0.9 * unit, towards * unit
    _fill(opacity, [edge - across, edge + across, edge + across + depth, edge - across + depth])


def _hand(opacity: Pixels, points: Array, random: Rng) -> None:
    """Four fingers, a thumb, a palm and a forearm that come from below or the side to one of the points."""
    unit = _height(points) * random.uniform(0.7, 1.0)  # a face of this height has hands of this size
    away = _turned(_down(points), random.uniform(-80, 80))
    palm = points[random.integers(68)] + away * unit * random.uniform(0.4, 0.9)
    angle = float(np.degrees(np.arctan2(away[1], away[0])))
    cv2.ellipse(opacity, (tuple(palm), (0.72 * unit, 0.60 * unit), angle), 255, -1, cv2.LINE_AA)
    _line(opacity, palm, palm + away * 3 * unit, 0.42 * unit)
    spread = random.uniform(6, 16)
    for finger, length in zip((-1.5, -0.5, 0.5, 1.5), (0.48, 0.58, 0.55, 0.42), strict=True):
        root = palm + _turned(-away, 24 * finger) * 0.27 * unit
        tip = root + _turned(-away, spread * finger + random.uniform(-4, 4)) * length * unit
        _line(opacity, root, tip, 0.13 * unit)
    side = random.choice([-1, 1])
    root = palm + _turned(-away, 90 * side) * 0.2 * unit
    _line(opacity, root, root + _turned(-away, 50 * side) * 0.42 * unit, 0.15 * unit)


def _mask(opacity: Pixels, points: Array, random: Rng) -> None:
    """A surgical mask: from the bridge of the nose to the chin, with ribbons to the ears."""
    top = points[random.integers(28, 31)]
    jaw = points[2:15]
    chin = points[8] + 0.04 * _height(points) * _down(points)
    outline = [top, *jaw[:6], chin, *jaw[7:]]
    _fill(opacity, outline)
    for ear, edge in ((points[0], jaw[0]), (points[16], jaw[-1])):
        _line(opacity, ear, edge, 0.02 * _height(points))


def _scarf(opacity: Pixels, points: Array, random: Rng) -> None:
    """Cloth from the nose, the mouth or the chin down."""
    unit, down = _height(points), _down(points)
    across = _turned(down, -90)
    middle = points[random.choice([30, 33, 51, 57])]
    width = random.uniform(0.65, 0.9) * unit
    left, right = middle - across * width, middle + across * width
    sag, fall = random.uniform(-0.1, 0.1) * unit * down, 3 * unit * down
    _fill(opacity, [left - sag, middle + sag, right - sag, right + fall, left + fall])


def _sunglasses(opacity: Pixels, points: Array, random: Rng) -> None:
    """Two dark lenses with a bridge and temples; some light may come through."""
    unit = _height(points)
    eyes = points[36:42].mean(0), points[42:48].mean(0)
    distance = float(np.linalg.norm(eyes[1] - eyes[0]))
    angle = float(np.degrees(np.arctan2(*(eyes[1] - eyes[0])[::-1])))
    lens = (random.uniform(0.75, 0.92) * distance, random.uniform(0.26, 0.38) * unit)
    lower = _down(points) * 0.03 * unit
    for eye in eyes:
        cv2.ellipse(opacity, (tuple(eye + lower), lens, angle), 255, -1, cv2.LINE_AA)
    _line(opacity, *eyes, 0.03 * unit)
    for eye, ear in zip(eyes, (points[0], points[16]), strict=True):
        _line(opacity, eye, ear, 0.03 * unit)
    opacity[:] = (opacity * random.uniform(0.75, 1.0)).round()


#: What may hide a face, by name: each function draws its opacity.
SHAPES: dict[str, Callable[[Pixels, Array, Rng], None]] = {
    "patch": _patch,
    "hand": _hand,
    "mask": _mask,
    "scarf": _scarf,
    "sunglasses": _sunglasses,
}


def _anything(pixels: Pixels, opacity: Pixels, random: Rng) -> Array:
    """One colour, noise, or another part of the view."""
    kind = random.integers(3)
    if kind == 0:
        return np.broadcast_to(random.uniform(0, 255, 3), pixels.shape)
    if kind == 1:
        return random.integers(0, 256, pixels.shape).astype(np.float64)
    return np.roll(pixels[::-1], random.integers(len(pixels), size=2), axis=(0, 1)).astype(np.float64)


def _skin(pixels: Pixels, opacity: Pixels, random: Rng) -> Array:
    """The colour of the view's middle, where the face is; darker towards the edges of the hand."""
    size = len(pixels)
    middle = pixels[size // 3 : -(size // 3), size // 3 : -(size // 3)]
    tone = np.median(middle, axis=(0, 1)) * random.uniform(0.75, 1.2)
    depth = cv2.distanceTransform((opacity > 127).astype(np.uint8), cv2.DIST_L2, 3)
    shade = 0.6 + 0.4 * np.minimum(depth / (0.05 * size), 1.0)
    return tone * (shade * _shadow(size, random))[..., None]


def _cloth(pixels: Pixels, opacity: Pixels, random: Rng) -> Array:
    """A random colour, half of the time striped, in folds."""
    size = len(pixels)
    colour = random.uniform(20, 245, 3) if random.random() < 0.6 else np.full(3, random.uniform(20, 245))
    surface = colour * _shadow(size, random)[..., None]
    if random.random() < 0.5:
        direction = random.normal(size=2)
        across = np.add.outer(np.arange(size) * direction[1], np.arange(size) * direction[0])
        surface = surface * (1 + 0.25 * np.sin(across * random.uniform(0.2, 1.2)))[..., None]
    return surface


def _glass(pixels: Pixels, opacity: Pixels, random: Rng) -> Array:
    """A dark colour with soft reflections."""
    return random.uniform(5, 70, 3) * _shadow(len(pixels), random)[..., None]


_SURFACES: dict[str, Callable[[Pixels, Pixels, Rng], Array]] = {
    "patch": _anything,
    "hand": _skin,
    "mask": _cloth,
    "scarf": _cloth,
    "sunglasses": _glass,
}


def _shadow(size: int, random: Rng) -> Array:
    """(size, size) smooth factors of light around 1."""
    return np.asarray(
        cv2.resize(random.uniform(0.75, 1.25, (4, 4)), (size, size), interpolation=cv2.INTER_CUBIC)
    )


def _height(points: Array) -> float:
    """Extent of the face in the view, pixels: about from the brows to the chin."""
    return float(np.ptp(points, axis=0).max())


def _down(points: Array) -> Array:
    """(2,) unit vector from the brows to the chin."""
    down = points[8] - points[17:27].mean(0)
    return down / max(float(np.linalg.norm(down)), 1e-6)


def _turned(vector: Array, degrees: float) -> Array:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos, -sin], [sin, cos]]) @ vector


def _fill(opacity: Pixels, outline: ArrayLike) -> None:
    cv2.fillPoly(opacity, [_fixed(outline)], 255, cv2.LINE_AA, _SHIFT)


def _line(opacity: Pixels, start: Array, end: Array, width: float) -> None:
    cv2.line(
        opacity, _fixed(start).tolist(), _fixed(end).tolist(), 255, max(1, round(width)), cv2.LINE_AA, _SHIFT
    )


def _fixed(points: ArrayLike) -> NDArray[np.int32]:
    return np.round(np.asarray(points) * (1 << _SHIFT)).astype(np.int32)
