"""Drawing: every kind leaves its marks where it should, text stays in the image and off the faces."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFont

import faceperc
from faceperc.draw import draw_faces
from faceperc.drawing.palette import MASK_COLOURS, mask_colours
from faceperc.drawing.rows import Row, descriptions
from faceperc.errors import UsageError
from faceperc.kind import Kind
from faceperc.kinds import Classes, Points, Probabilities, Rotation, Scalar
from faceperc.mask import Mask
from faceperc.results import Face, Faces
from faceperc.zoo import sample_image

BOX = np.array([100.0, 80.0, 180.0, 180.0])
SHAPE = (300, 400)
BACKGROUNDS = ("black", "grey", "white", "noise")
PARTS = (
    "background", "skin", "left_brow", "right_brow", "left_eye", "right_eye",
    "nose", "upper_lip", "inner_mouth", "lower_lip", "hair",
)  # fmt: skip


def ground(name: str, shape: tuple[int, int] = SHAPE) -> NDArray[np.uint8]:
    if name == "noise":
        return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    return np.full((*shape, 3), {"black": 0, "grey": 128, "white": 255}[name], dtype=np.uint8)


def marks(picture: Image.Image, image: NDArray[np.uint8], least: int = 12) -> NDArray[np.bool_]:
    """(H, W): which pixels of the image the drawing changed."""
    assert picture.size == (image.shape[1], image.shape[0])
    return abs(np.asarray(picture).astype(int) - image).max(axis=2) > least


def changed(
    tasks: dict[str, Kind], background: str = "grey", score: float = math.nan, **options: Any
) -> NDArray[np.bool_]:
    """(H, W): which pixels the drawing of a face changed, beyond those of its box."""
    image = ground(background)
    drawn, bare = (
        np.asarray(Faces((Face(BOX, score, each),), image).draw(**options)).astype(int)
        for each in (tasks, {})
    )
    assert drawn.shape == image.shape and (image == ground(background)).all()
    return abs(drawn - bare).max(axis=2) > 12


def extent(of: NDArray[np.bool_]) -> list[int]:
    rows, columns = np.nonzero(of.any(axis=1))[0], np.nonzero(of.any(axis=0))[0]
    return [int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])]


def everything(box: NDArray[np.float64], shape: tuple[int, int]) -> dict[str, Kind]:
    """A result of each kind for a face, as a model gives them."""
    x0, y0, x1, y1 = box
    grid = np.stack(np.meshgrid(np.linspace(0.1, 0.9, 6), np.linspace(0.25, 1.0, 6)), axis=-1).reshape(-1, 2)
    points = np.array([x0, y0]) + grid * [x1 - x0, y1 - y0]
    classes = np.repeat(np.arange(11, dtype=np.uint8), 11).reshape(11, 11)
    return {
        "landmarks": Points(points, np.full(36, 0.02 * (x1 - x0)), ((0, 1, 2, 3, 4, 5),)),
        "pose": Rotation(np.eye(3)),
        "parsing": Mask(classes, box, PARTS, shape),
        "expression": Classes(np.array([0.6, 0.3, 0.1]), ("neutral", "happiness", "sadness")),
        "age": Scalar(31.0, "years", np.array([20.0, 40.0]), np.array([0.5, 0.5])),
        "gender": Classes(np.array([0.7, 0.3]), ("female", "male")),
        "attributes": Probabilities(np.array([0.9, 0.8, 0.2]), ("Smiling", "Young", "Bald")),
    }


@pytest.mark.parametrize("background", BACKGROUNDS[:3])
@pytest.mark.parametrize("is_hidden", [False, True])
def test_box(background: str, is_hidden: bool) -> None:
    image = ground(background)
    head = Face(BOX, math.nan, {}, visibility=0.02 if is_hidden else math.nan)
    shown = marks(draw_faces(Faces((head,), image), captions=False), image, 40)
    np.testing.assert_allclose(extent(shown), BOX, atol=3)
    assert not shown[110:150, 120:160].any()
    for side in (shown[78:83, 104:177].any(axis=0), shown[84:177, 98:103].any(axis=1)):
        gaps = (
            np.diff(side.astype(int)) == -1
        ).sum()  # between five dashes, the outer two around the corners
        assert gaps == (4 if is_hidden else 0)
    plain = draw_faces(Faces((head,), image), captions=False, boxes=False)
    assert (np.asarray(plain) == image).all()


@pytest.mark.parametrize("background", ["black", "white"])
def test_points__are_drawn_where_they_are(background: str) -> None:
    points = np.array([[120.0, 100.0], [160.0, 100.0], [140.0, 150.0]])
    dots = changed({"any": Points(points)}, background)
    for x, y in points.astype(int):
        assert dots[y, x]
    assert not dots[100, 140]
    lines = changed({"any": Points(points, lines=((0, 1),))}, background)
    assert lines[100, 140] and not lines[125, 150]


def test_points__show_their_expected_error_and_whether_they_are_hidden() -> None:
    points = np.array([[120.0, 100.0], [160.0, 100.0]])
    unsure = changed({"any": Points(points, sigma=np.array([0.1, 12.0]))})
    assert unsure[100, 150] and unsure[90, 160] and not unsure[100, 130] and not unsure[115, 160]
    image = ground("black")
    seen, hidden = (
        np.asarray(Faces((Face(BOX, math.nan, {"a": each}),), image).draw())[100, 160].astype(int)
        for each in (Points(points), Points(points, visibility=np.array([1.0, 0.1])))
    )
    assert seen.max() > 200 and hidden.max() < 80  # the middle of a ring is empty


def test_points__that_lie_close_do_not_blot_out_the_face() -> None:
    mesh = BOX[:2] + np.stack(np.meshgrid(np.arange(0, 80, 4), np.arange(0, 100, 4)), -1).reshape(-1, 2)
    assert 0.1 < changed({"any": Points(mesh.astype(float))})[85:175, 105:175].mean() < 0.75
    tiny = BOX[:2] + (mesh - BOX[:2]) / 8  # half a pixel apart
    assert not changed({"any": Points(tiny)}).any()


def test_points__may_lie_outside_the_image() -> None:
    assert changed({"any": Points(np.array([[-50.0, 20.0], [900.0, 900.0]]), lines=((0, 1),))}).shape == SHAPE


LEFT = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])  # yaw 90: it faces the image's left


def test_rotation__the_nose_axis_points_to_where_the_face_looks() -> None:
    assert Rotation(LEFT).yaw == pytest.approx(90)
    x0, y0, x1, y1 = extent(changed({"any": Rotation(LEFT)}, captions=False))
    assert x0 < 95 and x1 < 150 and y0 < 85 and y1 < 140  # to the image's left, and up


def test_rotation__the_front_of_the_cube_is_where_the_face_looks() -> None:
    image = ground("grey")
    quarter = np.array([[0.8, 0.0, -0.6], [0.0, 1.0, 0.0], [0.6, 0.0, 0.8]])
    for matrix, is_front_left in ((quarter, True), (quarter.T, False)):
        faces = Faces((Face(BOX, math.nan, {"any": Rotation(matrix)}),), image)
        drawn = np.asarray(faces.draw(pose="cube", captions=False, boxes=False)).astype(int)
        blue = drawn[..., 2] - drawn[..., 0] > 60
        middle = np.mean(np.nonzero(blue)[1])
        assert (middle < 139.5) == is_front_left
        assert blue.sum() > 200


def test_mask__covers_its_pixels_only() -> None:
    classes = np.zeros((2, 2), dtype=np.uint8)
    classes[:, 1] = 1
    shown = changed({"any": Mask(classes, BOX, ("background", "skin"), SHAPE)}, captions=False)
    assert shown[120, 165] and not shown[120, 115] and not shown[120, 200]


def test_mask__more_classes_than_colours() -> None:
    classes = np.arange(36, dtype=np.uint8).reshape(6, 6)
    labels = tuple(f"class {index}" for index in range(36))
    shown = changed({"any": Mask(classes, BOX, labels, SHAPE)}, "black", captions=False)
    assert shown[100:165, 120:165].all()
    assert len(np.unique(mask_colours(25), axis=0)) == 25


@pytest.mark.parametrize("side", [100, 2000])
def test_mask__large_regions_lie_where_small_ones_do(side: int) -> None:
    """Large ones are drawn coarsely and enlarged; also where they reach over the edge."""
    image = ground("grey", (side, side))
    classes = np.zeros((4, 4), dtype=np.uint8)
    classes[1:3, 2:] = 1
    box = np.array([0.3, 0.2, 1.1, 1.0]) * side - 0.5  # class 1: x from 0.7, y from 0.4 to 0.8
    faces = Faces((Face(box, math.nan, {"any": Mask(classes, box, ("no", "yes"), (side, side))}),), image)
    shown = marks(draw_faces(faces, captions=False, boxes=False), image)
    wanted = np.array([0.7, 0.4, 1.0, 0.8]) * side - [0, 0, 1, 1]
    np.testing.assert_allclose(extent(shown), wanted, atol=1 + 0.003 * side)


# Machado, Oliveira and Fernandes (2009), table for severity 1.0; they act on linear RGB
SIMULATIONS = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
TOUCHING = [
    *(("skin", part) for part in PARTS[2:] if part != "inner_mouth"),
    ("hair", "left_brow"), ("hair", "right_brow"),
    ("upper_lip", "inner_mouth"), ("lower_lip", "inner_mouth"), ("upper_lip", "lower_lip"),
]  # fmt: skip


def lab(colour: tuple[int, int, int], simulation: Any) -> NDArray[np.float64]:
    """CIELAB of an sRGB colour as somebody with that vision sees it (D65)."""
    share = np.array(colour) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    red, green, blue = np.clip(np.array(simulation) @ linear, 0, 1)
    x = (0.4124564 * red + 0.3575761 * green + 0.1804375 * blue) / 0.95047
    y = 0.2126729 * red + 0.7151522 * green + 0.0721750 * blue
    z = (0.0193339 * red + 0.1191920 * green + 0.9503041 * blue) / 1.08883
    fx, fy, fz = (math.cbrt(v) if v > 216 / 24389 else (24389 / 27 * v + 16) / 116 for v in (x, y, z))
    return np.array([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])


@pytest.mark.parametrize("vision", SIMULATIONS)
def test_palette__parts_that_touch_can_be_told_apart(vision: str) -> None:
    seen = [lab(colour, SIMULATIONS[vision]) for colour in MASK_COLOURS]
    for one, other in TOUCHING:
        distance = np.linalg.norm(seen[PARTS.index(one) - 1] - seen[PARTS.index(other) - 1])
        assert distance > 30, f"{one} and {other}: {distance:.0f}"  # 2.3 is just noticeable side by side
    for one, other in itertools.combinations(seen[:10], 2):
        assert np.linalg.norm(one - other) > 15


def test_rows() -> None:
    tasks: dict[str, Kind] = {
        "expression": Classes(np.array([0.6, 0.3, 0.04, 0.06]), ("happiness", "big_anger", "c", "d")),
        "age": Scalar(31.2, "years"),
        "gender": Classes(np.array([0.93, 0.07]), ("female", "male")),
        "attributes": Probabilities(np.linspace(0.1, 0.99, 12), tuple(f"Label_{i}" for i in range(12))),
        "landmarks": Points(np.zeros((1, 2))),
    }
    full, brief, line, *shorter = descriptions(Face(BOX, 0.987, tasks))
    assert full[:5] == [
        Row("face", "", 0.987),
        Row("expression", "happiness", 0.6),
        Row("", "big anger", 0.3),
        Row("", "d", 0.06),
        Row("age", "31 years"),
    ]
    assert full[5] == Row("gender", "female", 0.93) and full[6].name == "attributes"
    assert [row.value for row in full[6:]] == ["Label 11", "Label 10", "Label 9", "Label 8"]
    assert [row.value for row in brief] == ["", "happiness", "31 years", "female", "Label 11"]
    assert line == [Row("", "happiness 60%, 31 years, female 93%")]
    assert shorter == [[Row("", "happiness 60%, 31 years")], [Row("", "happiness 60%")]]


def test_rows__of_what_is_no_face() -> None:
    hidden = Face(BOX, 0.02, {"pose": Rotation(np.eye(3))}, visibility=0.02, track=7)
    assert next(descriptions(hidden)) == [
        Row("head 7", "face not seen"),
        Row("pose", "yaw 0°, pitch 0°, roll 0°"),
    ]
    assert list(descriptions(hidden))[-1] == [Row("", "#7")]
    assert list(descriptions(Face(BOX, math.nan))) == []
    assert list(descriptions(Face(BOX, 0.5)))[-1] == [Row("", "50%")]


CORNERS = [[10, 10, 90, 110], [310, 10, 390, 110], [10, 190, 90, 290], [310, 190, 390, 290],
           [150, 100, 250, 200], [-30, -20, 60, 90]]  # fmt: skip


def text_marks(faces: Faces, **options: Any) -> NDArray[np.bool_]:
    """(H, W): the pixels of the text."""
    with_text, without = (np.asarray(draw_faces(faces, captions=each, **options)) for each in (True, False))
    return (with_text != without).any(axis=2)


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("box", CORNERS)
def test_text__keeps_off_the_face(box: list[float], background: str) -> None:
    face = Face(np.array(box, dtype=float), 0.9, everything(np.array(box, dtype=float), SHAPE))
    text = text_marks(Faces((face,), ground(background)))
    x0, y0, x1, y1 = (max(0, value) for value in box)
    assert text.sum() > 500 and not text[y0 + 1 : y1, x0 + 1 : x1].any()


@pytest.mark.parametrize("side, columns", [(18, 12), (60, 5)])
def test_text__of_a_crowd_covers_no_face_and_no_other_text(side: int, columns: int) -> None:
    shape = (600, 900)
    pitch = 900 // columns
    boxes = [
        np.array([x, y, x + side, y + side * 1.2])
        for y in range(10, 520, int(side * 1.2) + 60)
        for x in range(5, 900 - side, pitch)
    ]
    faces = Faces(tuple(Face(box, 0.9, everything(box, shape)) for box in boxes), ground("noise", shape))
    text = text_marks(faces)
    for x0, y0, x1, y1 in np.array(boxes).round().astype(int):
        assert not text[y0 + 1 : y1, x0 + 1 : x1].any()
    assert text.any() and text.mean() < 0.5


@pytest.mark.parametrize("shape", [(8, 8), (20, 300), (300, 20), (120, 100), (48, 48)])
def test_text__in_an_image_without_room(shape: tuple[int, int]) -> None:
    box = np.array([1.0, 1.0, shape[1] - 2.0, shape[0] - 2.0])
    faces = Faces((Face(box, 0.9, everything(box, shape)),), ground("grey", shape))
    assert faces.draw().size == (shape[1], shape[0])
    features = (slice(int(0.3 * shape[0]), shape[0] - 2), slice(int(0.15 * shape[1]), int(0.85 * shape[1])))
    assert not text_marks(faces)[features].any()


def test_text__of_a_close_up_lies_above_the_brows() -> None:
    box = np.array([5.0, 5.0, 295.0, 295.0])
    tasks = {"expression": Classes(np.array([1.0]), ("happiness",)), "age": Scalar(31.0, "years")}
    text = text_marks(Faces((Face(box, 0.9, tasks),), ground("grey", (300, 300))))
    assert text.any() and extent(text)[3] < 5 + 0.2 * 290


def test_text__in_a_margin_covers_nothing() -> None:
    box = np.array([1.0, 1.0, 99.0, 119.0])
    image = ground("noise", (120, 100))
    faces = Faces((Face(box, 0.9, everything(box, (120, 100))),), image)
    bare, wide = faces.draw(captions=False), faces.draw(captions="margin")
    assert wide.width > 200 and wide.height >= 120
    assert (np.asarray(wide)[:120, :100] == np.asarray(bare)).all()
    assert len(np.unique(np.asarray(wide)[:, 100:].reshape(-1, 3), axis=0)) > 50
    empty = Faces((), image)
    assert empty.draw(captions="margin").size == (100, 120)


def test_text__in_a_margin_for_many() -> None:
    boxes = [np.array([x, y, x + 22.0, y + 26.0]) for x in range(0, 390, 40) for y in range(0, 280, 50)]
    faces = Faces(tuple(Face(box, 0.9, everything(box, SHAPE)) for box in boxes), ground("grey"))
    wide = faces.draw(captions="margin")
    assert wide.height == 300 and wide.width > 600


def test_legend__names_what_is_seen_once() -> None:
    def colours(classes: list[int], count: int) -> list[tuple[int, ...]]:
        """Colours of the legend's swatches, found in the margin."""
        mask = np.array([classes], dtype=np.uint8)
        boxes = [np.array([10.0 + 130 * index, 80.0, 110 + 130 * index, 180.0]) for index in range(count)]
        tasks = [{"parts": Mask(mask, box, PARTS, SHAPE)} for box in boxes]
        faces = Faces(
            tuple(Face(*each) for each in zip(boxes, [math.nan] * count, tasks, strict=True)), ground("grey")
        )
        margin = np.asarray(faces.draw(captions="margin"))[:, 400:].reshape(-1, 3)
        found, counts = np.unique(margin, axis=0, return_counts=True)
        big = {tuple(map(int, colour)) for colour, number in zip(found, counts, strict=True) if number > 30}
        return [colour for colour in MASK_COLOURS if colour in big and colour != (255, 255, 255)]

    assert colours([0, 1, 6], 1) == [MASK_COLOURS[0], MASK_COLOURS[5]]
    assert colours([0, 1, 6], 3) == [MASK_COLOURS[0], MASK_COLOURS[5]]
    assert colours([0, 0], 1) == []


def test_tasks__chooses_what_is_drawn() -> None:
    faces = Faces((Face(BOX, math.nan, everything(BOX, SHAPE)),), ground("grey"))
    only = faces.draw(tasks=["pose"], captions=False)
    pose = Faces((Face(BOX, math.nan, {"pose": Rotation(np.eye(3))}),), faces.image).draw(captions=False)
    assert (np.asarray(only) == np.asarray(pose)).all()
    assert (np.asarray(faces.draw(tasks=[], boxes=False)) == faces.image).all()
    with pytest.raises(UsageError, match="unknown task 'pos': did you mean 'pose'"):
        faces.draw(tasks=["pos"])
    with pytest.raises(UsageError, match=r"write \['pose'\]"):
        faces.draw(tasks="pose")
    head = Face(BOX, 0.1, {"pose": Rotation(np.eye(3))}, visibility=0.1)
    Faces((head,), faces.image).draw(tasks=["landmarks"])  # a head does not know which tasks there are


@pytest.mark.parametrize(
    "options, message",
    [
        ({"captions": "left"}, "captions is True, False"),
        ({"pose": "arrow"}, 'pose is "axes" or "cube"'),
        ({"size": 0}, "size lies in 1 to"),
        ({"font": "/nowhere/font.ttf"}, "/nowhere/font.ttf: is no font file"),
    ],
)
def test_options__refuses_what_it_does_not_know(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Faces((Face(BOX, 0.9),), ground("grey")).draw(**options)


@pytest.mark.parametrize("size", [150, 200, 800, 1000])
def test_size__everything_moves_with_the_picture(size: int) -> None:
    image = ground("grey")
    faces = Faces((Face(BOX, 0.9, everything(BOX, SHAPE)),), image)
    drawn = faces.draw(size=size, captions=False)
    scale = size / 400
    assert drawn.size == (size, round(300 * scale))
    shown = marks(drawn, ground("grey", (drawn.height, drawn.width)))
    same = marks(faces.draw(captions=False), image)
    np.testing.assert_allclose(
        (np.array(extent(shown)) + 0.5) / scale, np.array(extent(same)) + 0.5, atol=2 + 1.5 / scale
    )


def test_size__makes_room_for_text() -> None:
    box = np.array([20.0, 10.0, 60.0, 60.0])
    faces = Faces((Face(box, 0.9, everything(box, (80, 80))),), ground("white", (80, 80)))
    assert text_marks(faces, size=900).mean() > text_marks(faces).mean() * 0.5
    assert text_marks(faces, size=900).sum() > 20_000


@pytest.fixture
def no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A computer without any font but Pillow's."""
    from faceperc.drawing import fonts

    monkeypatch.setattr(fonts, "_matplotlib_font", lambda: ())
    monkeypatch.setattr(fonts, "SYSTEM_FONTS", ())
    fonts._family.cache_clear()
    yield
    fonts._family.cache_clear()


def labelled(label: str) -> Faces:
    return Faces((Face(BOX, math.nan, {"x": Classes(np.array([1.0]), (label,))}),), ground("grey"))


def test_fonts__letters_that_no_font_has(no_matplotlib: None) -> None:
    with pytest.warns(UserWarning, match="FACEPERC_FONT"):
        labelled("Лицо").draw()


def test_fonts__a_font_of_the_computer_fills_in() -> None:
    """matplotlib's DejaVu has Cyrillic letters, Pillow's own font has not."""
    one, other = (np.asarray(labelled(text).draw()) for text in ("Лицо", "Шумы"))
    assert (one != other).any()  # not two rows of boxes for missing letters


def test_fonts__of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSerif.ttf")
    assert ImageFont.truetype(str(path))
    plain, chosen = (np.asarray(labelled("happiness").draw(font=font)) for font in (None, path))
    assert (plain != chosen).any()
    monkeypatch.setenv("FACEPERC_FONT", str(path))
    assert (np.asarray(labelled("happiness").draw()) == chosen).all()


@pytest.mark.parametrize("size", [100, None, 3000])
def test_the_sample__has_text_off_the_face_at_any_size(size: int | None) -> None:
    faces = faceperc.Predictor()(sample_image())
    scale = (size or 512) / 512
    text = text_marks(faces, size=size)
    for face in faces:
        x0, y0, x1, y1 = (face.box * scale).round().astype(int)
        assert text.any() and not text[y0 + 2 : y1 - 1, x0 + 2 : x1 - 1].any()


def test_imports__drawing_needs_neither_matplotlib_nor_supervision() -> None:
    code = (
        "import sys, numpy as np; from faceperc.results import Face, Faces;"
        "faces = Faces((Face(np.array([2., 2., 40., 40.]), .9),), np.zeros((90, 90, 3), np.uint8));"
        "faces.draw(); faces._repr_html_();"
        "assert not {'matplotlib', 'supervision', 'torch', 'cv2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_margin__of_a_crowd_or_a_panorama_stays_a_picture() -> None:
    boxes = [np.array([x, 4.0, x + 20.0, 30.0]) for x in np.arange(0.0, 8000, 80)]
    mood = Classes(np.array([0.8, 0.2]), ("happy", "sad"))
    panorama = np.full((40, 8000, 3), 128, np.uint8)
    faces = Faces(tuple(Face(box, 0.9, {"mood": mood}) for box in boxes), panorama)
    wide = faces.draw(captions="margin")
    assert wide.width < 3 * 8000 and wide.height < 8000
    square = Faces(faces.faces, np.full((400, 400, 3), 128, np.uint8)).draw(captions="margin")
    assert square.width < 4 * square.height


@pytest.mark.parametrize("label", ["x" * 200, "one\ntwo\r\nthree", "a\x00\x1b[31mb", "word " * 60])
def test_text__of_odd_labels_is_one_short_line(label: str) -> None:
    face = Face(BOX, 0.9, {"mood": Classes(np.array([0.9, 0.1]), (label, "other"))})
    for rows in descriptions(face):
        for row in rows:
            assert len(row.value) <= 40 and row.value.isprintable() and row.value == row.value.strip()
    assert changed(dict(face.tasks)).any()  # there is room for it
