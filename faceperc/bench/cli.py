"""`faceperc bench`: how fast prediction is, beside a reference of the same run."""

from __future__ import annotations

import argparse
import importlib
import json
import shlex
from pathlib import Path

from faceperc._cores import cores
from faceperc._files import check_json_target, write_file
from faceperc._parser import CommandParser
from faceperc.bench.predict import bench
from faceperc.bench.report import document, markdown, show, update_page
from faceperc.zoo import DEFAULT_MODEL

# What else than prediction is timed; each module reads its own arguments.
OTHERS = {
    "train": "faceperc.bench.train",
    "video": "faceperc.bench.video",
    "folder": "faceperc.bench.folder",
    "serve": "faceperc.bench.serve",
}


def main(args: list[str]) -> int:
    """Time prediction, or what the first argument names (``OTHERS``); `--help` lists the options."""
    if args and args[0] in OTHERS:
        code: int = importlib.import_module(OTHERS[args[0]]).main(args[1:])
        return code
    args = args[1:] if args[:1] == ["predict"] else args
    parser = CommandParser(
        prog="faceperc bench [predict]",
        description="Time face models in turn with a reference: latency (batch 1) and throughput (batch 8) "
        "by threads, the detector, the parts of a prediction, a new process and its memory. Ratios compare "
        "runs of the same round, by processor time with one thread and by time on the wall with more. U is "
        "the cost of timm's vit_tiny_patch16_224. 'faceperc bench train --help' times a training instead, "
        "'faceperc bench video --help' faces through a video, 'faceperc bench folder --help' many images, "
        "'faceperc bench serve --help' the service.",
        epilog="Example: faceperc bench mine.onnx mine-int8.onnx --json bench.json",
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help="a name from 'faceperc models', or a file")
    parser.add_argument("--reference", default=DEFAULT_MODEL, help=f"default: {DEFAULT_MODEL}")
    parser.add_argument(
        "--provider",
        metavar="NAME",
        help="what runs the models, not the reference: cpu, cuda, tensorrt, openvino",
    )
    parser.add_argument("--threads", type=counts, metavar="1,2", help="default: 1, 2, 4 ... all cores")
    parser.add_argument("--rounds", type=count, default=30, help="how often each is timed (default: 30)")
    parser.add_argument("--starts", type=count, default=5, help="new processes of each model (default: 5)")
    parser.add_argument("--no-unit", action="store_true", help="leave out U, which takes a while to build")
    parser.add_argument("--json", metavar="FILE", help="also write everything as JSON")
    parser.add_argument(
        "--update", metavar="PAGE", type=Path, help="also put the tables into a Markdown page"
    )
    options = parser.parse_args(args)
    check_json_target(options.json)
    found = bench(
        options.models,
        reference=options.reference,
        threads=options.threads or _powers(cores()),
        rounds=options.rounds,
        starts=options.starts,
        provider=options.provider,
        unit=not options.no_unit,
    )
    show(found)
    if options.json:
        write_file(options.json, (json.dumps(document(found), indent=2) + "\n").encode())
    if options.update:
        update_page(options.update, markdown(found, shlex.join(["faceperc", "bench", *args])))
    return 0


def count(text: str) -> int:
    """A number of times, from an argument: 1 or more.

    Raises:
        ArgumentTypeError: if it is none.
    """
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"is a whole number from 1 on; got {text!r}")
    return number


def counts(text: str) -> list[int]:
    """Several of them, separated by commas."""
    return [count(part) for part in text.split(",")]


def _powers(limit: int) -> list[int]:
    """1, 2, 4, ... below the limit, and the limit."""
    return [*(2**power for power in range(limit.bit_length()) if 2**power < limit), limit]
