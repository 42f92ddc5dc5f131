"""FaceDetector: boxes of all faces in an image, from a detector's ONNX file. NumPy and Pillow only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from faceperc.errors import ModelError, UsageError
from faceperc.metadata import DetectorInfo, ModelMetadata

Array = NDArray[np.float64]

MIN_SIDE = 160  # smaller images are enlarged to this longer side: on a thumbnail a face has too few cells
MAX_FACES = 1000  # bounds the time of the suppression on a picture of a crowd


class Model(Protocol):
    """What is needed of `faceperc.runtime.OnnxModel`."""

    metadata: ModelMetadata

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Arrays by the name of the ONNX output."""
        ...


class FaceDetector:
    """Finds faces.

    Example:
        >>> from faceperc.runtime import OnnxModel
        >>> detector = FaceDetector(OnnxModel("detector-nano.onnx"))  # doctest: +SKIP
        >>> boxes, scores = detector.detect(image)  # doctest: +SKIP

    Attributes:
        info: the detector's settings, from the model file.
        min_score: faces with a lower score are dropped.
    """

    def __init__(self, model: Model, min_score: float | None = None) -> None:
        """Use an opened model.

        Args:
            model: an opened detector file.
            min_score: in [0, 1]; by default the value that the file recommends.

        Raises:
            ModelError: if the model is not a detector.
            UsageError: if ``min_score`` is outside [0, 1].
        """
        info = model.metadata.detector
        if info is None:
            raise ModelError(f"{model.metadata.name} is a {model.metadata.role} model, not a detector")
        if min_score is not None and not 0 <= min_score <= 1:
            raise UsageError(f"min_score lies in [0, 1]; got {min_score!r}")
        self.info: DetectorInfo = info
        self.min_score = info.nms_score if min_score is None else float(min_score)
        self._model = model

    def detect(self, image: NDArray[np.uint8]) -> tuple[Array, Array]:
        """Find the faces of one image.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            boxes: (N, 4) x0, y0, x1, y1 in image pixels, hairline to chin; a box may reach outside the image.
            scores: (N,) in [0, 1], descending.

        Raises:
            UsageError: if the image is not (H, W, 3) uint8.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise UsageError(f"an image is (H, W, 3) uint8 RGB; got {image.shape} {image.dtype}")
        padded, scale = fit(image, self.info.max_side, self.info.stride)
        outputs = self._model.run({self._model.metadata.input: padded[None]})
        boxes, scores = outputs["boxes"].astype(np.float64), outputs["scores"].astype(np.float64)
        sure = scores >= self.min_score
        boxes, scores = to_image(boxes[sure], scale), scores[sure]
        inside = _centre_inside(boxes, image.shape[1], image.shape[0])  # none in the padding
        boxes, scores = boxes[inside], scores[inside]
        keep = nms(boxes, scores, self.info.nms_iou)
        return boxes[keep], scores[keep]


def fit(image: NDArray[np.uint8], max_side: int, stride: int) -> tuple[NDArray[np.uint8], Array]:
    """Shrink an image to at most ``max_side``, enlarge a tiny one, and pad it to a multiple of the stride.

    Args:
        image: (H, W, 3) uint8.
        max_side: largest longer side, px.
        stride: height and width of the result are multiples of it; zeros are added right and below.

    Returns:
        padded: (H', W', 3) uint8, C-contiguous.
        scale: (2,) image pixels per input pixel, x and y; they differ a little where sizes are rounded.
    """
    height, width = image.shape[:2]
    longer = max(height, width)
    wanted = min(max(longer, min(MIN_SIDE, max_side)), max_side)
    new = max(1, round(width * wanted / longer)), max(1, round(height * wanted / longer))
    if new != (width, height):
        resized = Image.fromarray(image).resize(new, Image.Resampling.BILINEAR, reducing_gap=2.0)
        image = np.asarray(resized)
    padded = np.zeros((_up(new[1], stride), _up(new[0], stride), 3), np.uint8)
    padded[: new[1], : new[0]] = image
    return padded, np.array([width / new[0], height / new[1]])


def to_image(boxes: Array, scale: Array) -> Array:
    """(N, 4) boxes in input pixels -> in image pixels.

    (0, 0) is the centre of the top left pixel in both, so the border, at -0.5, is what stays in place.
    """
    factor = np.concatenate([scale, scale])
    return (boxes + 0.5) * factor - 0.5


def nms(boxes: Array, scores: Array, iou: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression.

    Args:
        boxes: (N, 4) x0, y0, x1, y1.
        scores: (N,).
        iou: a box that overlaps a better one by more than this is dropped.

    Returns:
        (K,) indices of the boxes to keep, by descending score; equal scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    keep: list[np.intp] = []
    while len(order) and len(keep) < MAX_FACES:
        best, order = order[0], order[1:]
        keep.append(best)
        low = np.maximum(boxes[best, :2], boxes[order, :2])
        high = np.minimum(boxes[best, 2:], boxes[order, 2:])
        overlap = (high - low).clip(min=0).prod(axis=1)
        union = area[best] + area[order] - overlap
        order = order[overlap <= iou * union]
    return np.array(keep, dtype=np.intp)


def _centre_inside(boxes: Array, width: int, height: int) -> NDArray[np.bool_]:
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside: NDArray[np.bool_] = (centre >= -0.5) & (centre <= np.array([width, height]) - 0.5)
    return inside[:, 0] & inside[:, 1]


def _up(value: int, stride: int) -> int:
    return -(-value // stride) * stride
