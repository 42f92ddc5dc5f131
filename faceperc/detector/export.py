"""A trained detector as one ONNX file: `faceperc export-detector runs/detector-nano/last.ckpt --out FILE`.

The file follows docs/contract.md, role `detector`: raw pixels in; boxes, scores, points and rotations out.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from faceperc._files import check_kind, make_folder, write_file
from faceperc._parser import CommandParser
from faceperc.detector.adapters import LICENCES as ADAPTER_LICENCES
from faceperc.detector.model import MEAN, STD, STRIDES, FaceDetector, unpack
from faceperc.detector.mosaic import MIN_FACE
from faceperc.detector.sources import LICENCES, TERMS
from faceperc.errors import ModelError
from faceperc.licences import RESEARCH, weights_licence
from faceperc.metadata import POINT_NAMES
from faceperc.rotations import matrix_from_6d

OPSET = 18
STRIDE = 32  # height and width of the input are multiples of it
# Smaller images are to be enlarged by this, to at most the largest side: an input of a size that is taken
# anyway, on which a face has more cells. In scenes of 320 px it finds 44 instead of 3 % of the faces of 12 to
# 24 px that YuNet is sure of.
ENLARGE = 2.0
MOST = 500  # cells; a face has two or three, so this is enough for 150 faces in one pass
OUTPUTS = ("boxes", "scores", "heads", "points", "rotations")


class Exported(nn.Module):
    """The graph that a consumer sees: one image, final values; nothing left to decode."""

    def __init__(self, model: FaceDetector) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(1, H, W, 3) uint8 RGB -> the OUTPUTS of the best MOST cells, as in docs/contract.md."""
        levels = self.model.features(self._stem(image))
        raw = torch.cat([self.model.last_of(i)(x).flatten(2)[0] for i, x in enumerate(levels)], 1)  # (C, A)
        # who has a face has a head; to decode all cells would take a third of the time
        best = torch.maximum(raw[0], raw[1]).topk(torch.sym_min(MOST, raw.shape[1]), sorted=False)
        cells = _cells_of(best.indices, levels[0].shape[2], levels[0].shape[3])
        predictions = unpack(raw[:, best.indices].T[None], cells)
        rotations = matrix_from_6d(predictions.rotations[0])
        scores = predictions.logits[0].sigmoid()
        return predictions.boxes[0], scores, best.values.sigmoid(), predictions.points[0], rotations

    def _stem(self, image: Tensor) -> Tensor:
        return self.model.stem((image.float().permute(0, 3, 1, 2) - MEAN) / STD)


class ExportedPatches(Exported):
    """The same of a network that begins with patches, with the normalisation in the first layer's weights.

    Without padding the weights take it in exactly. The image's bytes are read as they lie in memory: four
    pixels beside each other are twelve channels, so that a patch of 4 x 4 pixels is one of 4 x 1, which takes
    a quarter of the time in eight bits.
    """

    def __init__(self, model: FaceDetector) -> None:
        super().__init__(model)
        convolution, norm = model.stem[0][0], model.stem[0][1]  # type: ignore[index]
        fused = fuse_conv_bn_eval(convolution, norm)
        assert fused.bias is not None
        weight = fused.weight.detach() / STD
        self.first = nn.Conv2d(12, len(weight), (4, 1), (4, 1))
        self.first.weight = nn.Parameter(weight.permute(0, 3, 1, 2).flatten(1, 2)[..., None])
        self.first.bias = nn.Parameter(fused.bias.detach() - MEAN * weight.sum((1, 2, 3)))

    def _stem(self, image: Tensor) -> Tensor:
        fours = image.reshape(image.shape[0], image.shape[1], image.shape[2] // 4, 12)
        x = torch.relu(self.first(fours.permute(0, 3, 1, 2).float()))
        for block in list(self.model.stem)[1:]:
            x = block(x)
        return x


def _cells_of(index: Tensor, rows: int, columns: int) -> Tensor:
    """(K, 3) x, y, stride of the cells with these (K,) numbers, as `FaceDetector` counts them.

    Args:
        index: numbers of cells.
        rows: of the finest level; multiples of 4, as are ``columns``.
        columns: of the finest level.
    """
    begins = [0, rows * columns, rows * columns * 5 // 4, rows * columns * 21 // 16]  # of the levels
    beyond = [(index >= begin).float() for begin in begins[1:]]
    stride = STRIDES[0] * torch.exp2(beyond[0] + beyond[1] + beyond[2])
    begin = sum(is_beyond * (b - a) for is_beyond, (a, b) in zip(beyond, pairwise(begins), strict=True))
    wide = torch.ceil(columns * STRIDES[0] / stride)  # columns of the cell's level
    place = index - begin
    y = torch.floor(place / wide)
    middle = (stride - 1) / 2
    return torch.stack([(place - y * wide) * stride + middle, y * stride + middle, stride], 1)


def export_detector(
    model: FaceDetector,
    path: str | Path,
    *,
    name: str = "detector-nano",
    score: float = 0.5,
    head: float = 0.3,
    iou: float = 0.45,
    max_side: int = 640,
    images: list[Any] | None = None,
    sources: Sequence[str] = tuple(LICENCES),
) -> Path:
    """Write the ONNX file; an interrupted export leaves no half file.

    Args:
        model: the trained network.
        path: the file to write.
        name: name of the model in its metadata.
        score: recommended smallest score of a face.
        head: recommended smallest score of a head that shows no face.
        iou: recommended overlap for the non-maximum suppression.
        max_side: larger images are to be shrunk to this longer side, px.
        images: write eight-bit convolutions, with their ranges from these (H, W, 3) uint8 pictures, whose
            sides are multiples of 32; None writes float32.
        sources: names of what the network learned from, see `faceperc.detector.train.trained_on`.

    Returns:
        The path.

    Raises:
        ModelError: for an eight-bit graph of a network that does not begin with patches.
        UsageError: if the file cannot be written.
    """
    import onnx

    model = copy.deepcopy(model).eval().float()
    if images is None:
        proto = _graph(Exported(model))
    else:
        from faceperc.detector.quantise import quantise

        if not model.patches:
            raise ModelError("only a detector that begins with patches can be quantised; export float32")
        proto = quantise(_graph(ExportedPatches(model)), images)
    metadata = detector_metadata(
        model, name=name, score=score, head=head, iou=iou, max_side=max_side, sources=sources
    )
    metadata["precision"] = "fp32" if images is None else "int8"
    onnx.helper.set_model_props(proto, {"faceperc": json.dumps(metadata)})
    onnx.checker.check_model(proto)
    path = Path(path)
    make_folder(path.parent)
    return write_file(path, proto.SerializeToString())


def _graph(exported: Exported) -> Any:
    """The trimmed ONNX graph, height and width free in steps of STRIDE."""
    import onnxslim

    height, width = (STRIDE * torch.export.Dim(side, min=1, max=128) for side in ("rows", "columns"))
    with contextlib.redirect_stdout(io.StringIO()):  # the exporter reports its progress with print
        program = torch.onnx.export(
            exported.eval(),
            (torch.zeros(1, 9 * STRIDE, 7 * STRIDE, 3, dtype=torch.uint8),),
            input_names=["image"],
            output_names=list(OUTPUTS),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            dynamic_shapes={"image": {1: height, 2: width}},
        )
    assert program is not None
    return onnxslim.slim(program.model_proto)


def detector_metadata(
    model: FaceDetector,
    *,
    name: str,
    score: float,
    head: float,
    iou: float,
    max_side: int,
    sources: Sequence[str],
) -> dict[str, Any]:
    """The metadata document of docs/contract.md; the arguments are those of `export_detector`."""
    import faceperc

    data = [_facts(source) for source in sources]
    return {
        "schema": 1,
        "role": "detector",
        "name": name,
        "version": getattr(faceperc, "__version__", "0"),
        "input": {"name": "image", "dtype": "uint8", "layout": "NHWC", "color": "RGB", "size": None},
        "stride": STRIDE,
        "max_side": max_side,
        "enlarge": ENLARGE,
        "min_face": MIN_FACE,
        "nms": {"iou": iou, "score": score, "head": head},
        "outputs": {
            "boxes": {"shape": ["A", 4], "unit": "px", "format": "x0, y0, x1, y1"},
            "scores": {"shape": ["A"], "range": [0, 1]},
            "heads": {"shape": ["A"], "range": [0, 1]},
            "points": {"shape": ["A", 5, 2], "unit": "px", "labels": list(POINT_NAMES)},
            "rotations": {"shape": ["A", 3, 3]},
        },
        "weights_sha256": weights_sha256(model),
        "training": {"data": data, **weights_licence(data)},
    }


def weights_sha256(model: nn.Module) -> str:
    """SHA-256 over the weights as float32 bytes, in the order of their sorted names."""
    digest = hashlib.sha256()
    for _, tensor in sorted(model.state_dict().items()):
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_checkpoint(path: str | Path) -> FaceDetector:
    """The network of a Lightning checkpoint, in evaluation mode.

    Raises:
        ModelError: if the file is missing or is no detector checkpoint.
    """
    from faceperc.detector.train import DetectorModule

    if not Path(path).is_file():
        raise ModelError(f"{path}: no such checkpoint; train one with 'faceperc train-detector'")
    try:
        module = DetectorModule.load_from_checkpoint(path, map_location="cpu", weights_only=True)
    except (EOFError, KeyError, OSError, RuntimeError, TypeError, UnpicklingError) as error:
        raise ModelError(f"{path}: is not a checkpoint of the detector: {error}") from error
    return module.model.eval()


def _facts(source: str) -> dict[str, str]:
    licence = {**LICENCES, **ADAPTER_LICENCES}.get(source, "not stated")
    return {"name": source, "licence": licence, "terms": TERMS.get(source, RESEARCH)}


def main(args: list[str]) -> None:
    """Export a checkpoint; `--help` lists the options."""
    parser = CommandParser(
        prog="faceperc export-detector",
        description="Write a trained detector as one ONNX file: raw pixels in; boxes, scores, points and "
        "rotations out.",
        epilog="Example: faceperc export-detector runs/detector-nano/last.ckpt --out detector.onnx",
    )
    parser.add_argument("checkpoint", help="Lightning checkpoint, e.g. runs/detector-nano/best.ckpt")
    parser.add_argument("-o", "--out", required=True, help="file to write")
    parser.add_argument("--name", default="detector-nano", help="name of the model")
    parser.add_argument("--score", type=float, default=0.5, help="recommended smallest score")
    parser.add_argument("--head", type=float, default=0.3, help="the same of a head that shows no face")
    parser.add_argument("--iou", type=float, default=0.45, help="recommended overlap of the suppression")
    parser.add_argument("--max-side", type=int, default=640, help="longer side to shrink images to, px")
    parser.add_argument("--precision", choices=("fp32", "int8"), default="fp32", help="of the convolutions")
    parser.add_argument("--data", default=None, help="int8: folder of the data pack; else FACEPERC_DATA")
    parser.add_argument("--calibration", type=int, default=64, help="int8: number of pictures for the ranges")
    parser.add_argument("--weights", default=None, help="also write the weights, to start a training from")
    options = parser.parse_args(args)
    from faceperc.detector.train import trained_on

    check_kind(options.out, ".onnx")
    check_kind(options.weights, ".safetensors")
    images = None
    if options.precision == "int8":
        from faceperc.detector.quantise import calibration_images

        images = calibration_images(options.data, options.calibration)
    model = load_checkpoint(options.checkpoint)
    if options.weights:
        # contiguous copies: the convolutions' memory is in another order
        arrays = {name: array.contiguous().clone() for name, array in model.state_dict().items()}
        write_file(options.weights, save(arrays))
    path = export_detector(
        model,
        options.out,
        name=options.name,
        score=options.score,
        head=options.head,
        iou=options.iou,
        max_side=options.max_side,
        images=images,
        sources=trained_on(options.checkpoint),
    )
    print(f"{path}: {path.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
