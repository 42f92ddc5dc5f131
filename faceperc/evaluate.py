"""`faceperc eval`: measure a model file on labelled photographs, with bootstrap intervals.

It measures what ships: the ONNX file in ONNX Runtime, fed with the crops that prediction makes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from faceperc._files import write_file
from faceperc.config import FaceModelConfig, build_heads
from faceperc.crop import FaceCrop
from faceperc.data.source import ParquetSource, Sample, data_folder, load_sources
from faceperc.data.view import View
from faceperc.detect import FaceDetector
from faceperc.detector.metrics import iou_matrix
from faceperc.errors import ModelError
from faceperc.head import Head
from faceperc.runtime import OnnxModel
from faceperc.zoo import DEFAULT_DETECTOR, DEFAULT_MODEL, find_model

_BATCH = 64
_RESAMPLES = 1000
#: A detected box is the labelled face's if they overlap by this much.
_SAME_FACE = 0.3


@dataclass
class Result:
    """Metrics of one task on one source.

    Attributes:
        source: name of the source.
        task: name of the task.
        count: faces measured.
        metrics: values by name, the main one first.
        interval: 95 % bootstrap interval of the main metric over faces.
        groups: metrics of subgroups of the faces, by "name: value".
    """

    source: str
    task: str
    count: int
    metrics: dict[str, float]
    interval: tuple[float, float]
    groups: dict[str, dict[str, float]] = field(default_factory=dict)


def evaluate(
    model: OnnxModel, sources: Sequence[ParquetSource], folder: Path,
    detector: FaceDetector | None = None, limit: int | None = None,
) -> Iterator[Result]:  # fmt: skip
    """Measure every task of the model that a source labels.

    Args:
        model: a face model.
        sources: labelled sources; their validation split is read.
        folder: folder of the data pack.
        detector: find the faces by it; by default the labelled boxes are taken. A face that it does not find
            counts as the head says (``Head.missing_row``).
        limit: measure at most this many faces of each source.

    Raises:
        ModelError: if the file does not hold its configuration.
        DataError: if the data is missing or damaged.
    """
    config = model.metadata.raw.get("config")
    if config is None:
        raise ModelError(f"{model.path}: its metadata lacks 'config', which names the heads; export it again")
    config = FaceModelConfig.from_dict(config)
    heads = {task: head for task, head in build_heads(config).items() if task in model.metadata.tasks}
    for head in heads.values():
        head.measure_finely()
    for source in sources:
        if "val" in source.splits:
            samples = source.read(folder, "val", limit)
            yield from _evaluate_source(model, config, heads, source.name, samples, detector)


def _evaluate_source(
    model: OnnxModel, config: FaceModelConfig, heads: Mapping[str, Head], name: str,
    samples: list[Sample], detector: FaceDetector | None,
) -> Iterator[Result]:  # fmt: skip
    rows: dict[str, list[np.ndarray]] = {}
    kept: dict[str, list[Sample]] = {}
    for sample in samples:
        sample.labels = {task: label for task, label in sample.labels.items() if task not in sample.derived}
    for start in range(0, len(samples), _BATCH):
        batch = samples[start : start + _BATCH]
        boxes = [sample.box if detector is None else _find(detector, sample) for sample in batch]
        found = [i for i, box in enumerate(boxes) if box is not None]
        views = [View(FaceCrop.from_box(boxes[i], config.crop_rule)) for i in found]  # type: ignore[arg-type]
        output = _run(model, [view.pixels(batch[i].image) for i, view in zip(found, views, strict=True)])
        for task, head in heads.items():
            places = [k for k, i in enumerate(found) if task in batch[i].labels]
            if places:
                labelled = [batch[found[k]] for k in places]
                targets = [
                    head.encode(s.labels[task], views[k]) for s, k in zip(labelled, places, strict=True)
                ]
                chosen = {key: value[places] for key, value in output[task].items()}
                rows.setdefault(task, []).append(head.statistics(chosen, default_collate(targets)).numpy())
                kept.setdefault(task, []).extend(labelled)
            missing = head.missing_row()
            lost = [s for s, box in zip(batch, boxes, strict=True) if box is None and task in s.labels]
            if missing is not None and lost:
                rows.setdefault(task, []).append(np.stack([missing] * len(lost)))
                kept.setdefault(task, []).extend(lost)
    for task, parts in rows.items():
        yield _summarise(heads[task], name, task, np.concatenate(parts), kept[task])


def _summarise(head: Head, source: str, task: str, rows: np.ndarray, samples: list[Sample]) -> Result:
    metrics = head.summarise(rows)
    main = next(iter(metrics))
    random = np.random.default_rng(0)
    draws = [head.summarise(rows[random.integers(0, len(rows), len(rows))])[main] for _ in range(_RESAMPLES)]
    low, high = np.nanpercentile(draws, [2.5, 97.5]) if np.isfinite(draws).any() else (np.nan, np.nan)
    groups = {}
    for key in sorted({key for sample in samples for key in sample.groups.items()}):
        members = np.array([sample.groups.get(key[0]) == key[1] for sample in samples])
        groups[f"{key[0]}: {key[1]}"] = {"faces": float(members.sum()), **head.summarise(rows[members])}
    return Result(source, task, len(rows), metrics, (float(low), float(high)), groups)


def _run(model: OnnxModel, crops: list[np.ndarray]) -> dict[str, dict[str, Tensor]]:
    size = model.metadata.crop.size if model.metadata.crop else 0
    stacked = np.stack(crops) if crops else np.zeros((0, size, size, 3), np.uint8)
    arrays = model.run({model.metadata.input: stacked}) if crops else {}
    return {
        task: {key: torch.from_numpy(arrays[entry.output]) for key, entry in info.fields.items() if crops}
        for task, info in model.metadata.tasks.items()
    }


def _find(detector: FaceDetector, sample: Sample) -> np.ndarray | None:
    """The detected box that overlaps the labelled one best, or None."""
    boxes, _ = detector.detect(sample.image)
    if not len(boxes):
        return None
    overlap = iou_matrix(sample.box[None], boxes)[0]
    best = int(overlap.argmax())
    return boxes[best] if overlap[best] >= _SAME_FACE else None


HEADINGS = ("set", "task", "faces", "main metric (95 % interval)", "others")


def table_rows(results: Sequence[Result], groups: bool) -> list[tuple[str, ...]]:
    """The results as text, a row each; with ``groups`` every result's subgroups below it."""
    rows: list[tuple[str, ...]] = []
    for result in results:
        (main, value), *_ = result.metrics.items()
        low, high = result.interval
        figure = f"{main} {value:.2f} ({low:.2f}-{high:.2f})"
        rows.append(
            (result.source, result.task, str(result.count), figure, _listed(result.metrics, skip=main))
        )
        for name, metrics in result.groups.items() if groups else ():
            rows.append(("", name, f"{metrics['faces']:.0f}", "", _listed(metrics, skip="faces")))
    return rows


def _listed(metrics: Mapping[str, float], skip: str) -> str:
    known = {name: value for name, value in metrics.items() if name != skip and np.isfinite(value)}
    return ", ".join(f"{name} {value:.2f}" for name, value in known.items())


def show(rows: Sequence[tuple[str, ...]], title: str) -> None:
    """Print the rows as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*HEADINGS, title=title)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def markdown(rows: Sequence[tuple[str, ...]]) -> str:
    """The rows as a Markdown table, for the model card."""
    lines: list[tuple[str, ...]] = [HEADINGS, ("---",) * len(HEADINGS), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _finite(value: Any) -> Any:
    """The same JSON document, null where a number is not finite."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def main(args: list[str]) -> int:
    """Evaluate a face model; `--help` lists the options."""
    parser = argparse.ArgumentParser(
        prog="faceperc eval",
        description="Measure a face model on the validation split of every source.",
        epilog="Example: FACEPERC_DATA=data faceperc eval faceperc-nano --boxes detector",
    )
    parser.add_argument("model", nargs="?", default=DEFAULT_MODEL, help="a name or an ONNX file")
    parser.add_argument("--data", help="folder of the data pack; else FACEPERC_DATA")
    parser.add_argument("--sources", help="YAML list of sources; else the pack's (configs/data/pack.yaml)")
    parser.add_argument(
        "--boxes", choices=("label", "detector"), default="label", help="where the face boxes come from"
    )
    parser.add_argument("--detector", default=DEFAULT_DETECTOR, help="a name or an ONNX file")
    parser.add_argument("--limit", type=int, help="at most this many faces of each source")
    parser.add_argument("--groups", action="store_true", help="print the subgroups too")
    parser.add_argument("--threads", type=int, help="threads of ONNX Runtime")
    parser.add_argument("--json", help="also write the figures to this file")
    parser.add_argument("--markdown", help="also write the table to this file, for the model card")
    parser.add_argument("--import", dest="modules", action="append", default=[], help="module with a head")
    options = parser.parse_args(args)
    for module in options.modules:
        import_module(module)
    model = OnnxModel(find_model(options.model), options.threads)
    detector = None
    if options.boxes == "detector":
        detector = FaceDetector(OnnxModel(find_model(options.detector), options.threads))
    sources = load_sources(options.sources)
    results = list(evaluate(model, sources, data_folder(options.data), detector, options.limit))
    rows = table_rows(results, options.groups)
    show(rows, f"{model.metadata.name}, boxes from the {options.boxes}")
    if options.markdown:
        write_file(options.markdown, markdown(rows).encode())
    if options.json:
        document: dict[str, Any] = {
            "model": model.metadata.name,
            "weights_sha256": model.metadata.weights_sha256,
        }
        document |= {"boxes": options.boxes, "results": [vars(result) for result in results]}
        write_file(options.json, (json.dumps(_finite(document), indent=2, allow_nan=False) + "\n").encode())
    return 0
