"""`faceperc eval`: measure a model file on labelled photographs, with bootstrap intervals."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from faceperc._files import check_kind, write_file
from faceperc._parser import CommandParser, add_import_option, import_heads
from faceperc.card.figures import QUALITY_HEADINGS, quality_rows
from faceperc.data.source import load_sources
from faceperc.detect import FaceDetector
from faceperc.evaluate.conditions import HARDER, PLAIN, Condition
from faceperc.evaluate.measure import Measurement, measure
from faceperc.evaluate.page import Section, render, worst_cases
from faceperc.evaluate.quality import Quality, qualities
from faceperc.evaluate.report import HEADINGS, markdown, show, summarise, table_rows
from faceperc.evaluate.robustness import Robustness, robustness, robustness_table
from faceperc.evaluate.saved import check_saving, description, save
from faceperc.provenance import command_line
from faceperc.runtime import OnnxModel
from faceperc.zoo import DEFAULT_DETECTOR, DEFAULT_MODEL, find_model


def main(args: list[str]) -> int:
    """Evaluate a face model; `--help` lists the options."""
    parser = CommandParser(
        prog="faceperc eval",
        description="Measure a face model on a held-out split of every source.",
        epilog="Example: FACEPERC_DATA=data faceperc eval faceperc-nano --boxes detector --html page.html",
    )
    parser.add_argument("model", nargs="?", default=DEFAULT_MODEL, help="a name or an ONNX file")
    add_data_options(parser)
    parser.add_argument("--groups", action="store_true", help="print the groups too (--json always has them)")
    parser.add_argument(
        "--json", help="also write the figures to this file, and each face's rows to a .npz beside it"
    )
    parser.add_argument("--markdown", help="also write the table to this file, for the model card")
    parser.add_argument(
        "--html",
        help="also write a page with curves and the worst cases as pictures to this file. It shows "
        "photographs of people: share it only as the data's licences and those people's privacy allow",
    )
    parser.add_argument(
        "--robustness",
        action="store_true",
        help="also measure turned, small, dark, compressed and covered faces and wrong boxes, and say by how "
        "much the main metrics are worse, and whether crops without a face have a low quality; takes seven "
        "times as long",
    )
    parser.add_argument("--worst", type=int, default=6, help="worst cases of each set and task on the page")
    options = parse(parser, args)
    if options.json:
        check_saving(options.json)
    check_kind(options.markdown, ".md", ".markdown", ".txt")
    check_kind(options.html, ".html", ".htm")
    model = OnnxModel(find_model(options.model), options.threads, options.provider)
    sections = []
    for each in measure_as(options, model):
        cases = worst_cases(model, each, options.worst) if options.html else []
        sections.append(Section(summarise(each), each.without_faces(), cases))
    results = [section.result for section in sections]
    title = f"{model.metadata.name}, boxes from the {options.boxes}"
    rows = table_rows(results, options.groups)
    show(HEADINGS, rows, title)
    harder = list(_robustness(options, model, [each.measurement for each in sections]))
    if harder:
        headings, lines = robustness_table(harder)
        show(headings, lines, "main metrics under harder conditions (worse by)")
    quality = [asdict(each) for each in _qualities(options, model)]
    if quality:
        rows_of_quality = quality_rows({"quality": quality})
        show(QUALITY_HEADINGS, rows_of_quality, "quality of faces, and of crops without a face")
    if options.markdown:
        write_file(options.markdown, markdown(rows).encode())
    document = {
        **description("face", model, command_line("eval", args)),
        "boxes": options.boxes,
        "detector": find_model(options.detector).name if options.boxes == "detector" else None,
        "split": options.split,
        "limit": options.limit,
        "results": [asdict(result) for result in results],
        **({"robustness": [asdict(each) for each in harder]} if harder else {}),
        **({"quality": quality} if quality else {}),
        "config": model.metadata.raw["config"],
    }
    if options.json:
        save(options.json, document, [section.measurement for section in sections])
    if options.html:
        write_file(options.html, render(document, sections).encode())
    return 0


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which faces are measured, and how."""
    parser.add_argument("--data", help="folder of the data pack; else FACEPERC_DATA")
    parser.add_argument("--sources", help="YAML list of sources; else the pack's (configs/data/pack.yaml)")
    parser.add_argument("--split", default="val", help="the split that is read, e.g. test; default: val")
    parser.add_argument(
        "--boxes",
        choices=("label", "detector"),
        default="label",
        help="where the face boxes come from. Photographs of the pack are whole; adapters' samples are cut "
        "out around the labelled face, so the detector's task is easier there",
    )
    parser.add_argument("--detector", default=DEFAULT_DETECTOR, help="a name or an ONNX file")
    parser.add_argument("--limit", type=int, help="at most this many faces of each source, spread evenly")
    parser.add_argument("--threads", type=int, help="threads of the runtime")
    parser.add_argument("--provider", help="what runs the models: cpu, cuda, tensorrt or openvino")
    add_import_option(parser)


def parse(parser: argparse.ArgumentParser, args: Sequence[str]) -> argparse.Namespace:
    """The options; the modules that they name are imported."""
    options = parser.parse_args(args)
    import_heads(options.modules)
    return options


def _robustness(
    options: argparse.Namespace, model: OnnxModel, plain: Sequence[Measurement]
) -> Iterator[Robustness]:
    for condition in HARDER if options.robustness else ():
        yield from robustness(condition.name, plain, measure_as(options, model, condition))


def _qualities(options: argparse.Namespace, model: OnnxModel) -> Iterator[Quality]:
    if options.robustness:
        sources = load_sources(options.sources)
        yield from qualities(model, sources, options.data, options.split, options.limit)


def measure_as(
    options: argparse.Namespace, model: OnnxModel, condition: Condition = PLAIN
) -> Iterator[Measurement]:
    """Measure a model as ``add_data_options`` says."""
    detector = None
    if options.boxes == "detector":
        detector = FaceDetector(OnnxModel(find_model(options.detector), options.threads, options.provider))
    sources = load_sources(options.sources)
    yield from measure(model, sources, options.data, detector, options.limit, options.split, condition)
