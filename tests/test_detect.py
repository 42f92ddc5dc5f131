"""The runtime half of the detector: geometry and suppression, faces and heads, with fake and tiny models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_onnx import TURN, build_detector

from faceperc.detect import FaceDetector, fit, to_image
from faceperc.detections import nms
from faceperc.errors import ModelError, UsageError
from faceperc.metadata import POINT_NAMES, DetectorInfo, ModelMetadata
from faceperc.runtime import OnnxModel

INFO = DetectorInfo(stride=64, max_side=640, min_face=10.0, nms_iou=0.45, nms_score=0.5, nms_head=0.5)


class BrightSquare:
    """Says the tight box of all bright pixels, sub-pixel where the border is blurred, and a poor one."""

    metadata = ModelMetadata("detector", "fake", "0", "image", detector=INFO)

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        image = inputs["image"]
        assert image.dtype == np.uint8 and image.shape[0] == 1 and image.shape[3] == 3
        assert image.shape[1] % 64 == 0 and image.shape[2] % 64 == 0
        mass = image[0, :, :, 0].astype(np.float64) / 255
        box = [*_extent(mass.max(axis=0)), *_extent(mass.max(axis=1))]
        box = np.array([box[0], box[2], box[1], box[3]])
        boxes = np.stack([box, box + 1, np.array([0, 0, 20, 20])])
        return {"boxes": boxes.astype(np.float32), "scores": np.array([0.9, 0.8, 0.3], np.float32)}


def _extent(profile: NDArray[np.float64]) -> tuple[float, float]:
    middle = (profile * np.arange(len(profile))).sum() / profile.sum()
    return middle - profile.sum() / 2, middle + profile.sum() / 2


@pytest.mark.parametrize(
    "shape",
    [
        (300, 400),  # as it is
        (1000, 3000),  # shrunk
        (1237, 733),  # shrunk by an odd factor
        (50, 90),  # enlarged
        (640, 640),
        (17, 900),
    ],
)
def test_boxes_come_back_in_image_pixels(shape: tuple[int, int]) -> None:
    height, width = shape
    x0, y0, x1, y1 = width // 4, height // 4, width * 3 // 4, height * 3 // 4
    image = np.zeros((height, width, 3), np.uint8)
    image[y0:y1, x0:x1] = 255  # pixels x0 ... x1 - 1, so the square spans x0 - 0.5 to x1 - 0.5
    boxes, scores = FaceDetector(BrightSquare()).detect(image)
    assert boxes.dtype == np.float64 and scores.tolist() == [pytest.approx(0.9)]
    tolerance = 0.02 + 0.08 * max(1, max(shape) / 640)
    np.testing.assert_allclose(boxes[0], np.array([x0, y0, x1, y1]) - 0.5, atol=tolerance)


def test_score_threshold_and_order() -> None:
    image = np.zeros((128, 256, 3), np.uint8)
    image[40:80, 100:150] = 255
    boxes, scores = FaceDetector(BrightSquare(), min_score=0.1).detect(image)
    assert len(boxes) == 2 and scores[0] > scores[1]
    assert len(FaceDetector(BrightSquare(), min_score=0.95).detect(image)[0]) == 0


def test_nothing_found_gives_empty_arrays() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[10:20, 10:20] = 255
    boxes, scores = FaceDetector(BrightSquare(), min_score=1.0).detect(image)
    assert boxes.shape == (0, 4) and scores.shape == (0,)


@pytest.mark.parametrize(
    "image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)]
)
def test_unusable_images_are_refused(image: NDArray[Any]) -> None:
    with pytest.raises(UsageError, match="uint8 RGB"):
        FaceDetector(BrightSquare()).detect(image)


def test_unusable_models_and_scores_are_refused() -> None:
    class Face:
        metadata = ModelMetadata("face", "fake", "0", "crops")

        def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
            return {}

    with pytest.raises(ModelError, match="not a detector"):
        FaceDetector(Face())
    with pytest.raises(UsageError, match="min_score"):
        FaceDetector(BrightSquare(), min_score=1.5)


def test_fit_pads_with_zeros_right_and_below() -> None:
    image = np.full((200, 300, 3), 7, np.uint8)
    padded, scale = fit(image, 640, 64)
    assert padded.shape == (256, 320, 3) and scale.tolist() == [1.0, 1.0]
    assert (padded[:200, :300] == 7).all() and not padded[200:].any() and not padded[:, 300:].any()


@pytest.mark.parametrize(
    ("size", "wanted"), [((200, 100), (400, 200)), ((500, 250), (640, 320)), ((40, 20), (160, 80))]
)
def test_fit_enlarges_small_images_where_the_file_says_so(
    size: tuple[int, int], wanted: tuple[int, int]
) -> None:
    padded, scale = fit(np.full((size[1], size[0], 3), 255, np.uint8), 640, 32, enlarge=2.0)
    assert (padded[..., 0] == 255).any(0).sum() == wanted[0] and (padded[..., 0] == 255).any(
        1
    ).sum() == wanted[1]
    np.testing.assert_allclose(scale, np.array(size) / wanted)


def test_fit_copies_nothing_where_nothing_is_to_be_done() -> None:
    image = np.random.default_rng(0).integers(0, 256, (256, 640, 3), dtype=np.uint8)
    assert np.shares_memory(fit(image, 640, 64)[0], image)
    part = image[:128, 64:256]  # not contiguous
    padded, _ = fit(part, 640, 64)
    assert padded.flags.c_contiguous and (padded == part).all()


def test_fit_averages_whole_blocks() -> None:
    image = np.random.default_rng(0).integers(0, 256, (960, 1280, 3), dtype=np.uint8)
    blocks = image.reshape(480, 2, 640, 2, 3).mean(axis=(1, 3))
    padded, scale = fit(image, 640, 64)
    assert padded.shape == (512, 640, 3) and scale.tolist() == [2.0, 2.0] and not padded[480:].any()
    assert np.abs(padded[:480] - blocks).max() <= 0.5


@given(st.integers(1, 1500), st.integers(1, 1500), st.sampled_from([(640, 64), (640, 32), (100, 32)]))
def test_fit_of_any_size(width: int, height: int, limits: tuple[int, int]) -> None:
    max_side, stride = limits
    padded, scale = fit(np.full((height, width, 3), 255, np.uint8), max_side, stride)
    inner = np.round([height / scale[1], width / scale[0]]).astype(int)
    assert padded.dtype == np.uint8 and padded.flags.c_contiguous
    assert all(side % stride == 0 and side < max_side + stride for side in padded.shape[:2])
    assert 1 <= inner.max() <= max_side and inner.max() >= min(160, max_side)
    assert (padded[: inner[0], : inner[1]] == 255).all()
    assert not padded[inner[0] :].any() and not padded[:, inner[1] :].any()


def test_to_image_keeps_the_border_in_place() -> None:
    whole = np.array([[-0.5, -0.5, 319.5, 159.5]])
    np.testing.assert_allclose(to_image(whole, np.array([4.0, 2.0])), [[-0.5, -0.5, 1279.5, 319.5]])


def test_nms_keeps_the_best_of_each_cluster() -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 300, (200, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(10, 80, (200, 2))], axis=1)
    scores = rng.random(200)
    keep = nms(boxes, scores, 0.4)
    assert (np.diff(scores[keep]) <= 0).all() and len(set(keep.tolist())) == len(keep)
    overlap = _iou(boxes, boxes[keep])
    among = overlap[keep] - np.eye(len(keep))
    assert among.max() <= 0.4  # no two survivors overlap by more
    dropped = np.setdiff1d(np.arange(200), keep)
    better = scores[keep][None] >= scores[dropped][:, None]
    assert ((overlap[dropped] > 0.4) & better).any(axis=1).all()  # and each victim had a better rival
    assert nms(boxes[keep], scores[keep], 0.4).tolist() == list(range(len(keep)))  # nothing left to do


def test_nms_of_nothing_and_of_equals() -> None:
    assert nms(np.empty((0, 4)), np.empty(0), 0.5).shape == (0,)
    same = np.tile([0.0, 0, 10, 10], (3, 1))
    assert nms(same, np.full(3, 0.5), 0.5).tolist() == [0]


def _iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    overlap = (high - low).clip(min=0).prod(-1)
    area = [(x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b)]
    return overlap / (area[0][:, None] + area[1][None] - overlap)


SHAPE = (192, 320, 3)  # of an image that a tiny detector sees as it is

#: What a detector that knows heads says: a person from the front, by two cells, one from behind, one from the
#: side, and a cell that sees nothing. Score, head, box.
CELLS = [
    (0.90, 0.95, [20, 20, 60, 70]),
    (0.60, 0.97, [21, 20, 61, 70]),
    (0.02, 0.92, [120, 30, 170, 90]),
    (0.01, 0.81, [122, 30, 172, 90]),
    (0.75, 0.80, [220, 40, 260, 90]),
    (0.10, 0.30, [270, 10, 300, 50]),
]


def further_outputs(count: int) -> dict[str, NDArray[Any]]:
    """Points 10 i + (0, 1, ..., 9) of cell i, and rotations: identities, but TURN in cell 2."""
    points = 10.0 * np.arange(count)[:, None, None] + np.arange(10).reshape(5, 2)
    rotations = np.tile(np.eye(3), (count, 1, 1))
    rotations[2] = TURN
    return {"points": points, "rotations": rotations}


@pytest.fixture(scope="module")
def heads_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scores, heads, boxes = (list(each) for each in zip(*CELLS, strict=True))
    path = tmp_path_factory.mktemp("heads") / "heads.onnx"
    return build_detector(path, boxes, scores, heads=np.array(heads), **further_outputs(len(CELLS)))


def test_faces__of_a_detector_that_knows_heads(heads_file: Path) -> None:
    detector = FaceDetector(OnnxModel(heads_file))
    found = detector.find(np.zeros(SHAPE, np.uint8))
    # one box for the person from the front: that of the surest face, though another cell is surer of the head
    np.testing.assert_allclose(found.scores, [0.90, 0.75], rtol=1e-6)
    np.testing.assert_allclose(found.boxes, [CELLS[0][2], CELLS[4][2]])
    np.testing.assert_allclose(found.visibility, [0.90 / 0.95, 0.75 / 0.80], rtol=1e-6)
    assert found.heads is not None and found.points is not None and found.rotations is not None
    assert found.points.shape == (2, len(POINT_NAMES), 2) and found.points[:, 0, 0].tolist() == [0, 40]
    assert found.rotations.tolist() == [np.eye(3).tolist()] * 2
    boxes, scores = detector.detect(np.zeros(SHAPE, np.uint8))
    assert boxes.tolist() == found.boxes.tolist() and scores.tolist() == found.scores.tolist()


def test_heads__come_after_the_faces(heads_file: Path) -> None:
    found = FaceDetector(OnnxModel(heads_file)).find(np.zeros(SHAPE, np.uint8), heads=True)
    assert found.heads is not None and found.points is not None and found.rotations is not None
    np.testing.assert_allclose(found.heads, [0.95, 0.80, 0.92], rtol=1e-6)
    np.testing.assert_allclose(found.boxes[2], CELLS[2][2])
    assert found.visibility[2] == pytest.approx(0.02 / 0.92)
    assert found.rotations[2].tolist() == TURN.tolist() and found.points[2, 0].tolist() == [20, 21]
    assert len(found[:2]) == 2 and found[np.array([2])].scores.tolist() == [found.scores[2]]


@pytest.mark.parametrize(
    ("min_score", "faces", "heads"), [(0.7, 2, 3), (0.85, 1, 2), (0.0, 4, 4), (1.0, 0, 0)]
)
def test_heads__the_threshold_is_for_both(heads_file: Path, min_score: float, faces: int, heads: int) -> None:
    detector = FaceDetector(OnnxModel(heads_file), min_score)
    assert len(detector.find(np.zeros(SHAPE, np.uint8))) == faces
    assert len(detector.find(np.zeros(SHAPE, np.uint8), heads=True)) == heads


@pytest.mark.parametrize("other", [[22, 21, 62, 72], [35, 30, 45, 45], [0, 0, 75, 100]])
def test_heads__one_at_a_face_is_that_faces(tmp_path: Path, other: list[float]) -> None:
    """Whether it overlaps the face or is much smaller or larger, and however sure it is of the head."""
    path = build_detector(
        tmp_path / "d.onnx", [other, [20, 20, 60, 70]], [0.1, 0.6], heads=np.array([0.9, 0.7])
    )
    found = FaceDetector(OnnxModel(path)).find(np.zeros(SHAPE, np.uint8), heads=True)
    np.testing.assert_allclose(found.boxes, [[20, 20, 60, 70]])


def test_heads__have_a_threshold_of_their_own(tmp_path: Path) -> None:
    path = build_detector(tmp_path / "d.onnx", [[20, 20, 60, 70]], [0.1], heads=np.array([0.4]))
    model = onnx.load(path)
    document = json.loads(model.metadata_props[0].value)
    assert len(FaceDetector(OnnxModel(path)).find(np.zeros(SHAPE, np.uint8), heads=True)) == 0
    document["nms"]["head"] = 0.3
    onnx.helper.set_model_props(model, {"faceperc": json.dumps(document)})
    onnx.save(model, path)
    assert len(FaceDetector(OnnxModel(path)).find(np.zeros(SHAPE, np.uint8), heads=True)) == 1
    assert len(FaceDetector(OnnxModel(path), 0.5).find(np.zeros(SHAPE, np.uint8), heads=True)) == 0


def test_points__come_back_in_image_pixels(heads_file: Path) -> None:
    found = FaceDetector(OnnxModel(heads_file)).find(np.zeros((960, 1280, 3), np.uint8))  # shrunk twofold
    assert found.points is not None
    np.testing.assert_allclose(found.points[1, 0], (np.array([40, 41]) + 0.5) * 2 - 0.5)
    np.testing.assert_allclose(found.boxes[1], (np.array(CELLS[4][2]) + 0.5) * 2 - 0.5)


def test_older_files__know_no_heads(detector_model: Path) -> None:
    detector = FaceDetector(OnnxModel(detector_model))
    found = detector.find(np.zeros(SHAPE, np.uint8))
    assert len(found) == 2 and np.isnan(found.visibility).all()
    assert found.heads is None and found.points is None and found.rotations is None
    with pytest.raises(UsageError, match=r"tiny-detector finds faces only.*'heads'"):
        detector.find(np.zeros(SHAPE, np.uint8), heads=True)


@pytest.mark.parametrize(
    ("further", "reason"),
    [
        ({"heads": np.zeros((2, 1))}, r"output heads has the shape \(2, 1\), wanted is \(A\)"),
        ({"points": np.zeros((2, 10))}, r"points has the shape \(2, 10\), wanted is \(A, 5, 2\)"),
        ({"points": np.zeros((2, 68, 2))}, r"points has the shape \(2, 68, 2\)"),
        ({"rotations": np.zeros((2, 6))}, r"rotations has the shape \(2, 6\), wanted is \(A, 3, 3\)"),
        ({"heads": np.zeros(3)}, "differ in the number of cells: boxes 2, scores 2, heads 3"),
    ],
)
def test_broken_files__are_refused(tmp_path: Path, further: dict[str, NDArray[Any]], reason: str) -> None:
    boxes, scores = [[0.0, 0, 9, 9]] * 2, [0.5, 0.6]
    with pytest.raises(ModelError, match=rf"a\.onnx: its.*{reason}"):
        OnnxModel(build_detector(tmp_path / "a.onnx", boxes, scores, **further))


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        (np.zeros(3, np.float32), "differ in the number of cells: boxes 2, scores 3"),
        (np.array(0.5, np.float32), r"output scores has the shape \(\), wanted is \(A\)"),
    ],
)
def test_broken_files__whose_shapes_only_a_run_shows(scores: NDArray[np.float32], reason: str) -> None:
    class Broken(BrightSquare):
        def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
            return {"boxes": np.zeros((2, 4), np.float32), "scores": scores}

    with pytest.raises(ModelError, match=f"fake: its.*{reason}"):
        FaceDetector(Broken()).detect(np.zeros(SHAPE, np.uint8))


def test_broken_files__numbers_that_are_none_find_nothing(tmp_path: Path) -> None:
    boxes = [[20.0, 20, 60, 70], [float("nan"), 20, 60, 70], [100, 20, 160, 70]]
    heads = np.array([np.nan, 0.9, 0.9])
    path = build_detector(tmp_path / "a.onnx", boxes, [float("nan"), 0.9, 0.8], heads=heads)
    found = FaceDetector(OnnxModel(path)).find(np.zeros(SHAPE, np.uint8), heads=True)
    np.testing.assert_allclose(found.boxes, [boxes[2]])
