"""The detector's graph with eight-bit convolutions, their ranges seen on mosaics of training photographs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from faceperc.detector.augment import photometric
from faceperc.detector.mosaic import compose, pool_of
from faceperc.detector.sources import FACE_SOURCES, load_photos
from faceperc.export.quantize import WEIGHTS, run_quantiser

Image = NDArray[np.uint8]

SEED = 11
SIDE = 320


class _Images(CalibrationDataReader):
    """One picture at a time, as ONNX Runtime's calibration reads them."""

    def __init__(self, images: list[Image]) -> None:
        # the bytes' own range, so that they are multiplied as they are
        extremes = np.zeros((SIDE, SIDE, 3), np.uint8)
        extremes[: SIDE // 2] = 255
        self._images = iter([extremes, *images])

    def get_next(self) -> dict[str, Image] | None:
        """The next picture, or None."""
        image = next(self._images, None)
        return None if image is None else {"image": image[None]}


def calibration_images(root: str | Path | None, count: int) -> list[Image]:
    """(SIDE, SIDE, 3) uint8 mosaics of training photographs, augmented as in training, always the same ones.

    Raises:
        DataError: if the pack is missing or incomplete.
    """
    photos = [photo for name in (*FACE_SOURCES, "scenes") for photo in load_photos(root, name, "train")]
    pool = pool_of(photos, dict.fromkeys(FACE_SOURCES, 1.0))
    images = []
    for i in range(count):
        rng = np.random.default_rng([SEED, i])
        images.append(photometric(rng, compose(rng, pool, SIDE, turned=0.2).image))
    return images


def quantise(graph: onnx.ModelProto, images: list[Image]) -> onnx.ModelProto:
    """Convolutions, additions and enlargements in eight bits, from the image's bytes to the last layer.

    The last layer and what decodes its answers stay in float32: scores, pixels and rotations have no common
    range.

    Args:
        graph: of `faceperc.detector.export.ExportedPatches`.
        images: (H, W, 3) uint8 pictures whose sides are multiples of the stride.
    """
    static = partial(
        quantize_static, calibration_data_reader=_Images(images),
        op_types_to_quantize=["Conv", "Relu", "Add", "Resize"], nodes_to_exclude=_last_and_after(graph),
        activation_type=QuantType.QUInt8, **WEIGHTS,
    )  # fmt: skip
    result = run_quantiser(static, graph)
    _read_bytes(result.graph)
    return result


def _last_and_after(graph: onnx.ModelProto) -> list[str]:
    """Names of the nodes that no convolution follows: the last layer, and what decodes its answers."""
    followed: set[str] = set()  # tensors that a convolution is computed from
    excluded = []
    for node in reversed(graph.graph.node):
        if any(name in followed for name in node.output):
            followed.update(node.input)
        else:
            excluded.append(node.name)
            if node.op_type == "Conv":
                followed.update(node.input)
    return excluded


def _read_bytes(graph: Any) -> None:
    """Take out the cast of the image to float32 and back to the same bytes (scale 1, zero point 0)."""
    made_by = {name: node for node in graph.node for name in node.output}
    values = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    for node in list(graph.node):
        cast = made_by.get(node.input[0]) if node.op_type == "QuantizeLinear" else None
        if cast is None or cast.op_type != "Cast":
            continue
        assert np.isclose(values[node.input[1]], 1) and values[node.input[2]] == 0
        for other in graph.node:
            for place, name in enumerate(other.input):
                if name == node.output[0]:
                    other.input[place] = cast.input[0]
        graph.node.remove(node)
        graph.node.remove(cast)
