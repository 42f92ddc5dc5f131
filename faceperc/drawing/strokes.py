"""What is drawn with strokes: the box of a face, its points and its rotation. Sizes follow the face."""

from __future__ import annotations

from itertools import cycle
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from faceperc.drawing.palette import AXIS_COLOURS, POINT_COLOURS, SKY, WHITE, Colour
from faceperc.drawing.sheet import Sheet
from faceperc.kinds import Points, Rotation
from faceperc.results import Face

Array = NDArray[np.float64]
Pose = Literal["axes", "cube"]

DASHES = 5  # on each side of the box of a head that shows no face
MIN_SPACING = 2.0  # pixels: points that lie closer are not drawn as dots, they would be one blot
HAZE = 0.2  # opacity of the discs of expected error

# corners of a cube, in half edges: x to the head's left side (the image's right), y up, z out of the face
_CORNERS = np.array([[x, y, z] for z in (1, -1) for x, y in ((-1, 1), (1, 1), (1, -1), (-1, -1))], float)


def draw_strokes(picture: Image.Image, face: Face, box: bool, pose: Pose) -> None:
    """Draw one face's box, points and rotations."""
    x0, y0, x1, y1 = face.box
    side = max(x1 - x0, y1 - y0)
    points = [each for each in face.tasks.values() if isinstance(each, Points) and len(each)]
    shapes = [
        (_cube if pose == "cube" else axes_of)(face.box, each)
        for each in face.tasks.values()
        if isinstance(each, Rotation)
    ]
    if not (box or points or shapes):
        return
    ends = np.concatenate([face.box.reshape(2, 2), *(each.points for each in points), *shapes])
    sheet = Sheet(picture, ends, stroke=max(1.0, 0.5 + side / 150))
    if box:
        sheet.box(face.box, WHITE, dashes=DASHES if face.is_hidden else 0)
    if pose == "cube":  # behind the points
        for shape in shapes:
            _draw_cube(sheet, shape)
    for each, colour in zip(points, cycle(POINT_COLOURS), strict=False):
        _draw_points(sheet, each, colour, side)
    if pose == "axes":
        for shape in shapes:
            _draw_axes(sheet, shape)
    sheet.lay_on(picture)


def _draw_points(sheet: Sheet, result: Points, colour: Colour, side: float) -> None:
    spacing = _spacing(result.points)
    radius = min(side / 110, 0.3 * spacing) if spacing else side / 110
    if result.sigma is not None:
        unsure = result.sigma > max(1.5 * radius, 1.0)  # a smaller disc would not be seen around its dot
        sheet.haze(result.points[unsure], result.sigma[unsure], colour, HAZE)
    for line in result.lines:
        sheet.line(result.points[list(line)], WHITE, 0.6, rim=min(1.2, 0.4 * spacing / sheet.stroke))
    if spacing and spacing < MIN_SPACING:
        return
    hidden = np.zeros(len(result), bool) if result.visibility is None else result.visibility < 0.5
    sheet.dots(result.points, max(0.8, radius), colour, hidden)


def _spacing(points: Array) -> float:
    """Median distance from a point to its nearest neighbour, pixels; 0 for a single point."""
    if len(points) < 2:
        return 0.0
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return float(np.median(distances.min(axis=1)))


def axes_of(box: Array, rotation: Rotation) -> Array:
    """(4, 2) image points: the middle of the face, and the tips of the head's x, y and z axis."""
    return _project(box, rotation, 0.95 * np.vstack([np.zeros(3), np.eye(3)]))


def _cube(box: Array, rotation: Rotation) -> Array:
    """(8, 2) image points: the corners of the front of a cube around the head, and those of its back."""
    return _project(box, rotation, 0.95 * _CORNERS)


def _project(box: Array, rotation: Rotation, vectors: Array) -> Array:
    """(K, 3) vectors from the head's middle, in halves of the face's longer side -> (K, 2) image points."""
    x0, y0, x1, y1 = box
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    seen = vectors @ rotation.matrix[:2].T * [1, -1]  # the camera's y points up, the image's down
    return middle + 0.5 * max(x1 - x0, y1 - y0) * seen


def _draw_axes(sheet: Sheet, ends: Array) -> None:
    for tip, colour in zip(ends[1:], AXIS_COLOURS, strict=True):
        sheet.line(np.stack([ends[0], tip]), colour, 1.8)
        sheet.dots(tip[None], 1.8 * sheet.stroke, colour, np.zeros(1, bool))


def _draw_cube(sheet: Sheet, corners: Array) -> None:
    """The side that the face looks out of is filled; the other edges are thin."""
    front, back = corners[:4], corners[4:]
    sheet.area(front, SKY, 0.12)
    sheet.line(back[[0, 1, 2, 3, 0]], WHITE, 0.6)
    for near, far in zip(front, back, strict=True):
        sheet.line(np.stack([near, far]), WHITE, 0.6)
    sheet.line(front[[0, 1, 2, 3, 0]], SKY, 1.6)
