"""`faceperc data`: check data sets, prepare sources for fast training, let teachers label them."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress
from rich.table import Table

from faceperc._console import plain_console
from faceperc._files import write_file
from faceperc._parser import CommandParser
from faceperc.data.adapters import ADAPTERS
from faceperc.data.check import SplitReport, check_split, shared_identities
from faceperc.data.class_folders import ClassFolders
from faceperc.data.folder import FolderSource
from faceperc.data.prepared import prepare
from faceperc.data.sheet import contact_sheet
from faceperc.data.source import Sample, data_folder, load_sources
from faceperc.data.table import CsvSource
from faceperc.data.teachers.agreement import GAPS, agreement
from faceperc.data.teachers.format import labels_path, read_labels, write_labels
from faceperc.data.teachers.model import label_source, teacher_of
from faceperc.data.teachers.translate import Labelled, fit, translated, translator
from faceperc.errors import DataError
from faceperc.predict import Predictor
from faceperc.synthetic.store import Order, render_file
from faceperc.zoo import DEFAULT_MODEL

#: What --as takes beside the data sets of the field: one's own photographs (docs/finetuning.md).
OWN: dict[str, Callable[..., FolderSource]] = {
    "csv": CsvSource,
    "folders": partial(ClassFolders, task="class"),
}
_SHOWN = 10  # problems that are printed in full


def main(args: list[str]) -> int:
    """Run a subcommand; `--help` lists them. Returns 1 if something is damaged."""
    parser = CommandParser(
        prog="faceperc data",
        description="Check data sets, prepare sources for fast training, let teachers label them, render "
        "heads. Each has its own help: faceperc data check --help",
        epilog="Example: faceperc data check /data/WFLW --as wflw --sheet sheet.png",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    check = _command(
        commands,
        "check",
        "count and verify a data set, and draw a contact sheet",
        "faceperc data check /data/WFLW --as wflw --sheet sheet.png",
    )
    check.add_argument("path", help="the data set's folder, as its authors distribute it")
    known = sorted([*OWN, *ADAPTERS])
    check.add_argument("--as", dest="adapter", required=True, choices=known, help="which data set")
    check.add_argument("--split", action="append", help="only this split; may be repeated")
    check.add_argument("--limit", type=int, help="open at most this many photographs of each split")
    check.add_argument("--sheet", help="write a contact sheet of random faces with their labels (PNG)")
    check.add_argument("--faces", type=int, default=24, help="faces on the sheet")
    ready = _command(
        commands,
        "prepare",
        "store the faces of all sources, shrunken, in parquet files",
        "faceperc data prepare configs/data/pack.yaml prepared --data /data/faces",
    )
    ready.add_argument("sources", help="YAML list of sources, as in configs/data")
    ready.add_argument("out", help="folder for the parquet files")
    ready.add_argument("--data", help="data folder; else FACEPERC_DATA")
    label = _command(
        commands,
        "label",
        "let an exported model label the faces of all sources",
        "faceperc data label configs/data/pack.yaml --teacher faceperc-nano --tasks pose --out labels",
    )
    label.add_argument("sources", help="YAML list of sources, as in configs/data")
    label.add_argument("--teacher", default=DEFAULT_MODEL, help="a name or an ONNX file")
    label.add_argument("--tasks", help="only these tasks, separated by commas")
    label.add_argument("--data", help="data folder; else FACEPERC_DATA")
    label.add_argument("--out", help="folder for the labels; else the data folder")
    label.add_argument("--threads", type=int, help="threads of ONNX Runtime")
    landmarks = _command(
        commands,
        "landmarks",
        "make 68 landmarks of a teacher's meshes, by a regression learned where photographs have both",
        "faceperc data landmarks configs/data/pack.yaml --labels labels",
    )
    landmarks.add_argument("sources", help="YAML list of sources, as in configs/data")
    landmarks.add_argument("--teacher", default="mediapipe-mesh", help="its name, as in the files' names")
    landmarks.add_argument("--labels", help="folder of the teacher's labels; else the data folder")
    landmarks.add_argument("--data", help="data folder; else FACEPERC_DATA")
    agree = _command(
        commands,
        "agree",
        "compare a teacher's labels with those of the sources",
        "faceperc data agree configs/data/pack.yaml --teacher faceperc-nano --labels labels",
    )
    agree.add_argument("sources", help="YAML list of sources, as in configs/data")
    agree.add_argument("--teacher", required=True, help="its name, as in the files' names")
    agree.add_argument("--labels", help="folder of the teacher's labels; else the data folder")
    agree.add_argument("--data", help="data folder; else FACEPERC_DATA")
    agree.add_argument("--split", default="val", help="the split to compare")
    heads = _command(
        commands,
        "render",
        "render heads with exact labels, seen from every side",
        "faceperc data render 1000 --out rendered/val.parquet --seed 1 --workers 4",
    )
    heads.add_argument("count", type=int, help="number of heads")
    heads.add_argument("--out", required=True, help="parquet file; an interrupted run goes on where it was")
    heads.add_argument("--size", type=int, default=160, help="side of the pictures in pixels")
    heads.add_argument("--seed", type=int, default=0, help="another seed gives other people")
    heads.add_argument("--workers", type=int, default=1, help="processes")
    heads.add_argument("--data", help="data folder, which holds the face model; else FACEPERC_DATA")
    options = parser.parse_args(args)
    if options.command == "render":
        return _render(options)
    if options.command == "label":
        return _label(options)
    if options.command == "landmarks":
        return _landmarks(options)
    if options.command == "agree":
        return _agree(options)
    if options.command == "prepare":
        for path, count in prepare(load_sources(options.sources), options.data, options.out):
            print(f"{path}: {count} faces")
        return 0
    return _check(options)


def _command(commands: Any, name: str, about: str, example: str) -> argparse.ArgumentParser:
    """A subcommand with its help."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=about, description=f"{about[0].upper()}{about[1:]}.", epilog=f"Example: {example}"
    )
    return parser


def _label(options: argparse.Namespace) -> int:
    """Label every split of every source; files that are there already are left."""
    tasks = options.tasks.split(",") if options.tasks else None
    predictor = Predictor(options.teacher, tasks=tasks, threads=options.threads)
    teacher = teacher_of(predictor)
    for source in load_sources(options.sources):
        for split in source.splits:
            path = labels_path(options.out or data_folder(options.data), source.name, split, teacher.name)
            if path.exists():
                print(f"{path}: is there already")
                continue
            labels = list(label_source(predictor, source, options.data, split))
            print(f"{write_labels(path, teacher, labels)}: {len(labels)} labels")
    return 0


def _landmarks(options: argparse.Namespace) -> int:
    """Learn from the training splits, then translate the labels of every split that has some."""
    folder = options.labels or data_folder(options.data)
    sources = load_sources(options.sources)
    places = {
        (source, split): labels_path(folder, source.name, split, options.teacher)
        for source in sources
        for split in source.splits
    }
    labels = {place: read_labels(path) for place, path in places.items() if path.exists()}
    if not labels:
        raise DataError(
            f"{folder}: holds no labels of {options.teacher} for these sources; let it label them first "
            "(docs/teachers.md)"
        )
    faces = {
        source.name: Labelled(source.read(options.data, split), found[1])
        for (source, split), found in labels.items()
        if split == "train"
    }
    rule = fit(faces)
    taught = [name for name, each in faces.items() if any("landmarks" in s.labels for s in each.samples)]
    for (source, split), (teacher, of_split) in labels.items():
        made = translator(teacher, taught)
        path = labels_path(folder, source.name, split, made.name)
        found = list(translated(of_split, rule))
        print(f"{write_labels(path, made, found)}: {len(found)} labels")
    return 0


def _render(options: argparse.Namespace) -> int:
    """Render heads, with a progress bar."""
    order = Order(options.count, options.size, options.seed, options.data)
    with Progress(console=plain_console()) as progress:
        bar = progress.add_task("heads", total=order.count)
        for done in render_file(order, options.out, options.workers):
            progress.update(bar, completed=done)
    print(f"{options.out}: {order.count} heads")
    return 0


def _agree(options: argparse.Namespace) -> int:
    headings = ("set", "faces", "labelled", "confidence", *GAPS)
    table = Table(*headings, title=f"{options.teacher} on {options.split}")
    for source in load_sources(options.sources):
        samples = source.read(options.data, options.split)
        folder = options.labels or data_folder(options.data)
        path = labels_path(folder, source.name, options.split, options.teacher)
        found = agreement(samples, read_labels(path)[1])
        gaps = (found.gaps.get(name) for name in GAPS)
        table.add_row(
            source.name, str(len(samples)), f"{found.labelled:.1%}", f"{found.confidence:.2f}",
            *("" if gap is None else f"{gap:.2f}" for gap in gaps),
        )  # fmt: skip
    plain_console().print(table)
    return 0


def _check(options: argparse.Namespace) -> int:
    splits = tuple(options.split) if options.split else None
    source = (OWN | ADAPTERS)[options.adapter](root=str(Path(options.path).resolve()), splits=splits)
    reservoir = _Reservoir(options.faces)
    root = source.place()
    reports = [check_split(source, root, split, options.limit, reservoir.offer) for split in source.splits]
    _print(source, reports)
    if options.sheet:
        print(write_file(options.sheet, contact_sheet(reservoir.samples)))
    shared = shared_identities(reports)
    for (first, second), identities in shared.items():
        some = ", ".join(sorted(identities)[:5])
        print(f"{len(identities)} identities lie in both {first} and {second}, e.g. {some}")
    problems = [problem for report in reports for problem in report.problems]
    for problem in problems[:_SHOWN]:
        print(problem)
    if len(problems) > _SHOWN:
        print(f"... and {len(problems) - _SHOWN} more")
    return 1 if problems or shared else 0


class _Reservoir:
    """A fair choice of ``size`` samples out of a stream of unknown length (Vitter's algorithm R, 1985)."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.seen = 0
        self.samples: list[Sample] = []
        self.random = random.Random(0)

    def offer(self, sample: Sample) -> None:
        self.seen += 1
        if len(self.samples) < self.size:
            self.samples.append(sample)
        elif (place := self.random.randrange(self.seen)) < self.size:
            self.samples[place] = sample


def _print(source: FolderSource, reports: list[SplitReport]) -> None:
    table = Table("split", "listed", "usable", "damaged", "identities", "labels", title=source.origin)
    for report in reports:
        labels = []
        for task, count in report.labels.items():
            classes = report.classes[task]
            few = len(classes) <= 10
            listed = ", ".join(f"{value}: {classes[value]}" for value in sorted(classes)) if few else ""
            labels.append(f"{task} {count}" + (f" ({listed})" if listed else ""))
        table.add_row(
            report.split, str(report.items), str(report.usable), str(len(report.problems)),
            str(len(report.identities) or "-"), "\n".join(labels),
        )  # fmt: skip
    plain_console().print(table)
    plain_console().print(f"licence: {source.licence}")
