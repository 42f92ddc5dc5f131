"""The figures of an evaluation: as results, a table, Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from faceperc._console import plain_console
from faceperc.data.fingerprint import fingerprint
from faceperc.data.source import Sample
from faceperc.evaluate.bootstrap import Interval, intervals
from faceperc.evaluate.measure import Measurement
from faceperc.head import Head

HEADINGS = ("set", "task", "faces", "main metric (95 % interval)", "others")


@dataclass
class Result:
    """Metrics of one task on one source.

    Attributes:
        source: name of the source.
        task: name of the task.
        count: faces measured.
        metrics: values by name, the main one first.
        interval: 95 % bootstrap interval of the main metric over faces.
        intervals: the interval of every metric.
        groups: metrics of subgroups of the faces, by "name: value"; a face may be in several.
        group_intervals: the intervals of those metrics.
        data_sha256: ``faceperc.data.fingerprint`` of the photographs; empty where only the rows were kept.
    """

    source: str
    task: str
    count: int
    metrics: dict[str, float]
    interval: Interval
    intervals: dict[str, Interval]
    groups: dict[str, dict[str, float]] = field(default_factory=dict)
    group_intervals: dict[str, dict[str, Interval]] = field(default_factory=dict)
    data_sha256: str = ""


def summarise(measurement: Measurement) -> Result:
    """The metrics of a measurement, their intervals, and those of the groups its faces belong to."""
    head, rows = measurement.head, measurement.rows
    metrics, limits = _with_intervals(head, rows)
    groups, group_limits = {}, {}
    for name, members in _groups(measurement.samples):
        figures, group_limits[name] = _with_intervals(head, rows[members])
        groups[name] = {"faces": float(members.sum()), **figures}
    return Result(
        measurement.source,
        measurement.task,
        len(rows),
        metrics,
        limits[next(iter(metrics))],
        limits,
        groups,
        group_limits,
        fingerprint(measurement.samples) if measurement.samples else "",
    )


def _with_intervals(head: Head, rows: np.ndarray) -> tuple[dict[str, float], dict[str, Interval]]:
    limits = intervals(len(rows), lambda chosen: head.summarise(rows[chosen]))
    return head.summarise(rows), limits


def _groups(samples: Sequence[Sample]) -> Iterator[tuple[str, np.ndarray]]:
    """ "name: value" of each group, and (M,) whether each sample belongs to it."""
    for name, value in sorted({key for sample in samples for key in sample.groups.items()}):
        yield f"{name}: {value}", np.array([sample.groups.get(name) == value for sample in samples])


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
            main = next(key for key in metrics if key != "faces")
            low, high = result.group_intervals[name][main]
            figure = f"{main} {metrics[main]:.2f} ({low:.2f}-{high:.2f})"
            others = {key: value for key, value in metrics.items() if key != "faces"}
            rows.append(("", name, f"{metrics['faces']:.0f}", figure, _listed(others, skip=main)))
    return rows


def _listed(metrics: Mapping[str, float], skip: str) -> str:
    known = {name: value for name, value in metrics.items() if name != skip and np.isfinite(value)}
    return ", ".join(f"{name} {value:.2f}" for name, value in known.items())


def show(headings: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    """Print the rows as a table."""
    from rich.table import Table

    table = Table(*headings, title=title)
    for row in rows:
        table.add_row(*row)
    plain_console().print(table)


def markdown(rows: Sequence[tuple[str, ...]]) -> str:
    """The rows as a Markdown table, for the model card."""
    lines: list[tuple[str, ...]] = [HEADINGS, ("---",) * len(HEADINGS), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def json_text(document: dict[str, Any]) -> str:
    """The document as JSON, null where a number is not finite."""
    return json.dumps(_finite(document), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
