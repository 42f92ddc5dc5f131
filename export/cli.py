"""`faceperc export MODEL -o FILE`: write a trained model as one ONNX file."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from faceperc.export.onnx import export_onnx
from faceperc.export.tensorrt import add_batch_option, build_engine, report
from faceperc.model import FaceModel, read_training


def main(args: list[str]) -> int:
    """Export a saved model; `--help` lists the options.

    Args:
        args: command line arguments.
    """
    parser = argparse.ArgumentParser(
        prog="faceperc export",
        description="Write a saved model as one ONNX file and check that it answers as the model does.",
        epilog="Example: faceperc export runs/nano/model -o faceperc-nano.onnx --tasks landmarks,pose",
    )
    parser.add_argument("model", help="folder with model.safetensors and config.json")
    parser.add_argument("-o", "--out", required=True, help="file to write")
    parser.add_argument("--tasks", help="only these tasks, separated by commas")
    parser.add_argument("--engine", metavar="FILE", help="also build a TensorRT engine from the ONNX file")
    add_batch_option(parser, "--engine-batch")
    parser.add_argument("--import", dest="modules", action="append", default=[], help="module with a head")
    options = parser.parse_args(args)
    for module in options.modules:
        import_module(module)
    tasks = [task.strip() for task in options.tasks.split(",")] if options.tasks else None
    model = FaceModel.load(options.model)
    differences = export_onnx(model, options.out, tasks, read_training(options.model))
    for name, difference in differences.items():
        print(f"{name:28} {difference:.1e} from torch")
    print(f"{options.out}: {Path(options.out).stat().st_size / 2**20:.1f} MiB")
    if options.engine:
        report(options.engine, build_engine(options.out, options.engine, options.engine_batch))
    return 0
