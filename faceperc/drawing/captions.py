"""Text in the picture: beside the faces, in it or not at all, and over no face."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from faceperc.drawing.block import Block, Legend
from faceperc.drawing.fonts import Fonts
from faceperc.drawing.layout import Place, at_edges, beside, first_free
from faceperc.drawing.masks import has_mask, legend_entries
from faceperc.drawing.rows import descriptions, one_line
from faceperc.kinds import Points
from faceperc.results import Face, Faces

Array = NDArray[np.float64]

MIN_FONT = 10.0  # pixels: smaller letters cannot be read
SMALLEST, LARGEST = 0.011, 0.026  # letters, in longer sides of the picture
TEXT_SHARE = 0.4  # of the picture, at most, is covered by captions; each face has a part like its own size
LEGEND_SHARE, LEGEND_FACE = 0.2, 0.15  # at most of the picture; only for a face this long, in longer sides
MAX_RATIO = 4  # of a picture's sides, as far as letters follow
CLOSE_UP = 0.25  # a face with a larger share of the picture may have its caption on forehead or hair


def reach(picture: tuple[int, int]) -> int:
    """The longer side that letters follow, pixels: of a panorama, which is never seen whole, a part."""
    return min(max(picture), MAX_RATIO * min(picture))


def font_size(face_side: float, picture: tuple[int, int]) -> float:
    """Letters follow the face, within what can be read when the whole picture is seen, pixels."""
    longest = reach(picture)
    smallest = max(MIN_FONT, SMALLEST * longest)
    return float(np.clip(0.11 * face_side, smallest, max(smallest, LARGEST * longest)))


def draw_captions(picture: Image.Image, faces: Faces, fonts: Fonts) -> None:
    """Write about each face, the largest first, and add a legend of the masks.

    A face whose full description has no room gets a shorter one, at last none.
    """
    boxes = np.array([extent(face) for face in faces]).reshape(-1, 4)
    areas = np.array([_area(box, picture.size) for box in boxes])
    shares = TEXT_SHARE * areas / max(areas.sum(), 1)
    blocks: list[Array] = []
    entries = legend_entries(faces) if _has_large(faces) else []
    for rank, index in enumerate(np.argsort(-areas, kind="stable")):
        face = faces[int(index)]
        budget = shares[index] * picture.width * picture.height
        others = np.delete(boxes, index, axis=0)
        found = _beside_face(face, picture, others, blocks, budget, fonts)
        if found is None and areas[index] > CLOSE_UP * picture.width * picture.height:
            found = _on_close_up(face, picture, faces, blocks, fonts)
        if found is not None:
            _put(found, picture, blocks)
        if rank == 0 and entries:  # before the captions of smaller faces: it tells of all of them
            _draw_legend(entries, picture, boxes, blocks, fonts)


def _has_large(faces: Faces) -> bool:
    """Whether a mask is large enough that its parts can be told apart in the picture."""
    sides = [float(max(face.box[2:] - face.box[:2])) for face in faces if has_mask(face)]
    return max(sides, default=0.0) > LEGEND_FACE * max(faces.image.shape)


def _put(found: tuple[Block | Legend, Place], picture: Image.Image, blocks: list[Array]) -> None:
    block, (x, y) = found
    block.draw(picture, (x, y))
    blocks.append(np.array([x, y, x + block.size[0], y + block.size[1]], dtype=np.float64))


def _area(box: Array, size: tuple[int, int]) -> float:
    """Pixels of a box that lie in the picture."""
    x0, y0, x1, y1 = box
    return float(max(0.0, min(x1, size[0]) - max(x0, 0)) * max(0.0, min(y1, size[1]) - max(y0, 0)))


def _sizes(largest: float, smallest: float) -> Iterator[float]:
    """Sizes of letters to try, pixels: smaller letters come before fewer rows."""
    yield largest
    while largest > smallest:
        largest = max(smallest, 0.85 * largest)
        yield largest


def _beside_face(
    face: Face, picture: Image.Image, others: Array, blocks: list[Array], budget: float, fonts: Fonts
) -> tuple[Block, Place] | None:
    """The fullest block that finds a place next to its face."""
    side = float(max(face.box[2:] - face.box[:2]))
    largest = font_size(side, picture.size)
    smallest = max(MIN_FONT, 0.75 * largest, SMALLEST * reach(picture.size))
    for rows in descriptions(face):
        for size in _sizes(largest, smallest):
            block = Block(rows, size, fonts)
            if len(rows) > 1 and block.size[0] * block.size[1] > budget:
                continue
            places = beside(extent(face), block.size, 0.5 * size)
            if not len(others):  # whose it could be taken for
                places = np.vstack([places, at_edges(picture.size, block.size, 0.4 * size)])
            # farther from other faces than from its own: the nearest is the one that it describes
            far = others + size * np.array([-1, -1, 1, 1])
            taken = np.vstack([extent(face), far, *blocks])
            place = first_free(places, block.size, picture.size, taken)
            if place is not None:
                return block, place
    return None


def _on_close_up(
    face: Face, picture: Image.Image, faces: Faces, blocks: list[Array], fonts: Fonts
) -> tuple[Block, Place] | None:
    """One line at the edge of the picture, over nobody's features: on hair, forehead or neck."""
    taken = [*(_features(each) for each in faces), *blocks]
    size = font_size(0.0, picture.size)
    for rows in one_line(face):
        block = Block(rows, size, fonts)
        edges = at_edges(picture.size, block.size, 0.2 * size)
        place = first_free(edges[[4, 5, 0, 1, 2, 3]], block.size, picture.size, taken)
        if place is not None:
            return block, place
    return None


def extent(face: Face) -> Array:
    """(4,) the box of a face and of its points, which may reach over the detector's box."""
    return _around([*_points(face), face.box.reshape(2, 2)])


def _features(face: Face) -> Array:
    """(4,) the box of what may never be covered: the points, or the box without its forehead."""
    points = _points(face)
    if points:
        return _around(points)
    x0, y0, x1, y1 = face.box
    return np.array([x0, y0 + 0.2 * (y1 - y0), x1, y1])  # its top fifth lies above the brows


def _points(face: Face) -> list[Array]:
    return [result.points for result in face.tasks.values() if isinstance(result, Points) and len(result)]


def _around(points: list[Array]) -> Array:
    every = np.concatenate(points)
    return np.concatenate([every.min(axis=0), every.max(axis=0)])


def _draw_legend(
    entries: list[tuple[tuple[int, int, int], str]],
    picture: Image.Image,
    boxes: Array,
    blocks: list[Array],
    fonts: Fonts,
) -> None:
    """Where there is room for it, in as few columns as fit."""
    largest = max(MIN_FONT, 0.02 * reach(picture.size))
    room = LEGEND_SHARE * picture.width * picture.height
    for size in _sizes(largest, max(MIN_FONT, 0.7 * largest)):
        for columns in range(1, len(entries) + 1):
            legend = Legend(entries, columns, size, fonts)
            if legend.size[0] * legend.size[1] > room:
                continue
            places = at_edges(picture.size, legend.size, 0.4 * size)
            place = first_free(places, legend.size, picture.size, [*boxes, *blocks])
            if place is not None:
                _put((legend, place), picture, blocks)
                return
