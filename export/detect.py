"""What ``faceperc.detect.FaceDetector`` does around its network, as standard ONNX operators."""

from __future__ import annotations

from onnx import TensorProto

from faceperc.detect import MIN_SIDE
from faceperc.export.crop import add_extent
from faceperc.export.graph import GraphBuilder
from faceperc.metadata import DetectorInfo


def add_fit(op: GraphBuilder, image: str, info: DetectorInfo) -> tuple[str, str]:
    """Add the nodes that shrink an image to the detector's largest side or enlarge it, and pad it.

    Args:
        op: the graph.
        image: (H, W, 3) uint8 RGB.
        info: the detector's settings.

    Returns:
        (1, H', W', 3) uint8, multiples of the stride, and (2,) image pixels per input pixel, x and y.
    """
    extent = add_extent(op, image)
    longer = op.ReduceMax(extent, keepdims=1)
    wanted = op.Min(op.Max(op.Mul(longer, info.enlarge), float(MIN_SIDE)), float(info.max_side))
    new = op.Max(op.Round(op.Div(op.Mul(extent, wanted), longer)), 1.0)  # W, H
    height_width = op.Cast(op.Gather(new, [1, 0]), to=TensorProto.INT64)
    # Pillow's bilinear filter, which is as wide as the pixels that it makes
    small = op.Resize(image, "", "", height_width, axes=[0, 1], mode="linear", antialias=1)
    missing = op.Mod(op.Neg(height_width), info.stride)
    padded = op.Pad(small, op.Concat([0, 0, 0], missing, [0], axis=0))
    return op.Unsqueeze(padded, [0]), op.Div(extent, new)


def add_faces(
    op: GraphBuilder, cells: dict[str, str], scale: str, extent: str, limits: dict[str, str], iou: float
) -> tuple[str, str]:
    """Add the nodes that choose the faces among the detector's cells: non-maximum suppression.

    Args:
        op: the graph.
        cells: the detector's outputs: "boxes" (A, 4) in its input's pixels, "scores" (A,) and, where it tells
            heads, "heads" (A,); all others are ignored.
        scale: (2,) image pixels per input pixel.
        extent: (2,) W, H of the image.
        limits: scalars "min_score", float32, and "max_faces", int64.
        iou: a box that overlaps a better one by more than this is dropped.

    Returns:
        "boxes" (N, 4) x0, y0, x1, y1 in image pixels and "scores" (N,), the best first.
    """
    factor = op.Concat(scale, scale, axis=0)
    # the borders of the images, at -0.5, lie upon each other
    boxes = op.Sub(op.Mul(op.Add(cells["boxes"], 0.5), factor), 0.5)
    low, high = op.Gather(boxes, [0, 1], axis=1), op.Gather(boxes, [2, 3], axis=1)
    centre = op.Mul(op.Add(low, high), 0.5)
    inside = op.And(op.GreaterOrEqual(centre, -0.5), op.LessOrEqual(centre, op.Sub(extent, 0.5)))
    inside = op.ReduceMin(op.Cast(inside, to=TensorProto.FLOAT), [1], keepdims=0)  # nothing in the padding
    scores = op.Mul(cells["scores"], inside)
    chosen = op.NonMaxSuppression(
        op.Unsqueeze(boxes, [0]), op.Unsqueeze(scores, [0, 1]), limits["max_faces"], iou, limits["min_score"]
    )
    index = op.Gather(chosen, 2, axis=1)  # of batch, class and box the last
    return op.Gather(boxes, index, name="boxes"), op.Gather(scores, index, name="scores")
