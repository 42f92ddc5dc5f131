"""The options of `faceperc export` for precision and size, and what they do to the exported graph."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import Any

import onnx
from onnx import helper

from faceperc._files import check_json_target, write_file
from faceperc.crop import CropRule
from faceperc.data.source import load_sources
from faceperc.errors import UsageError
from faceperc.export.calibration import calibration_crops
from faceperc.export.nodes import convolutions, linear_layers, module_of
from faceperc.export.precision import store_float16, to_float16
from faceperc.export.quantize import quantise_for_cpu, quantise_for_tensorrt
from faceperc.export.sensitivity import Sensitivity, sensitivities

#: How many faces give the ranges of int8, about.
FACES = 128
PRECISIONS = ("fp32", "fp16", "int8")


def add_precision_options(parser: argparse.ArgumentParser) -> None:
    """The options that ``convert`` reads."""
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="fp32",
        help="what the file computes in; fp16 is for GPUs, int8 for the processor of --for",
    )  # fmt: skip
    parser.add_argument(
        "--store", choices=("fp32", "fp16"), default="fp32",
        help="fp16 rounds the model's matrices to half precision first and stores them so: a smaller file, "
        "as fast, that answers as the rounded model does",
    )  # fmt: skip
    parser.add_argument(
        "--for", dest="target", choices=("cpu", "tensorrt"), default="cpu", help="what an int8 file is for"
    )
    parser.add_argument(
        "--calibration-data", metavar="SOURCES", help="YAML list of sources, as in configs/data, whose "
        "training photographs give the ranges of int8. Without, the convolutions of the CPU's stay in float",
    )  # fmt: skip
    parser.add_argument("--data", help="folder of the calibration data; else FACEPERC_DATA")
    parser.add_argument("--calibration-faces", type=int, help=f"about how many faces; {FACES}")
    parser.add_argument(
        "--keep-float", action="append", default=[], metavar="PATTERN",
        help="leave layers in float, e.g. 'heads.pose*'; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--sensitivity", metavar="FILE", help="quantise one part after the other, print how much the outputs "
        "change, and write it to this JSON file; needs --calibration-data",
    )  # fmt: skip
    parser.add_argument(
        "--max-change", type=float, help="with --sensitivity: leave parts in float that change an output by "
        "more than this fraction of its spread over the faces",
    )  # fmt: skip


def convert(graph: onnx.ModelProto, options: argparse.Namespace, rule: CropRule) -> onnx.ModelProto:
    """The float32 graph in the precision that the options ask for.

    Args:
        graph: as ``export_onnx`` made and checked it.
        options: of ``add_precision_options``.
        rule: the model's crop rule.

    Raises:
        UsageError: if a pattern of ``--keep-float`` matches nothing, or no layer is left to quantise.
        DataError: if the calibration data is missing.
    """
    if options.precision == "fp16":
        graph = to_float16(graph)
    if options.precision == "int8":
        graph = _quantised(graph, options, rule)
    if options.store == "fp16":
        graph = store_float16(graph)
    _describe(graph, precision=options.precision, stored=options.store)
    return graph


def check_options(options: argparse.Namespace) -> None:
    """Raise UsageError if options contradict each other."""
    if options.precision != "int8":
        given = [
            name
            for name, value in (
                ("--for tensorrt", options.target != "cpu"), ("--calibration-data", options.calibration_data),
                ("--keep-float", options.keep_float), ("--sensitivity", options.sensitivity),
                ("--calibration-faces", options.calibration_faces is not None), ("--data", options.data),
            )
            if value
        ]  # fmt: skip
        if given:
            raise UsageError(f"{', '.join(given)}: only for --precision int8")
    if options.calibration_data is None and (options.target == "tensorrt" or options.sensitivity):
        wanted = "--for tensorrt" if options.target == "tensorrt" else "--sensitivity"
        raise UsageError(f"{wanted} needs photographs: --calibration-data SOURCES.yaml, and FACEPERC_DATA")
    if options.calibration_faces is not None and options.calibration_faces < 1:
        raise UsageError(f"--calibration-faces is 1 or more; got {options.calibration_faces}")
    check_json_target(options.sensitivity)
    if options.max_change is not None and not options.sensitivity:
        raise UsageError("--max-change needs --sensitivity FILE")


def _quantised(graph: onnx.ModelProto, options: argparse.Namespace, rule: CropRule) -> onnx.ModelProto:
    crops = None
    layers = linear_layers(graph.graph)
    if options.calibration_data is None:
        print("no --calibration-data: the convolutions stay in float")
    else:
        sources = load_sources(options.calibration_data)
        crops = calibration_crops(sources, options.data, rule, options.calibration_faces or FACES)
        layers += convolutions(graph.graph)

    def quantise(whole: onnx.ModelProto, chosen: list[str]) -> onnx.ModelProto:
        if options.target == "cpu":
            return quantise_for_cpu(whole, chosen, crops)
        assert crops is not None
        return quantise_for_tensorrt(whole, chosen, crops)

    kept = _matching(layers, options.keep_float)
    layers = [name for name in layers if name not in kept]
    if options.sensitivity:
        assert crops is not None
        report = list(sensitivities(graph, layers, quantise, crops))
        _show(report, options.max_change)
        text = json.dumps([asdict(each) for each in report], indent=2)
        write_file(options.sensitivity, f"{text}\n".encode())
        if options.max_change is not None:
            layers = [name for each in report if each.worst[1] <= options.max_change for name in each.layers]
    if not layers:  # which would mean all to ONNX Runtime
        raise UsageError("--keep-float/--max-change leave no layer to quantise; export with --precision fp32")
    return quantise(graph, layers)


def _matching(layers: list[str], patterns: list[str]) -> set[str]:
    kept: set[str] = set()
    for pattern in patterns:
        matched = {name for name in layers if fnmatchcase(module_of(name), pattern)}
        if not matched:
            parts = ", ".join(sorted({module_of(name) for name in layers}))
            raise UsageError(f"--keep-float {pattern}: no layer has such a name; there are {parts}")
        kept |= matched
    return kept


def _show(report: list[Sensitivity], limit: float | None) -> None:
    print(f"{'quantised alone':44} {'layers':>6} {'change':>8}  output that changes most")
    for each in sorted(report, key=lambda each: -each.worst[1]):
        output, change = each.worst
        kept = "  kept in float" if limit is not None and change > limit else ""
        print(f"{each.part:44} {len(each.layers):6d} {change:8.2%}  {output}{kept}")


def _describe(graph: onnx.ModelProto, **entries: Any) -> None:
    """Add entries to the metadata of docs/contract.md."""
    document = json.loads({entry.key: entry.value for entry in graph.metadata_props}["faceperc"])
    helper.set_model_props(graph, {"faceperc": json.dumps(document | entries)})
