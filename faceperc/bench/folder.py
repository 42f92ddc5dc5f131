"""`faceperc bench folder`: how fast `faceperc predict FOLDER --out FILE` is, by workers."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import os
import random
import shlex
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from faceperc._cores import physical_cores
from faceperc._files import check_json_target, write_file
from faceperc.batch import predict_files
from faceperc.batch.inputs import find_images
from faceperc.bench.cli import count, counts
from faceperc.bench.clock import Spread, digits, ratio
from faceperc.bench.predict import machine
from faceperc.bench.report import Table, machine_line, markdown_tables, show_tables, update_page
from faceperc.predict import Predictor
from faceperc.zoo import DEFAULT_MODEL

LOOP = 0  # stands for the plain loop among the numbers of workers


@dataclass(frozen=True)
class Rate:
    """How fast images are done, when all workers have started.

    Attributes:
        workers: processes of one thread each; 0 is a plain loop in one process, which writes nothing.
        per_second: images by the clock on the wall.
        cpu_ms: processor time of an image, of all processes together, milliseconds.
        parent_ms: that of the process that hands out and writes: with cpu_ms it bounds how many workers help.
        speedup: wall time of the loop as a multiple of this, in the same round.
        start_s: seconds that a job of one image per worker takes.
    """

    workers: int
    per_second: Spread
    cpu_ms: Spread
    parent_ms: Spread
    speedup: Spread
    start_s: Spread


def main(args: list[str]) -> int:
    """Time jobs; `--help` lists the options."""
    parser = argparse.ArgumentParser(
        prog="faceperc bench folder",
        description="Time jobs of many images, by the number of worker processes, in turn with a plain loop "
        "in one process. Each process has one thread. Where other programs use the cores, only processor "
        "time means something.",
        epilog="Example: faceperc bench folder photos --workers 1,2,4",
    )
    parser.add_argument("images", nargs="+", metavar="FOLDER", help="images, or folders of them")
    parser.add_argument("--model", default=DEFAULT_MODEL, help=f"default: {DEFAULT_MODEL}")
    parser.add_argument("--workers", type=counts, metavar="1,2", help="default: 1, and one per core")
    parser.add_argument("--rounds", type=count, default=5, help="how often each is timed (default: 5)")
    parser.add_argument("--json", metavar="FILE", help="also write everything as JSON")
    parser.add_argument("--update", metavar="PAGE", type=Path, help="also put the table into a Markdown page")
    options = parser.parse_args(args)
    check_json_target(options.json)
    images = [image.path for image in find_images(options.images)]
    workers = sorted({*(options.workers or (1, physical_cores()))})
    here = machine()
    rates = measure(images, options.model, workers, options.rounds)
    table = _table(rates, len(images))
    show_tables(machine_line(here), [table])
    if options.json:
        document = {"machine": here, "images": len(images), "rates": [dataclasses.asdict(r) for r in rates]}
        write_file(options.json, (json.dumps(document, indent=2) + "\n").encode())
    if options.update:
        command = shlex.join(["faceperc", "bench", "folder", *args])
        text = markdown_tables(command, machine_line(here), [table])
        update_page(options.update, text, "faceperc bench folder")
    return 0


def measure(images: Sequence[str], model: str, workers: Sequence[int], rounds: int) -> list[Rate]:
    """Time a plain loop and jobs in a new random order each round.

    Raises:
        FacepercError: if the model cannot be opened, or in the loop an image cannot be read.
    """
    predictor = Predictor(model, threads=1)
    predictor(images[0])  # what the first one opens does not count
    runs: dict[int, Callable[[Sequence[str]], object]] = {LOOP: lambda paths: [predictor(p) for p in paths]}
    runs |= {number: partial(_job, model=model, workers=number) for number in workers}
    wall: dict[int, list[float]] = {number: [] for number in runs}
    cpu: dict[int, list[float]] = {number: [] for number in runs}
    parent: dict[int, list[float]] = {number: [] for number in runs}
    starts: dict[int, list[float]] = {number: [] for number in runs}
    order = list(runs)
    for _ in range(rounds):
        random.Random(len(wall[LOOP])).shuffle(order)
        for number in order:
            first = max(1, number)
            short, all_of = _timed(runs[number], images[:first]), _timed(runs[number], images)
            # the difference of the two is the time of the rest alone, without the start
            share = len(images) / (len(images) - first)
            starts[number].append(short[0])
            wall[number].append((all_of[0] - short[0]) * share)
            cpu[number].append((all_of[1] - short[1]) * share)
            parent[number].append((all_of[2] - short[2]) * share)
    return [
        Rate(
            number,
            Spread.of([len(images) / each for each in wall[number]]),
            Spread.of([1e3 * each / len(images) for each in cpu[number]]),
            Spread.of([1e3 * each / len(images) for each in parent[number]]),
            ratio(wall[LOOP], wall[number]),
            Spread.of(starts[number]),
        )
        for number in runs
    ]


def _job(paths: Sequence[str], model: str, workers: int) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        predict_files(paths, Path(folder, "faces.parquet"), model=model, workers=workers, threads=1)


def _timed(run: Callable[[Sequence[str]], Any], images: Sequence[str]) -> tuple[float, float, float]:
    """Seconds on the wall; of the processor, with those of the processes that it started and ended; and of
    the processor by this process alone."""
    begin = (time.perf_counter(), time.process_time(), sum(os.times()[2:4]))
    run(images)
    end = (time.perf_counter(), time.process_time(), sum(os.times()[2:4]))
    wall, own, children = (after - before for before, after in zip(begin, end, strict=True))
    return wall, own + children, own


def _table(rates: Sequence[Rate], images: int) -> Table:
    rows = [
        (
            "a plain loop" if each.workers == LOOP else f"{each.workers} worker{'s' * (each.workers > 1)}",
            str(each.per_second),
            str(each.cpu_ms),
            "" if each.workers == LOOP else digits(each.parent_ms.median),
            digits(1e3 / each.cpu_ms.median),
            str(each.speedup),
            "" if each.workers == LOOP else digits(each.start_s.median),
        )
        for each in rates
    ]
    heads = (
        "",
        "images/s",
        "CPU ms/image",
        "parent's",
        "images per core second",
        "speed-up",
        "start s",
    )
    return Table(f"{images} images", heads, rows)
