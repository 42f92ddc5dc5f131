"""Training pictures for the detector: photographs pasted onto scenes, so that faces of every size occur.

The pack holds portraits; a detector must also find groups and small faces. A canvas is one of four layouts:
a portrait (one photograph, any size), a crowd (many small ones on a scene), a grid of tiles, or a scene as it
is. After Mosaic (Bochkovskiy et al., YOLOv4, 2020) and Copy-Paste (Ghiasi et al., CVPR 2021). Pixel (0, 0)
has its centre at the origin, here and in OpenCV's affine warp.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from faceperc.detector.sources import RENDERED, Photo
from faceperc.detector.targets import (
    BOX,
    HEAD,
    IGNORE,
    WEIGHT,
    moved_head,
    moved_region,
    region_row,
    target_array,
)
from faceperc.errors import DataError

Image = NDArray[np.uint8]
Array = NDArray[np.float64]
Rng = np.random.Generator
Angle = Callable[[], float]  # degrees, another one at each call
Clip = tuple[int, int, int, int]  # x0, y0, x1, y1: pixels x0 ... x1 - 1

MIN_FACE = 10.0  # a head with a shorter longer side is ignored, px
MOST_ENLARGED = 4.0  # a photograph is enlarged by no more: in a crowd's, faces may have a dozen pixels
MIN_VISIBLE = 0.5  # so is a head of which less than this part of its box can be seen


@dataclass
class Canvas:
    """A picture in the making.

    Attributes:
        image: (S, S, 3) uint8 RGB.
        targets: rows (WIDTH,) of `faceperc.detector.targets`, in canvas pixels.
    """

    image: Image
    targets: list[Array]

    @property
    def size(self) -> int:
        """Side in pixels."""
        return self.image.shape[0]

    def target_array(self) -> NDArray[np.float32]:
        """(M, WIDTH) float32 targets."""
        return target_array(self.targets)


@dataclass(frozen=True)
class Pool:
    """Where canvases come from.

    Attributes:
        photos: photographs by source, with faces or with the back of a head.
        scenes: backgrounds and negatives, a few with faces.
        weights: how often each source of photographs is taken, in proportion.
    """

    photos: dict[str, list[Photo]]
    scenes: list[Photo]
    weights: dict[str, float]

    def photo(self, rng: Rng) -> Photo:
        """A random photograph, by the sources' weights."""
        names = [name for name in self.photos if self.photos[name]]
        weights = np.array([self.weights.get(name, 0.0) for name in names])
        photos = self.photos[names[rng.choice(len(names), p=weights / weights.sum())]]
        return photos[rng.integers(len(photos))]

    def scene(self, rng: Rng) -> Photo:
        """A random scene."""
        return self.scenes[rng.integers(len(self.scenes))]


def compose(rng: Rng, pool: Pool, size: int, max_angle: float = 25.0, turned: float = 0.0) -> Canvas:
    """A random canvas without colour augmentation: the same generator state gives the same canvas.

    Args:
        rng: source of all randomness.
        pool: photographs and scenes.
        size: side of the canvas in pixels.
        max_angle: photographs are rotated by up to this many degrees (one in ten by up to twice as many).
        turned: share of the photographs that are rotated by any angle instead.
    """

    def angle() -> float:
        if turned and rng.random() < turned:
            return float(rng.uniform(-180, 180))
        return float(rng.uniform(-max_angle, max_angle) * (2.0 if rng.random() < 0.1 else 1.0))

    layout = rng.choice(4, p=[0.38, 0.28, 0.14, 0.20])
    if layout == 0:
        return _portrait(rng, pool, size, angle)
    if layout == 1:
        return _crowd(rng, pool, size, angle)
    if layout == 2:
        return _grid(rng, pool, size, angle)
    return _background(rng, pool, size, plain=0.0)


def _portrait(rng: Rng, pool: Pool, size: int, angle: Angle) -> Canvas:
    photo = pool.photo(rng)
    if rng.random() < 0.35 and photo.source != RENDERED:
        return _cover(rng, Canvas(_plain(rng, size), []), photo, _log_uniform(rng, 1.0, 1.6))
    canvas = _background(rng, pool, size, plain=0.5)
    side = size * _log_uniform(rng, 0.10, 1.15)
    reach = max(0.0, (size - side) / 2) + 0.12 * side  # the face may stick out a little
    centre = size / 2 + rng.uniform(-1, 1, 2) * reach
    matrix = place(photo, side, centre, angle(), bool(rng.random() < 0.5), _any_head(rng, photo))
    paste(canvas, photo, matrix, (0, 0, size, size))
    return canvas


def _crowd(rng: Rng, pool: Pool, size: int, angle: Angle) -> Canvas:
    canvas = _background(rng, pool, size, plain=0.1)
    taken: list[Clip] = []
    biggest = min(0.35 * size, 110.0) * rng.uniform(0.4, 1.0)
    for _ in range(rng.integers(2, 12)):
        photo = pool.photo(rng)
        side = _log_uniform(rng, MIN_FACE, biggest)
        half = 0.5 * side * (3.0 if photo.source == RENDERED else rng.uniform(1.15, 2.2))
        centre = rng.uniform(0.3 * side, size - 0.3 * side, 2)
        clip = _clip_around(centre, half, size)
        if any(_overlap(clip, other) for other in taken):
            continue
        taken.append(clip)
        matrix = place(photo, side, centre, angle(), bool(rng.random() < 0.5), _any_head(rng, photo))
        paste(canvas, photo, matrix, clip, feather=bool(rng.random() < 0.5))
    return canvas


def _grid(rng: Rng, pool: Pool, size: int, angle: Angle) -> Canvas:
    canvas = Canvas(_plain(rng, size), [])
    count = int(rng.integers(2, 5))
    edges = np.linspace(0, size, count + 1).round().astype(int).tolist()
    for y0, y1 in pairwise(edges):
        for x0, x1 in pairwise(edges):
            tile = (x1 - x0) * rng.uniform(0.35, 0.95)
            centre = np.array([x0 + x1, y0 + y1]) / 2 + rng.uniform(-0.08, 0.08, 2) * (x1 - x0)
            photo = pool.scene(rng) if rng.random() < 0.25 else pool.photo(rng)
            matrix = place(photo, tile, centre, angle(), bool(rng.random() < 0.5), _any_head(rng, photo))
            paste(canvas, photo, matrix, (x0, y0, x1, y1))
    return canvas


def _background(rng: Rng, pool: Pool, size: int, plain: float) -> Canvas:
    """A scene that covers the canvas, or one colour."""
    canvas = Canvas(_plain(rng, size), [])
    if rng.random() < plain:
        return canvas
    return _cover(rng, canvas, pool.scene(rng), _log_uniform(rng, 1.0, 3.5))


def _cover(rng: Rng, canvas: Canvas, photo: Photo, zoom: float) -> Canvas:
    """Fill the canvas with a random part of a photograph; ``zoom`` 1 shows its whole shorter side.

    There are few scenes, and a network learns them by heart: those without faces come in every orientation.
    """
    size, extent = canvas.size, np.array(photo.size)
    scale = size / extent.min() * zoom
    free = np.maximum(0.0, extent * scale - size) / 2
    centre = (size - 1) / 2 + rng.uniform(-1, 1, 2) * free
    turned = len(photo.targets) == 0 and rng.random() < 0.5
    angle = float(rng.uniform(-180, 180)) if turned else 0.0
    matrix = _affine((extent - 1) / 2, scale, centre, angle, bool(rng.random() < 0.5))
    paste(canvas, photo, matrix, (0, 0, size, size))
    return canvas


def place(photo: Photo, side: float, centre: Array, angle: float, mirror: bool, head: int = 0) -> Array:
    """(2, 3) affine that puts a photograph's head at ``centre`` with ``side`` as its longer side, px.

    The head stays smaller where the photograph would be enlarged more than MOST_ENLARGED times. Without a
    head, half the picture stands for it. The angle is clockwise, degrees; ``head`` is its number.
    """
    width, height = photo.size
    middle, extent = np.array([width - 1, height - 1]) / 2, 0.5 * max(width, height)
    if len(photo.heads):
        box = photo.heads[head]
        middle, extent = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max())
    return _affine(
        middle, min(side / extent, MOST_ENLARGED), np.asarray(centre, dtype=np.float64), angle, mirror
    )


def paste(canvas: Canvas, photo: Photo, matrix: Array, clip: Clip, feather: bool = False) -> None:
    """Draw a photograph into a part of the canvas and move its targets along.

    Heads that were there and are now covered by more than half are turned into ignored regions. Rendered
    heads have an alpha channel and cover only what it shows.

    Args:
        canvas: is changed.
        photo: what to draw.
        matrix: (2, 3) affine from the photograph's pixels to the canvas'.
        clip: the part of the canvas that may change.
        feather: fade the border out in an ellipse, so that no straight edge gives the paste away.
    """
    x0, y0, x1, y1 = clip
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    image, alpha = _decoded(photo)
    if alpha is not None:  # or the colour of what is transparent would darken the outline
        image = (image * (alpha[..., None] / np.float32(255)) + 0.5).astype(np.uint8)
    small, local = _shrunk(image, matrix)
    local = local - np.array([[0, 0, x0], [0, 0, y0]])
    shape = (x1 - x0, y1 - y0)
    patch = cv2.warpAffine(small, local, shape, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    region = canvas.image[y0:y1, x0:x1]
    if alpha is None:
        mask = cv2.warpAffine(np.ones(small.shape[:2], np.uint8), local, shape, flags=cv2.INTER_NEAREST)
        visible = _visible_part(matrix, (-0.5, -0.5, photo.size[0] - 0.5, photo.size[1] - 0.5), clip)
    else:
        mask = cv2.warpAffine(_shrunk(alpha, matrix)[0], local, shape, flags=cv2.INTER_LINEAR)
        left, top, width, height = cv2.boundingRect((alpha > 127).astype(np.uint8))
        visible = _visible_part(matrix, (left - 0.5, top - 0.5, left + width - 0.5, top + height - 0.5), clip)
    if alpha is not None:
        region[:] = (
            (region * (1 - mask / np.float32(255))[..., None] + patch + 0.5).clip(0, 255).astype(np.uint8)
        )
    elif feather:
        opacity = (mask * _ellipse(shape))[..., None]
        region[:] = (region + (patch.astype(np.float32) - region) * opacity + 0.5).astype(np.uint8)
    else:
        cv2.copyTo(patch, mask, region)
    hidden = [
        _part_in(old, visible) if alpha is None else _opacity_in(old, mask, clip) for old in canvas.targets
    ]
    below = [_hide(old, part) for old, part in zip(canvas.targets, hidden, strict=True)]
    canvas.targets = [row for row in below if row is not None]
    canvas.targets += move_targets(photo.targets, matrix, visible)


def move_targets(targets: NDArray[np.float32], matrix: Array, visible: Array) -> list[Array]:
    """Targets of a photograph in canvas pixels; tiny and mostly hidden heads become ignored regions.

    Args:
        targets: (M, WIDTH) in the photograph's pixels.
        matrix: (2, 3) affine from the photograph's pixels to the canvas'.
        visible: (4,) part of the canvas in which the photograph can be seen.
    """
    moved = []
    for row in targets.astype(np.float64):
        head = row[WEIGHT] == HEAD
        new = moved_head(row, matrix) if head else moved_region(row, matrix)
        box = new[BOX]
        inside = np.concatenate([np.maximum(box[:2], visible[:2]), np.minimum(box[2:], visible[2:])])
        if (inside[2:] <= inside[:2]).any():
            continue
        seen = (inside[2:] - inside[:2]).prod() / max(1e-6, (box[2:] - box[:2]).prod())
        if not head:
            new[BOX] = inside
            moved.append(new)
        elif seen < MIN_VISIBLE or (box[2:] - box[:2]).max() < MIN_FACE:
            moved.append(region_row(inside, IGNORE))
        else:
            moved.append(new)
    return moved


def decode(photo: Photo) -> Image:
    """(H, W, 3) uint8 RGB.

    Raises:
        DataError: if the image cannot be decoded.
    """
    return _decoded(photo)[0]


def _decoded(photo: Photo) -> tuple[Image, Image | None]:
    """(H, W, 3) uint8 RGB, and (H, W) uint8 alpha where the picture has one."""
    data = photo.data if isinstance(photo.data, bytes) else photo.data.read_bytes()
    # labels are of the picture as it is stored: an orientation in its header is not applied
    colour = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    flags = cv2.IMREAD_UNCHANGED if photo.source == RENDERED else colour
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        where = photo.source if isinstance(photo.data, bytes) else photo.data
        raise DataError(f"{where}: an image cannot be decoded; the file is damaged")
    alpha = np.ascontiguousarray(image[..., 3], dtype=np.uint8) if image.shape[2] == 4 else None
    return np.asarray(cv2.cvtColor(image[..., :3], cv2.COLOR_BGR2RGB), np.uint8), alpha


def _part_in(row: Array, cover: Array) -> float:
    """Share of a target's box that lies in another (4,) box."""
    size = np.minimum(row[2:4], cover[2:]) - np.maximum(row[:2], cover[:2])
    return float(size.clip(min=0).prod() / max(1e-6, (row[2:4] - row[:2]).prod()))


def _opacity_in(row: Array, mask: NDArray[np.number], clip: Clip) -> float:
    """Share of a target's box that an opacity (uint8, over the clip) hides."""
    x0, y0 = np.round(row[:2] + 0.5 - clip[:2]).clip(0).astype(int)
    x1, y1 = np.round(row[2:4] + 0.5 - clip[:2]).clip(0).astype(int)
    area = max(1e-6, float((row[2:4] - row[:2]).prod()))
    return float(mask[y0:y1, x0:x1].sum(dtype=np.float64)) / 255 / area


def _hide(row: Array, hidden: float) -> Array | None:
    """A target of which a part was pasted over: ignored if half hidden, gone if (almost) wholly hidden."""
    if hidden > 0.9:
        return None
    return region_row(row[BOX], IGNORE) if row[WEIGHT] == HEAD and hidden > 1 - MIN_VISIBLE else row


def _visible_part(matrix: Array, rectangle: tuple[float, float, float, float], clip: Clip) -> Array:
    """The part of the canvas in which a rectangle of the photograph can be seen, as a box."""
    left, top, right, bottom = rectangle
    corners = np.array([[left, top], [right, top], [left, bottom], [right, bottom]])
    moved = corners @ matrix[:, :2].T + matrix[:, 2]
    low, high = np.array(clip[:2]) - 0.5, np.array(clip[2:]) - 0.5
    return np.concatenate([np.maximum(moved.min(0), low), np.minimum(moved.max(0), high)])


def _shrunk(image: Image, matrix: Array) -> tuple[Image, Array]:
    """The image averaged down where the affine shrinks it much, and the affine for the small image."""
    scale = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if scale > 0.6:
        return image, matrix
    height, width = image.shape[:2]
    target = max(2, round(width * scale)), max(2, round(height * scale))
    small = cv2.resize(image, target, interpolation=cv2.INTER_AREA)
    factor = np.array([width / target[0], height / target[1]])
    linear = matrix[:, :2] * factor  # full = small * factor + (factor - 1) / 2
    return np.asarray(small), np.column_stack([linear, matrix[:, 2] + matrix[:, :2] @ ((factor - 1) / 2)])


def _any_head(rng: Rng, photo: Photo) -> int:
    """Number of a random head; portraits, which have one, take nothing from the generator."""
    return int(rng.integers(len(photo.heads))) if len(photo.heads) > 1 else 0


def _affine(source: Array, scale: float, target: Array, angle: float, mirror: bool) -> Array:
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    linear = scale * np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if mirror else 1.0, 1.0])
    return np.column_stack([linear, target - linear @ source])


def _ellipse(shape: tuple[int, int]) -> NDArray[np.float32]:
    x = np.linspace(-1, 1, shape[0], dtype=np.float32)
    y = np.linspace(-1, 1, shape[1], dtype=np.float32)
    return np.clip((1.1 - np.sqrt(x[None] ** 2 + y[:, None] ** 2)) * 6, 0, 1).astype(np.float32)


def _clip_around(centre: Array, half: float, size: int) -> Clip:
    low = np.floor(centre - half).clip(0, size).astype(int)
    high = np.ceil(centre + half).clip(0, size).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _overlap(a: Clip, b: Clip) -> bool:
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


def _plain(rng: Rng, size: int) -> Image:
    grey = rng.integers(0, 256) if rng.random() < 0.6 else rng.choice([0, 255])
    colour = np.clip(grey + rng.integers(-30, 31, 3) * (rng.random() < 0.5), 0, 255)
    return np.full((size, size, 3), colour, np.uint8)


def _log_uniform(rng: Rng, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(math.log(low), math.log(max(low * 1.01, high)))))


def pool_of(photos: Sequence[Photo], weights: dict[str, float]) -> Pool:
    """A pool of photographs; those of the source "scenes" become its backgrounds."""
    by_source: dict[str, list[Photo]] = {}
    for photo in photos:
        by_source.setdefault(photo.source, []).append(photo)
    scenes = by_source.pop("scenes", [])
    if not scenes or not any(weights.get(name, 0) > 0 for name in by_source):
        raise DataError("the detector's data need scenes and a source of photographs with a weight")
    return Pool(by_source, scenes, weights)
