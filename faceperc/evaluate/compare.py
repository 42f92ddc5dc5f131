"""`faceperc compare A B`: by how much B differs from A on the same faces, and whether the sign is sure."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from faceperc._parser import CommandParser
from faceperc.errors import UsageError
from faceperc.evaluate.bootstrap import Interval, intervals
from faceperc.evaluate.cli import add_data_options, measure_as, parse
from faceperc.evaluate.measure import Measurement
from faceperc.evaluate.report import show
from faceperc.evaluate.saved import load
from faceperc.runtime import OnnxModel
from faceperc.zoo import find_model

HEADINGS = ("set", "task", "faces", "metric", "A", "B", "B - A (95 % interval)", "sign is sure")


@dataclass(frozen=True)
class Difference:
    """One metric of two models on the faces that both were measured on.

    Attributes:
        source: name of the source.
        task: name of the task.
        metric: name of the metric.
        count: faces.
        first: value of A.
        second: value of B.
        interval: 95 % bootstrap interval of ``second - first`` over the faces, paired.
    """

    source: str
    task: str
    metric: str
    count: int
    first: float
    second: float
    interval: Interval

    @property
    def sure(self) -> bool:
        """Whether zero lies outside the interval."""
        return self.interval[0] > 0 or self.interval[1] < 0


def compare(first: Iterable[Measurement], second: Iterable[Measurement]) -> Iterator[Difference]:
    """The differences of all metrics that both models have, over the faces that both were measured on."""
    others = {(each.source, each.task): each for each in second}
    for each in first:
        other = others.get((each.source, each.task))
        if other is not None:
            yield from _differences(each, other)


def _differences(first: Measurement, second: Measurement) -> Iterator[Difference]:
    _, ours, theirs = np.intersect1d(first.names, second.names, return_indices=True)
    if not len(ours):
        return
    rows, other_rows = first.rows[ours], second.rows[theirs]

    def gaps(chosen: np.ndarray) -> dict[str, float]:
        values, others = first.head.summarise(rows[chosen]), second.head.summarise(other_rows[chosen])
        return {name: others[name] - values[name] for name in values if name in others}

    values, others = first.head.summarise(rows), second.head.summarise(other_rows)
    for metric, interval in intervals(len(ours), gaps).items():
        if np.isfinite([values[metric], others[metric]]).all():
            yield Difference(
                first.source, first.task, metric, len(ours), values[metric], others[metric], interval
            )


def main(args: list[str]) -> int:
    """Compare two models; `--help` lists the options.

    Raises:
        UsageError: if the two were not measured on a face in common.
    """
    parser = CommandParser(
        prog="faceperc compare",
        description="Differences of two models on the same faces, with paired bootstrap intervals, which "
        "are far tighter than those of each model alone. The options say how models are measured; files "
        "of 'faceperc eval' have been.",
        epilog="Example: faceperc compare before.json after.json; faceperc compare faceperc-nano mine.onnx",
    )
    what = "a file that 'faceperc eval --json' wrote (its .npz beside it), or a model: a name or an ONNX file"
    parser.add_argument("first", metavar="A", help=what)
    parser.add_argument("second", metavar="B", help="the same, of the model to compare with it")
    add_data_options(parser)
    options = parse(parser, args)
    (first, a), (second, b) = (_measurements(given, options) for given in (options.first, options.second))
    differences = list(compare(a, b))
    if not differences:
        raise UsageError(f"{options.first} and {options.second} were measured on no task and face in common")
    show(HEADINGS, [_row(each) for each in differences], f"A: {first}, B: {second}")
    return 0


def _measurements(given: str, options: argparse.Namespace) -> tuple[str, list[Measurement]]:
    """What the table calls it, and its measurements."""
    if given.lower().endswith(".json"):
        name, saved = load(given)
        return f"{name} ({given})", saved
    model = OnnxModel(find_model(given), options.threads, options.provider)
    return given, [each.without_faces() for each in measure_as(options, model)]


def _row(each: Difference) -> tuple[str, ...]:
    low, high = each.interval
    gap = f"{each.second - each.first:+.2f} ({low:+.2f} to {high:+.2f})"
    figures = (f"{each.first:.2f}", f"{each.second:.2f}", gap, "yes" if each.sure else "no")
    return (each.source, each.task, str(each.count), each.metric, *figures)
