"""How numbers, classes and labels are spread over all faces."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from faceperc.html_report.facts import Facts, Number

BINS = 24  # of a histogram, about


@dataclass(frozen=True)
class Histogram:
    """How a number is spread.

    Attributes:
        number: which.
        start: lower edge of the first bin, in the number's unit.
        step: width of a bin.
        digits: decimals that its values need.
        counts: faces in each bin; a value on an edge is in the bin above.
    """

    number: Number
    start: float
    step: float
    digits: int
    counts: list[int]


@dataclass(frozen=True)
class Bars:
    """How often each label is given.

    Attributes:
        task: the task's name.
        labels: in the model's order.
        counts: faces with each label: the likeliest class, or every label above one half.
    """

    task: str
    labels: list[str]
    counts: list[int]


def histograms(all_facts: Sequence[Facts]) -> list[Histogram]:
    """One for each number that a face has, in the order in which they first occur."""
    numbers = dict.fromkeys(number for facts in all_facts for number in facts.numbers)
    return [_histogram(number, all_facts) for number in numbers]


def _histogram(number: Number, all_facts: Sequence[Facts]) -> Histogram:
    values = np.array([facts.numbers[number] for facts in all_facts if number in facts.numbers])
    low, high = float(values.min()), float(values.max())
    step = _round_step((high - low) / BINS) if high > low else _round_step(abs(low) / BINS or 1.0)
    start = step * math.floor(low / step)
    # a value on the last edge would fall out
    count = math.floor((high - start) / step + 1e-9) + 1
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    # rounded as on the page, whose script counts them again
    rounded = np.array([round(value, digits + 1) for value in values.tolist()])
    bins = np.floor((rounded - start) / step + 1e-9).astype(int).clip(0, count - 1)
    return Histogram(number, start, step, digits, np.bincount(bins, minlength=count).tolist())


def _round_step(step: float) -> float:
    """The next of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def choice_bars(all_facts: Sequence[Facts]) -> list[Bars]:
    """One for each task of exclusive classes: how often each class is the likeliest."""
    return [
        _bars(task, [facts.choices.get(task, {}) for facts in all_facts], best=True)
        for task in dict.fromkeys(task for facts in all_facts for task in facts.choices)
    ]


def label_bars(all_facts: Sequence[Facts]) -> list[Bars]:
    """One for each task of independent labels: how often each label is above one half."""
    return [
        _bars(task, [facts.labels.get(task, {}) for facts in all_facts], best=False)
        for task in dict.fromkeys(task for facts in all_facts for task in facts.labels)
    ]


def _bars(task: str, all_values: Sequence[Mapping[str, float]], best: bool) -> Bars:
    counts = dict.fromkeys((label for values in all_values for label in values), 0)
    for values in all_values:
        true = [label for label, value in values.items() if value > 0.5]
        if best:
            true = [max(values, key=lambda label: values[label])] if values else []
        for label in true:
            counts[label] += 1
    return Bars(task, list(counts), list(counts.values()))
