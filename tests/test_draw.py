"""Drawing: every kind leaves its marks where it should, captions stay in the image and off the faces."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from faceperc.captions import caption
from faceperc.draw import draw_faces
from faceperc.kind import Kind
from faceperc.kinds import Classes, Points, Probabilities, Rotation, Scalar
from faceperc.mask import Mask
from faceperc.results import Face, Faces

BOX = np.array([100.0, 80.0, 180.0, 180.0])
SHAPE = (300, 400)


def changed(tasks: dict[str, Kind], background: int = 128, score: float = math.nan) -> NDArray[np.bool_]:
    """(H, W): which pixels the drawing of a face changed, beyond those of its box."""
    image = np.full((*SHAPE, 3), background, dtype=np.uint8)
    drawn, bare = (
        np.asarray(Faces((Face(BOX, score, each),), image).draw()).astype(int) for each in (tasks, {})
    )
    assert drawn.shape == image.shape and (image == background).all()
    return abs(drawn - bare).max(axis=2) > 12


def extent(marks: NDArray[np.bool_]) -> list[int]:
    rows, columns = np.nonzero(marks.any(axis=1))[0], np.nonzero(marks.any(axis=0))[0]
    return [int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])]


@pytest.mark.parametrize("background", [0, 128, 255])
def test_box__shows_on_any_background(background: int) -> None:
    image = np.full((*SHAPE, 3), background, dtype=np.uint8)
    drawn = np.asarray(Faces((Face(BOX, math.nan),), image).draw()).astype(int)
    marks = abs(drawn - background).max(axis=2) > 40
    np.testing.assert_allclose(extent(marks), BOX, atol=3)
    assert not marks[110:150, 120:160].any()


@pytest.mark.parametrize("background", [0, 128, 255])
def test_box__of_a_head_that_shows_no_face_is_dashed(background: int) -> None:
    image = np.full((*SHAPE, 3), background, dtype=np.uint8)
    head = Face(BOX, 0.02, {}, visibility=0.02)
    drawn = np.asarray(draw_faces(Faces((head,), image), captions=False)).astype(int)
    marks = abs(drawn - background).max(axis=2) > 40
    np.testing.assert_allclose(extent(marks), BOX, atol=3)
    sides = [marks[78:83, 104:177].any(axis=0), marks[84:177, 98:103].any(axis=1)]
    for side in sides:  # four gaps between five dashes, of which the outer two go around the corners
        assert (np.diff(side.astype(int)) == -1).sum() == 4 and 0.4 < side.mean() < 0.8
    rows = caption(Face(BOX, 0.02, {"pose": Rotation(np.eye(3))}, visibility=0.02))
    assert rows == [("head", "face not seen"), ("pose", "yaw 0°, pitch 0°, roll 0°")]


@pytest.mark.parametrize("background", [0, 255])
def test_points__are_drawn_where_they_are(background: int) -> None:
    points = np.array([[120.0, 100.0], [160.0, 100.0], [140.0, 150.0]])
    dots = changed({"any": Points(points)}, background)
    for x, y in points.astype(int):
        assert dots[y, x]
    assert not dots[100, 140]
    lines = changed({"any": Points(points, lines=((0, 1),))}, background)
    assert lines[100, 140] and not lines[125, 150]


def test_points__may_lie_outside_the_image() -> None:
    assert changed({"any": Points(np.array([[-50.0, 20.0], [900.0, 900.0]]), lines=((0, 1),))}).shape == SHAPE


def test_rotation__the_nose_axis_points_to_where_the_face_looks() -> None:
    left = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])  # yaw 90
    assert Rotation(left).yaw == pytest.approx(90)
    marks = changed({"any": Rotation(left)})
    marks[:, 182:] = False  # the caption
    x0, y0, x1, y1 = extent(marks)
    assert x0 < 95 and x1 < 150 and y0 < 85 and y1 < 140  # to the image's left, and up


def test_mask__covers_its_pixels_only() -> None:
    classes = np.zeros((2, 2), dtype=np.uint8)
    classes[:, 1] = 1
    marks = changed({"any": Mask(classes, BOX, ("background", "skin"), SHAPE)})
    assert marks[120, 165] and not marks[120, 115] and not marks[120, 200]


def test_mask__more_classes_than_colours() -> None:
    classes = np.arange(25, dtype=np.uint8).reshape(5, 5)
    labels = tuple(f"class {index}" for index in range(25))
    assert changed({"any": Mask(classes, BOX, labels, SHAPE)})[95:165, 120:165].all()


def test_caption__rows() -> None:
    tasks: dict[str, Kind] = {
        "expression": Classes(np.array([0.93, 0.07]), ("happiness", "anger")),
        "age": Scalar(31.2, "years"),
        "attributes": Probabilities(np.linspace(0.1, 0.99, 12), tuple(f"Label_{i}" for i in range(12))),
        "landmarks": Points(np.zeros((1, 2))),
    }
    assert caption(Face(BOX, 0.987, tasks)) == [
        ("face", "99%"),
        ("expression", "happiness 93%"),
        ("age", "31 years"),
        ("attributes", "Label 11 99%"),
        ("", "Label 10 91%"),
        ("", "Label 9 83%"),
        ("", "Label 8 75%"),
    ]
    assert caption(Face(BOX, math.nan)) == []


@pytest.mark.parametrize(
    "box",
    [
        [10, 10, 90, 110],
        [310, 10, 390, 110],
        [10, 190, 90, 290],
        [310, 190, 390, 290],
        [150, 100, 250, 200],
        [-30, -20, 60, 90],
    ],
)
def test_caption__keeps_off_the_face_while_there_is_room(box: list[float]) -> None:
    tasks: dict[str, Kind] = {
        "expression": Classes(np.array([1.0]), ("happiness",)),
        "age": Scalar(31.0, "years"),
    }
    image = np.full((*SHAPE, 3), 128, dtype=np.uint8)
    with_text, without = (
        np.asarray(Faces((Face(np.array(box, dtype=float), math.nan, each),), image).draw())
        for each in (tasks, {})
    )
    marks = (with_text != without).any(axis=2)
    x0, y0, x1, y1 = (max(0, value) for value in box)
    assert marks.sum() > 500 and not marks[y0 + 1 : y1, x0 + 1 : x1].any()


@pytest.mark.parametrize("shape", [(8, 8), (20, 300), (300, 20), (120, 100)])
def test_caption__in_an_image_without_room(shape: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), dtype=np.uint8)
    box = np.array([1.0, 1.0, shape[1] - 2.0, shape[0] - 2.0])
    tasks: dict[str, Kind] = {name: Scalar(31.0, "years") for name in ("age", "a_rather_long_name", "other")}
    assert Faces((Face(box, 0.9, tasks),), image).draw().size == (shape[1], shape[0])


def test_crowd() -> None:
    image = np.zeros((*SHAPE, 3), dtype=np.uint8)
    tasks: dict[str, Kind] = {"pose": Rotation(np.eye(3)), "age": Scalar(31.0, "years")}
    boxes = [np.array([x, y, x + 22.0, y + 26.0]) for x in range(0, 390, 26) for y in range(0, 280, 30)]
    drawn = Faces(tuple(Face(box, 0.9, tasks) for box in boxes), image).draw()
    assert drawn.size == (400, 300)
