"""FaceDetector: the faces of an image, and its heads, from a detector's ONNX file. NumPy and Pillow only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from faceperc.detections import Detections, one_each
from faceperc.errors import ModelError, UsageError
from faceperc.metadata import DetectorInfo, ModelMetadata, check_detector_outputs
from faceperc.tiles import answers_for, tiles_of

Array = NDArray[np.float64]
Tiles: TypeAlias = 'bool | Literal["auto"]'

MIN_SIDE = 160  # smaller images are enlarged to this longer side: on a thumbnail a face has too few cells
AUTO_SHRINK = 2.0  # tiles "auto": cut up what the detector would see shrunk by more than this


class Model(Protocol):
    """What is needed of `faceperc.runtime.OnnxModel`."""

    metadata: ModelMetadata

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """Arrays by the name of the ONNX output."""
        ...


class FaceDetector:
    """Finds faces, and heads that show no face where the model knows them.

    Examples:
        >>> from faceperc.runtime import OnnxModel
        >>> detector = FaceDetector(OnnxModel("detector-nano.onnx"))  # doctest: +SKIP
        >>> boxes, scores = detector.detect(image)  # doctest: +SKIP
        >>> detector.find(image, heads=True).visibility  # doctest: +SKIP

    Attributes:
        info: the detector's settings, from the model file.
        min_score: faces with a lower score are dropped.
        min_head: other heads with a lower score of the head are dropped.
        tiles: whether large images are also looked at tile by tile.
    """

    def __init__(self, model: Model, min_score: float | None = None, *, tiles: Tiles = False) -> None:
        """Use an opened model.

        Args:
            model: an opened detector file.
            min_score: in [0, 1], of faces and of other heads; by default the values that the file recommends.
            tiles: look at an image that is larger than the file's ``max_side`` a second time, in overlapping
                tiles of that size, at most `faceperc.tiles.MAX_TILES` of them: small faces are found that
                are lost where the whole image is shrunk, and each tile takes the time of a small image.
                "auto" does so where the image would be shrunk more than twofold.

        Raises:
            ModelError: if the model is not a detector.
            UsageError: if ``min_score`` is outside [0, 1], or ``tiles`` is something else.
        """
        info = model.metadata.detector
        if info is None:
            raise ModelError(
                f"{model.metadata.name} is a {model.metadata.role} model, not a detector; "
                "see 'faceperc models'"
            )
        if min_score is not None and not 0 <= min_score <= 1:
            raise UsageError(f"min_score lies in [0, 1]; got {min_score!r}")
        check_tiles(tiles)
        self.info: DetectorInfo = info
        self.min_score = info.nms_score if min_score is None else float(min_score)
        self.min_head = info.nms_head if min_score is None else float(min_score)
        self.tiles = tiles
        self.model = model

    def detect(self, image: NDArray[np.uint8]) -> tuple[Array, Array]:
        """Find the faces of one image.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            boxes: (N, 4) x0, y0, x1, y1 in image pixels, hairline to chin; a box may reach outside the image.
            scores: (N,) in [0, 1], descending.

        Raises:
            UsageError: if the image is not (H, W, 3) uint8.
            ModelError: if the model fails, or what it gives has not the shape of docs/contract.md.
        """
        found = self.find(image)
        return found.boxes, found.scores

    def find(self, image: NDArray[np.uint8], *, heads: bool = False) -> Detections:
        """Find the faces of one image with all that the model tells of them, and the other heads.

        A head gives one box, whichever side it shows: of the boxes that overlap a face, the surest face's.

        Args:
            image: (H, W, 3) uint8 RGB.
            heads: also give the heads whose face is not seen: the head's score is ``min_head`` or more, and
                no face is there.

        Returns:
            The faces, by descending score; then the other heads, by the descending score of the head.

        Raises:
            UsageError: if the image is not (H, W, 3) uint8, or heads are wanted and the model knows none.
            ModelError: if the model fails, or what it gives has not the shape of docs/contract.md.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise UsageError(f"an image is (H, W, 3) uint8 RGB; got {image.shape} {image.dtype}")
        found = self._look(image, heads)
        if heads and found.heads is None:
            raise UsageError(
                f"{self.model.metadata.name} finds faces only: its file lacks the output 'heads'; "
                "use another detector, or leave 'heads' out"
            )
        if self._cuts_up(image):
            found = self._look_closer(image, found, heads)
        return found

    def _look(self, image: NDArray[np.uint8], heads: bool) -> Detections:
        """One run of the model: one box for each face, and if wanted head, that it is sure enough of."""
        padded, scale = fit(image, self.info.max_side, self.info.stride, self.info.enlarge)
        metadata = self.model.metadata
        outputs = self.model.run({metadata.input: padded[None]})
        check_detector_outputs({name: each.shape for name, each in outputs.items()}, metadata.name)
        found = self._candidates(outputs, heads, scale)
        found = found[_centre_inside(found.boxes, image.shape[1], image.shape[0])]  # none in the padding
        return one_each(found, self.min_score, self.info.nms_iou)

    def _candidates(
        self, outputs: Mapping[str, NDArray[np.float32]], heads: bool, scale: Array
    ) -> Detections:
        """What the model is sure enough of, in image pixels; of other cells only the scores are read."""
        sure = outputs["scores"] >= self.min_score
        if heads and "heads" in outputs:
            sure |= outputs["heads"] >= self.min_head

        def take(name: str) -> Array | None:
            return outputs[name][sure].astype(np.float64) if name in outputs else None

        points = take("points")
        return Detections(
            boxes=to_image(outputs["boxes"][sure].astype(np.float64), scale),
            scores=outputs["scores"][sure].astype(np.float64),
            heads=take("heads"),
            points=None if points is None else to_image(points, scale),
            rotations=take("rotations"),
        )

    def _cuts_up(self, image: NDArray[np.uint8]) -> bool:
        return bool(self.tiles) and (
            self.tiles != "auto" or max(image.shape[:2]) > AUTO_SHRINK * self.info.max_side
        )

    def _look_closer(self, image: NDArray[np.uint8], found: Detections, heads: bool) -> Detections:
        """What was found in the whole image, and in its tiles, one after the other."""
        height, width = image.shape[:2]
        tiles = tiles_of(width, height, self.info)
        if not tiles:
            return found
        parts = [found[answers_for(found.boxes, width, height, self.info)]]
        for tile in tiles:
            part = self._look(tile.of(image), heads).moved(tile.x0, tile.y0)
            # after the suppression in the tile: the poorer boxes of a head that is cut are gone as well
            parts.append(part[tile.holds(part.boxes)])
        return one_each(Detections.joined(parts), self.min_score, self.info.nms_iou)


def check_tiles(tiles: object) -> None:
    """Check the option ``tiles``.

    Raises:
        UsageError: if it is not True, False or "auto".
    """
    if not isinstance(tiles, bool) and tiles != "auto":
        raise UsageError(f'tiles is True, False or "auto"; got {tiles!r}')


def fit(
    image: NDArray[np.uint8], max_side: int, stride: int, enlarge: float = 1.0
) -> tuple[NDArray[np.uint8], Array]:
    """Shrink an image to ``max_side``, or enlarge a small one, and pad it to a multiple of the stride.

    Args:
        image: (H, W, 3) uint8.
        max_side: largest longer side, px.
        stride: height and width of the result are multiples of it; zeros are added right and below.
        enlarge: a smaller image is enlarged by this, at least to MIN_SIDE and at most to ``max_side``.

    Returns:
        padded: (H', W', 3) uint8, C-contiguous; the image itself where it already is all that.
        scale: (2,) image pixels per input pixel, x and y; they differ a little where sizes are rounded.
    """
    height, width = image.shape[:2]
    longer = max(height, width)
    wanted = min(max(enlarge * longer, MIN_SIDE), max_side)
    new = max(1, round(width * wanted / longer)), max(1, round(height * wanted / longer))
    if new != (width, height):
        # whole blocks are averaged first, a third of the time of the filter alone; it does what is left
        resized = Image.fromarray(image).resize(new, Image.Resampling.BILINEAR, reducing_gap=1.0)
        image = np.asarray(resized)
    scale = np.array([width / new[0], height / new[1]])
    shape = (_up(new[1], stride), _up(new[0], stride), 3)
    if image.shape == shape:
        return np.ascontiguousarray(image), scale
    padded = np.empty(shape, np.uint8)
    padded[: new[1], : new[0]] = image
    padded[new[1] :] = 0
    padded[: new[1], new[0] :] = 0
    return padded, scale


def to_image(boxes: Array, scale: Array) -> Array:
    """(N, 4) boxes, or (N, K, 2) points, in input pixels -> in image pixels.

    (0, 0) is the centre of the top left pixel in both, so the border, at -0.5, is what stays in place.
    """
    factor = np.tile(scale, boxes.shape[-1] // 2)
    return (boxes + 0.5) * factor - 0.5


def _centre_inside(boxes: Array, width: int, height: int) -> NDArray[np.bool_]:
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside: NDArray[np.bool_] = (centre >= -0.5) & (centre <= np.array([width, height]) - 0.5)
    return inside[:, 0] & inside[:, 1]


def _up(value: int, stride: int) -> int:
    return -(-value // stride) * stride
