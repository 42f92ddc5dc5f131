"""The runtime half of the detector: geometry and suppression, with a fake model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from faceperc.detect import FaceDetector, fit, nms, to_image
from faceperc.errors import ModelError, UsageError
from faceperc.metadata import DetectorInfo, ModelMetadata

INFO = DetectorInfo(stride=64, max_side=640, min_face=10.0, nms_iou=0.45, nms_score=0.5)


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
