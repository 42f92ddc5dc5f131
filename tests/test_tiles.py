"""Tiles: each small face is seen whole by one of them, and found once, wherever it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from faceperc.detect import FaceDetector
from faceperc.errors import UsageError
from faceperc.metadata import DetectorInfo, ModelMetadata
from faceperc.runtime import OnnxModel
from faceperc.tiles import MAX_TILES, TILES_TO, WHOLE_FROM, tiles_of
from faceperc.zoo import DEFAULT_DETECTOR, find_model, sample_image

INFO = DetectorInfo(stride=64, max_side=640, min_face=14.0, nms_iou=0.45, nms_score=0.5, nms_head=0.5)
sizes = st.integers(1, 9000)


class WhiteSquare:
    """Finds the white rectangle of a black picture, as much of it as it sees, from 10 px on."""

    metadata = ModelMetadata("detector", "fake", "0", "image", detector=INFO)

    def __init__(self) -> None:
        self.sides: list[int] = []

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        image = inputs["image"]
        self.sides.append(max(image.shape[1:3]))
        white = image[0, :, :, 0] > 127
        x, y = np.flatnonzero(white.any(axis=0)), np.flatnonzero(white.any(axis=1))
        if min(len(x), len(y)) < 10:
            return {"boxes": np.zeros((0, 4), np.float32), "scores": np.zeros(0, np.float32)}
        box = [x[0] - 0.5, y[0] - 0.5, x[-1] + 0.5, y[-1] + 0.5]
        return {"boxes": np.float32([box]), "scores": np.float32([0.9])}


@given(sizes, sizes, st.data())
def test_every_small_face_is_seen_whole(width: int, height: int, data: st.DataObject) -> None:
    tiles = tiles_of(width, height, INFO)
    assert len(tiles) <= MAX_TILES and (not tiles) == (max(width, height) <= INFO.max_side)
    seen = np.zeros((height // 16 + 1, width // 16 + 1), bool)
    for tile in tiles:
        assert 0 <= tile.x0 < tile.x1 <= width and 0 <= tile.y0 < tile.y1 <= height
        seen[tile.y0 // 16 : tile.y1 // 16 + 1, tile.x0 // 16 : tile.x1 // 16 + 1] = True
    if not tiles:
        return
    assert seen.all()
    largest = TILES_TO * INFO.min_face * max(width, height) / INFO.max_side
    largest = min(largest, 1.5 * min(width, height))
    face = np.array(
        [data.draw(st.floats(1, min(largest, side))) if side > 1 else 1 for side in (width, height)]
    )
    corner = np.array([data.draw(st.floats(0, 1)) for _ in range(2)]) * ([width, height] - face) - 0.5
    box = np.concatenate([corner, corner + face])
    assert any(tile.holds(box[None])[0] for tile in tiles)


def test_what_a_border_cuts_is_left_to_the_neighbour() -> None:
    left, right = tiles_of(1000, 400, INFO)
    assert (left.x0, right.x1) == (0, 1000) and left.x1 - right.x0 >= 2 * 14 * 1000 / 640
    cut = np.array([[left.x1 - 30.0, 50, left.x1 - 1, 80], [right.x0 + 1.0, 50, right.x0 + 40, 80]])
    assert left.holds(cut).tolist() == [False, True] and right.holds(cut).tolist() == [True, False]
    beyond = np.array([[-20.0, -30, 40, 30]])  # over the image's own border: nobody sees more of it
    assert left.holds(beyond).all() and not right.holds(beyond).any()


@settings(max_examples=15, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.integers(14, 600), st.sampled_from([(1500, 1100), (700, 3000)]))
@example(0.5, 0.5, 40, (1500, 1100))
@example(0.0, 0.375, 95, (700, 3000))
def test_a_square_is_found_once_where_it_is(x: float, y: float, side: int, size: tuple[int, int]) -> None:
    width, height = size
    x0, y0 = round(x * (width - side)), round(y * (height - side))
    image = np.zeros((height, width, 3), np.uint8)
    image[y0 : y0 + side, x0 : x0 + side] = 255
    boxes, _ = FaceDetector(WhiteSquare(), tiles=True).detect(image)
    assert len(boxes) == 1
    shrink = max(size) / INFO.max_side
    # shrunk, a square may look larger by a pixel, and so large enough for the whole picture's answer
    error = shrink if side + shrink >= WHOLE_FROM * INFO.min_face * shrink else 0
    np.testing.assert_allclose(boxes[0], np.array([x0, y0, x0 + side, y0 + side]) - 0.5, atol=error)


def test_tiles_are_seen_one_by_one_and_only_where_they_are_wanted() -> None:
    runs: dict[Any, list[int]] = {}
    for tiles in (False, True, "auto"):
        for shape in ((480, 640), (900, 1200), (3000, 4000)):
            model = WhiteSquare()
            FaceDetector(model, tiles=tiles).detect(np.zeros((*shape, 3), np.uint8))  # type: ignore[arg-type]
            assert max(model.sides) <= INFO.max_side
            runs.setdefault(tiles, []).append(len(model.sides))
    assert runs[False] == [1, 1, 1] and runs[True][0] == 1 and runs["auto"][:2] == [1, 1]
    assert runs[True][1] > 1 and 1 < runs["auto"][2] == runs[True][2] <= 1 + MAX_TILES


@pytest.mark.parametrize("tiles", ["yes", None, 2, 640])
def test_other_values_are_refused(tiles: Any) -> None:
    with pytest.raises(UsageError, match='tiles is True, False or "auto"'):
        FaceDetector(WhiteSquare(), tiles=tiles)


@pytest.fixture(scope="module")
def shipped() -> FaceDetector:
    return FaceDetector(OnnxModel(find_model(DEFAULT_DETECTOR), threads=1), tiles=True)


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    return Image.open(sample_image()).convert("RGB")


HEAD = (90, 0, 360, 270)  # the astronaut's head in the photograph, without the suit's patches
FACE = np.array([175, 66, 271, 178])


@settings(max_examples=6, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
@example(0.5, 0.5)
def test_a_small_face_is_found_once_wherever_it_is(
    shipped: FaceDetector, astronaut: Image.Image, x: float, y: float
) -> None:
    """A face of 43 px; the example puts it upon the borders of four tiles."""
    width, height, side = 1200, 900, 104
    x0, y0 = round(x * (width - side)), round(y * (height - side))
    picture = Image.new("RGB", (width, height), (110, 110, 110))
    picture.paste(astronaut.crop(HEAD).resize((side, side)), (x0, y0))
    boxes, _ = shipped.detect(np.asarray(picture))
    assert len(boxes) == 1
    face = (FACE - np.tile(HEAD[:2], 2)) * side / 270 + np.tile([x0, y0], 2)
    np.testing.assert_allclose(boxes[0], face, atol=8)


def test_a_large_face_is_found_once(shipped: FaceDetector, astronaut: Image.Image) -> None:
    """A face of 400 px in a picture of 1800: each tile sees a part of it."""
    boxes, _ = shipped.detect(np.asarray(astronaut.resize((1800, 1800))))
    assert len(boxes) == 1
    np.testing.assert_allclose(boxes[0], FACE * 1800 / 512, atol=40)
