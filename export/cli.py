"""`faceperc export MODEL -o FILE`: write a trained model as one ONNX file."""

from __future__ import annotations

from pathlib import Path

from faceperc._files import check_kind
from faceperc._parser import CommandParser, add_import_option, import_heads
from faceperc.errors import UsageError
from faceperc.export.convert import add_precision_options, check_options, convert
from faceperc.export.forms import FORMS
from faceperc.export.onnx import OPSET, OPSETS, export_onnx
from faceperc.export.precision import round_weights
from faceperc.export.reference import write_reference
from faceperc.export.tensorrt import ENGINE_SUFFIXES, add_batch_option, build_engine, report
from faceperc.licences import for_metadata
from faceperc.model import FaceModel, read_training
from faceperc.zoo import DEFAULT_DETECTOR, find_weights


def main(args: list[str]) -> int:
    """Export a saved model; `--help` lists the options.

    Args:
        args: command line arguments.
    """
    parser = CommandParser(
        prog="faceperc export",
        description="Write a saved model as one ONNX file and check that it answers as the model does.",
        epilog="Example: faceperc export runs/nano/model -o faceperc-nano.onnx --tasks landmarks,pose",
    )
    parser.add_argument(
        "model", help="folder with model.safetensors and config.json, or a name in the zoo or on the Hub"
    )
    parser.add_argument("-o", "--out", required=True, help="file to write")
    parser.add_argument(
        "--form", choices=FORMS, default="crop", help="what the file takes: face crops (the default, the one "
        "that faceperc itself runs); the whole image and face boxes (full); or the image alone (pipeline)",
    )  # fmt: skip
    parser.add_argument(
        "--detector", help=f"of a pipeline: a name or an ONNX file; {DEFAULT_DETECTOR} by default"
    )
    parser.add_argument("--tasks", help="only these tasks, separated by commas; their answers stay the same")
    parser.add_argument(
        "--drop-queries", action="store_true", help="with --tasks: drop the queries of the other tasks too. "
        "A little faster, but clearly less accurate, as queries learn to see each other (docs/export.md)",
    )  # fmt: skip
    parser.add_argument("--opset", type=int, choices=OPSETS, default=OPSET, help="of ONNX's operators")
    add_precision_options(parser)
    parser.add_argument("--engine", metavar="FILE", help="also build a TensorRT engine from the ONNX file")
    add_batch_option(parser, "--engine-batch")
    add_import_option(parser)
    options = parser.parse_args(args)
    import_heads(options.modules)
    check_options(options)
    if options.detector and options.form != "pipeline":
        raise UsageError("--detector: only for --form pipeline")
    if options.engine and options.form != "crop":
        raise UsageError("--engine: an engine is built of the crop form; the others take images of any size")
    check_kind(options.engine, *ENGINE_SUFFIXES)
    tasks = None if options.tasks is None else [task.strip() for task in options.tasks.split(",")]
    folder = find_weights(options.model)
    model = FaceModel.load(folder)
    if options.store == "fp16":
        round_weights(model)
    plain = options.precision == options.store == "fp32"
    differences = export_onnx(
        model, options.out, tasks, for_metadata(read_training(folder)),
        form=options.form, detector=options.detector or DEFAULT_DETECTOR,
        drop_queries=options.drop_queries, opset=options.opset,
        finish=None if plain else lambda graph: convert(graph, options, model.config.crop_rule),
    )  # fmt: skip
    for name, difference in differences.items():
        print(f"{name:28} {difference:.1e} from torch")
    written = [Path(options.out)]
    if options.form == "crop":
        written.append(write_reference(model, options.out))
    for path in written:
        print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")
    if options.engine:
        report(options.engine, build_engine(options.out, options.engine, options.engine_batch))
    return 0
