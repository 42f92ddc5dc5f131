"""How much worse the answers become under harder conditions: the main metric of each task on each source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from faceperc.evaluate.bootstrap import Interval, intervals
from faceperc.evaluate.measure import Measurement


@dataclass(frozen=True)
class Robustness:
    """A task's main metric on a source, as it is and under a condition.

    Attributes:
        condition: its name.
        source: name of the source.
        task: name of the task.
        metric: name of the main metric.
        plain: its value as it is.
        value: its value under the condition.
        interval: 95 % bootstrap interval of ``value`` over the faces.
        loss: by which share of ``plain`` the metric is worse, whichever direction is worse; negative: better.
    """

    condition: str
    source: str
    task: str
    metric: str
    plain: float
    value: float
    interval: Interval
    loss: float


def robustness(
    condition: str, plain: Sequence[Measurement], harder: Iterable[Measurement]
) -> Iterator[Robustness]:
    """Compare measurements of the same faces.

    Args:
        condition: name of the condition.
        plain: the measurements as it is.
        harder: those under the condition.
    """
    known = {(each.source, each.task): each for each in plain}
    for each in harder:
        head, before = each.head, known[each.source, each.task]
        metric, first = next(iter(head.summarise(before.rows).items()))
        value = head.summarise(each.rows)[metric]
        worse = value - first if head.lower_is_better else first - value
        loss = worse / first if first else float("nan")
        limits = _limits(each, metric)
        yield Robustness(condition, each.source, each.task, metric, first, value, limits, loss)


def _limits(measurement: Measurement, metric: str) -> Interval:
    def figure(chosen: np.ndarray) -> dict[str, float]:
        return {metric: measurement.head.summarise(measurement.rows[chosen])[metric]}

    return intervals(len(measurement.rows), figure)[metric]


HEADINGS = ("set", "task", "main metric")


def robustness_table(results: Sequence[Robustness]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: a row per set and task, a column per condition with the loss."""
    conditions = list(dict.fromkeys(each.condition for each in results))
    rows: dict[tuple[str, str], list[str]] = {}
    for each in results:
        figure = f"{each.metric} {each.plain:.2f}"
        row = rows.setdefault((each.source, each.task), [each.source, each.task, figure])
        row.append(f"{100 * each.loss:+.0f} %")
    return [*HEADINGS, *conditions], list(rows.values())
