"""``faceperc.crop.FaceCrop`` as standard ONNX operators: image and face boxes -> crops.

A crop of an upright square is W_y @ image @ W_x^T, with a matrix for the rows and one for the columns: what
FaceCrop does (area averages of f x f pixels for regions more than twice as large as the crop, then bilinear
interpolation) is linear and separable. So the graph's crops are those of the runtime, but for rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from faceperc.crop import CropRule
from faceperc.export.graph import GraphBuilder, tensor

# Pillow cuts off what is behind the point. Sums of weights that are a few millionths less than 1 must not
# give the next lower grey level.
_ALMOST = 1 / 1024


@dataclass(frozen=True)
class Crops:
    """Names of tensors in a graph.

    Attributes:
        crops: (N, S, S, 3) uint8.
        regions: (N, 4) float32 x0, y0, x1, y1 of each crop's outer border, image pixels.
        origin: (N, 2) float32, where the centre of each crop's top left pixel lies, x and y, image pixels.
        pixel: (N, 1) float32 side of a crop's pixel, image pixels.
    """

    crops: str
    regions: str
    origin: str
    pixel: str


def add_crops(op: GraphBuilder, image: str, boxes: str, rule: CropRule) -> Crops:
    """Add the nodes that cut faces out of an image.

    Args:
        op: the graph.
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) float32 x0, y0, x1, y1 in image pixels, hairline to chin, x1 > x0 and y1 > y0.
        rule: size and place of the crops.
    """
    low, high = op.Gather(boxes, [0, 1], axis=1), op.Gather(boxes, [2, 3], axis=1)
    longer = op.ReduceMax(op.Sub(high, low), [1], keepdims=1)
    centre = op.Add(op.Mul(op.Add(low, high), 0.5), op.Mul(longer, list(map(float, rule.shift))))
    side = op.Mul(longer, float(rule.scale))
    half = op.Mul(side, 0.5)
    regions = op.Concat(op.Sub(centre, half), op.Add(centre, half), axis=1)
    pixel = op.Div(side, float(rule.size))
    origin = op.Sub(centre, op.Mul(pixel, (rule.size - 1) / 2))

    extent = add_extent(op, image)
    # Face by face: only the part of the image around a face is touched, however large the image is. A Loop,
    # since ONNX Runtime's Scan wants at least one face.
    body = GraphBuilder("crop/")
    crop = _add_crop(
        body, image, extent, body.Gather(origin, "crop/face"), body.Gather(pixel, "crop/face"), rule.size
    )
    graph = body.graph(
        "crop",
        [tensor("crop/face", TensorProto.INT64), tensor("crop/go_on", TensorProto.BOOL)],
        [
            tensor(body.Identity("crop/go_on"), TensorProto.BOOL),
            tensor(crop, TensorProto.UINT8, rule.size, rule.size, 3),
        ],
    )
    crops = op.Loop(op.Gather(op.Shape(boxes), 0), "", body=graph)
    return Crops(crops, regions, origin, pixel)


def add_extent(op: GraphBuilder, image: str) -> str:
    """(2,) float32 width and height of an image (H, W, 3)."""
    return op.Cast(op.Gather(op.Shape(image), [1, 0]), to=TensorProto.FLOAT)


def _add_crop(op: GraphBuilder, image: str, extent: str, origin: str, pixel: str, size: int) -> str:
    """One crop, (S, S, 3) uint8; the image's ``extent`` is (2,) W, H, ``origin`` (2,) and ``pixel`` (1,) are
    those of Crops."""
    # as in FaceCrop.warp: blocks of factor x factor pixels, counted from the image's corner, are averaged
    factor = op.Max(op.Floor(pixel), 1.0)
    steps = np.arange(size, dtype=np.float32)[:, None]
    places = op.Add(op.Mul(pixel, steps), origin)  # (S, 2) image pixels: x of the columns, y of the rows
    reach = op.Mul(factor, 2.0)
    first = op.Min(op.Max(op.Floor(op.Sub(origin, reach)), 0.0), op.Sub(extent, 1.0))
    end = op.Add(op.Add(origin, op.Mul(pixel, float(size))), reach)
    end = op.Max(op.Min(op.Ceil(end), extent), op.Add(first, 1.0))  # at least one pixel, of weight 0
    left, top = (op.Gather(first, axis) for axis in (0, 1))
    right, bottom = (op.Gather(end, axis) for axis in (0, 1))

    corner, opposite = (op.Cast(op.Gather(each, [1, 0]), to=TensorProto.INT64) for each in (first, end))
    part = op.Cast(op.Slice(image, corner, opposite, [0, 1]), to=TensorProto.FLOAT)  # (h, w, 3)
    across = _add_weights(op, op.Gather(places, [0], axis=1), left, right, op.Gather(extent, 0), factor)
    down = _add_weights(op, op.Gather(places, [1], axis=1), top, bottom, op.Gather(extent, 1), factor)
    height = op.Slice(op.Shape(part), [0], [1])
    rows = op.MatMul(down, op.Reshape(part, op.Concat(height, [-1], axis=0)))  # (S, w * 3)
    rows = op.Transpose(op.Reshape(rows, [0, -1, 3]), perm=[0, 2, 1])  # (S, 3, w)
    crop = op.MatMul(rows, op.Transpose(across, perm=[1, 0]))  # (S, 3, S)
    crop = op.Floor(op.Add(op.Transpose(crop, perm=[0, 2, 1]), _ALMOST))
    return op.Cast(crop, to=TensorProto.UINT8)


def _add_weights(op: GraphBuilder, places: str, first: str, end: str, length: str, factor: str) -> str:
    """(S, end - first) weights of an image's pixels first ... end - 1 in each row or column of a crop.

    Args:
        op: the graph.
        places: (S, 1) where the rows or columns lie, image pixels.
        first: scalar, the first pixel.
        end: scalar, the pixel after the last one.
        length: scalar, the image's height or width.
        factor: (1,) side of the blocks that are averaged.
    """
    block = op.Floor(op.Div(op.Range(first, end, 1.0), factor))  # that each pixel belongs to
    count = op.Min(factor, op.Sub(length, op.Mul(block, factor)))  # the last block may be smaller
    at = op.Sub(op.Div(op.Add(places, 0.5), factor), 0.5)  # places in blocks; 0 is the first block's centre
    last = op.Sub(op.Ceil(op.Div(length, factor)), 1.0)
    inside = op.And(op.GreaterOrEqual(at, -0.5), op.Less(at, op.Add(last, 0.5)))
    distance = op.Abs(op.Sub(op.Min(op.Max(at, 0.0), last), block))
    nearness = op.Relu(op.Sub(1.0, distance))
    # outside of the image the crop is black
    return op.Div(op.Mul(nearness, op.Cast(inside, to=TensorProto.FLOAT)), count)
