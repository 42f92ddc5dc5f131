"""A TensorRT engine from an ONNX file of ours: `faceperc export-engine model.onnx -o model.engine`.

The engine computes in the types of the file (a strongly typed network): float32, float16, or int8 where the
file holds QuantizeLinear and DequantizeLinear. It belongs to the version that built it and, but for
TensorRT-RTX, to the kind of GPU.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from faceperc._files import check_kind, write_file
from faceperc._parser import CommandParser
from faceperc.errors import ModelError, UsageError
from faceperc.providers import BATCHES, Ranges, input_ranges, shape_texts
from faceperc.runtime import OnnxModel
from faceperc.zoo import find_model

#: What the names of engines end in.
ENGINE_SUFFIXES = (".engine", ".plan", ".trt")


class _UnavailableError(Exception):
    """This builder cannot work here; the message says why."""


def build_engine(
    model: str | os.PathLike[str], out: str | os.PathLike[str], batches: tuple[int, int, int] = BATCHES
) -> str:
    """Build an engine with the first of these that is there: the package tensorrt, trtexec, TensorRT-RTX.

    Args:
        model: an ONNX file of ours.
        out: the engine file to write.
        batches: smallest, usual and largest number of faces in a run; it is fastest at the usual one.

    Returns:
        What built the engine, and so what it runs in.

    Raises:
        UsageError: if there is nothing to build it with, the batches are no ascending numbers, the model
            takes whole images instead of crops, or the file cannot be written.
        ModelError: if the model cannot be read or TensorRT refuses it.
    """
    _check_batches(batches)
    check_kind(Path(out), *ENGINE_SUFFIXES)
    source = OnnxModel(Path(model), 1, "cpu")
    ranges = input_ranges(source.metadata, batches)
    if not ranges:
        raise UsageError(f"{model}: takes whole images, of any size; an engine is built of the crop form")
    reasons = []
    for build in (_with_tensorrt, _with_trtexec, _with_rtx):
        try:
            return build(source.path, Path(out), ranges)
        except _UnavailableError as reason:
            reasons.append(str(reason))
    raise UsageError(
        f"{out}: no TensorRT engine can be built here: {'; '.join(reasons)}. Build it where NVIDIA's "
        'TensorRT and a GPU are, or, for TensorRT-RTX only, pip install "faceperc[tensorrt-rtx]"'
    )


def _check_batches(batches: tuple[int, int, int]) -> None:
    low, usual, high = batches
    if not 1 <= low <= usual <= high:
        raise UsageError(f"batches are ascending numbers of faces from 1, such as 1,8,64; got {batches}")


def _with_tensorrt(model: Path, out: Path, ranges: Ranges) -> str:
    try:
        import tensorrt
    except (ImportError, OSError) as error:
        raise _UnavailableError(f"the package tensorrt does not load ({error})") from error
    _build(tensorrt, model, out, ranges)
    return f"TensorRT {tensorrt.__version__}, for this kind of GPU"


def _with_trtexec(model: Path, out: Path, ranges: Ranges) -> str:
    program = shutil.which("trtexec")
    if program is None:
        raise _UnavailableError("trtexec is not on PATH")
    with tempfile.TemporaryDirectory(prefix="faceperc-engine-") as scratch:
        draft = Path(scratch, "model.engine")
        command = [program, f"--onnx={model}", f"--saveEngine={draft}", "--stronglyTyped", "--skipInference"]
        command += [f"--{key}Shapes={shapes}" for key, shapes in shape_texts(ranges).items()]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not draft.is_file():
            end = "\n".join((done.stdout + done.stderr).strip().splitlines()[-10:])
            raise ModelError(f"{model}: trtexec failed with {done.returncode}:\n{end}")
        write_file(out, draft.read_bytes())
    return f"{program}, for this kind of GPU"


def _with_rtx(model: Path, out: Path, ranges: Ranges) -> str:
    try:
        import onnxruntime_ep_nv_tensorrt_rtx  # noqa: F401  (loads the library, which the bindings lack)
        import tensorrt_rtx_bindings
    except (ImportError, OSError) as error:
        raise _UnavailableError(f"TensorRT-RTX does not load ({error})") from error
    _build(tensorrt_rtx_bindings, model, out, ranges)
    return (
        f"TensorRT-RTX {tensorrt_rtx_bindings.__version__}, which needs no GPU to build. It runs in "
        "TensorRT-RTX of this version, not in TensorRT, on GPUs from Ampere on; it was not run here"
    )


def _build(trt: Any, model: Path, out: Path, ranges: Ranges) -> None:
    """Parse and build with the Python API that TensorRT and TensorRT-RTX have in common."""
    logger = trt.Logger(trt.Logger.ERROR)
    try:
        builder = trt.Builder(logger)
    except (TypeError, RuntimeError) as error:  # what its bindings raise where there is no GPU
        raise _UnavailableError(f"the package {trt.__name__} finds no GPU ({error})") from error
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model.read_bytes()):
        first = str(parser.get_error(0)).strip().splitlines()[0]
        raise ModelError(f"{model}: {trt.__name__} cannot parse it: {first}")
    profile = builder.create_optimization_profile()
    for name, shapes in ranges.items():
        profile.set_shape(name, *shapes)
    config = builder.create_builder_config()
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ModelError(f"{model}: {trt.__name__} cannot build it; its reasons are printed above")
    write_file(out, bytes(plan))


def add_batch_option(parser: argparse.ArgumentParser, name: str) -> None:
    """The option for the numbers of faces."""
    parser.add_argument(
        name, type=_batches, default=BATCHES, metavar="MIN,OPT,MAX", help="smallest, usual and largest "
        f"number of faces in a run of the engine; default: {','.join(map(str, BATCHES))}",
    )  # fmt: skip


def _batches(text: str) -> tuple[int, int, int]:
    try:
        low, usual, high = (int(part) for part in text.split(","))
        _check_batches((low, usual, high))
    except (ValueError, UsageError) as error:
        raise argparse.ArgumentTypeError(
            f"wanted are three ascending numbers of faces from 1, such as 1,8,64; got {text!r}"
        ) from error
    return low, usual, high


def main(args: list[str]) -> int:
    """Build an engine; `--help` lists the options."""
    parser = CommandParser(
        prog="faceperc export-engine",
        description="Build a TensorRT engine from an ONNX file, in the file's own precision.",
        epilog="Example: faceperc export-engine faceperc-nano.onnx -o faceperc-nano.engine --batch 1,8,64",
    )
    parser.add_argument("model", help="a name from 'faceperc models', or an ONNX file")
    parser.add_argument("-o", "--out", required=True, help="engine file to write")
    add_batch_option(parser, "--batch")
    options = parser.parse_args(args)
    report(options.out, build_engine(find_model(options.model), options.out, options.batch))
    return 0


def report(out: str, builder: str) -> None:
    """Say what was written, and by what."""
    print(f"{out}: {Path(out).stat().st_size / 2**20:.1f} MiB, built by {builder}")
