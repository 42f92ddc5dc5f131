"""A trained detector as one ONNX file: `python -m faceperc.detector.export runs/detector-nano/last.ckpt`.

The file follows docs/contract.md, role `detector`: raw pixels in, boxes and scores of all cells out.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from faceperc._files import write_file
from faceperc.detector.model import STRIDES, FaceDetector
from faceperc.detector.mosaic import MIN_FACE
from faceperc.detector.sources import LICENCES
from faceperc.errors import ModelError

OPSET = 18
WEIGHTS_LICENCE = (
    "Research use: several of the data sets are for non-commercial research only. The code is Apache-2.0."
)


class Exported(nn.Module):
    """The graph that a consumer sees: one image, boxes and scores; nothing left to decode."""

    def __init__(self, model: FaceDetector) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(1, H, W, 3) uint8 RGB -> boxes (A, 4) in input pixels, scores (A,) in [0, 1]."""
        predictions = self.model(image)
        return predictions.boxes[0], predictions.logits[0].sigmoid()


def export_detector(
    model: FaceDetector,
    path: str | Path,
    *,
    name: str = "detector-nano",
    score: float = 0.5,
    iou: float = 0.45,
    max_side: int = 640,
) -> Path:
    """Write the ONNX file; an interrupted export leaves no half file.

    Args:
        model: the trained network.
        path: the file to write.
        name: name of the model in its metadata.
        score: recommended smallest score.
        iou: recommended overlap for the non-maximum suppression.
        max_side: larger images are to be shrunk to this longer side, px.

    Returns:
        The path.
    """
    import onnx

    model = model.eval().float()
    proto = _graph(model)
    metadata = detector_metadata(model, name=name, score=score, iou=iou, max_side=max_side)
    onnx.helper.set_model_props(proto, {"faceperc": json.dumps(metadata)})
    onnx.checker.check_model(proto)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_file(path, proto.SerializeToString())


def _graph(model: FaceDetector) -> Any:
    """The trimmed ONNX graph, height and width free in steps of the coarsest stride."""
    import onnxslim

    stride = max(STRIDES)
    height, width = (stride * torch.export.Dim(side, min=1, max=64) for side in ("rows", "columns"))
    with contextlib.redirect_stdout(io.StringIO()):  # the exporter reports its progress with print
        program = torch.onnx.export(
            Exported(model).eval(),
            (torch.zeros(1, 5 * stride, 4 * stride, 3, dtype=torch.uint8),),
            input_names=["image"],
            output_names=["boxes", "scores"],
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            dynamic_shapes={"image": {1: height, 2: width}},
        )
    assert program is not None
    return onnxslim.slim(program.model_proto)


def detector_metadata(
    model: FaceDetector, *, name: str, score: float, iou: float, max_side: int
) -> dict[str, Any]:
    """The metadata document of docs/contract.md; the arguments are those of `export_detector`."""
    import faceperc

    return {
        "schema": 1,
        "role": "detector",
        "name": name,
        "version": getattr(faceperc, "__version__", "0"),
        "input": {"name": "image", "dtype": "uint8", "layout": "NHWC", "color": "RGB", "size": None},
        "stride": max(STRIDES),
        "max_side": max_side,
        "min_face": MIN_FACE,
        "nms": {"iou": iou, "score": score},
        "outputs": {
            "boxes": {"shape": ["A", 4], "unit": "px", "format": "x0, y0, x1, y1"},
            "scores": {"shape": ["A"], "range": [0, 1]},
        },
        "weights_sha256": weights_sha256(model),
        "training": {
            "data": [{"name": source, "licence": licence} for source, licence in LICENCES.items()],
            "licence": WEIGHTS_LICENCE,
        },
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
    except (KeyError, RuntimeError, TypeError, UnpicklingError) as error:
        raise ModelError(f"{path}: is not a checkpoint of the detector: {error}") from error
    return module.model.eval()


def main(args: list[str]) -> None:
    """Export a checkpoint; `--help` lists the options."""
    parser = argparse.ArgumentParser(prog="faceperc export-detector", description=__doc__)
    parser.add_argument("checkpoint", help="Lightning checkpoint, e.g. runs/detector-nano/best.ckpt")
    parser.add_argument("--out", default="faceperc/models/detector-nano.onnx", help="file to write")
    parser.add_argument("--name", default="detector-nano", help="name of the model")
    parser.add_argument("--score", type=float, default=0.5, help="recommended smallest score")
    parser.add_argument("--iou", type=float, default=0.45, help="recommended overlap of the suppression")
    parser.add_argument("--max-side", type=int, default=640, help="longer side to shrink images to, px")
    options = parser.parse_args(args)
    path = export_detector(
        load_checkpoint(options.checkpoint),
        options.out,
        name=options.name,
        score=options.score,
        iou=options.iou,
        max_side=options.max_side,
    )
    print(f"{path}: {path.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
