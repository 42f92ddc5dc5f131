"""Timing many things in turn, so that whatever else the machine does falls on all of them alike."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of some measurements, in their unit."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Median and quartiles of the values."""
        low, median, high = np.percentile(values, [25, 50, 75])
        return cls(float(median), float(low), float(high))

    def __str__(self) -> str:
        """E.g. ``9.95 (9.55-23.3)``."""
        return f"{digits(self.median)} ({digits(self.low)}-{digits(self.high)})"


@dataclass(frozen=True)
class Times:
    """How long one thing took, round by round.

    Attributes:
        wall: seconds by the clock on the wall.
        cpu: seconds of processor time of this process, all threads together.
    """

    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    def fair(self, threads: int) -> tuple[float, ...]:
        """The seconds to compare by: processor time of one thread, which other programs disturb little; time
        on the wall of several, whose point is to share the work."""
        return self.cpu if threads == 1 else self.wall


def digits(value: float) -> str:
    """At least three of them."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def time_in_turn(work: Mapping[Key, Callable[[], object]], rounds: int) -> dict[Key, Times]:
    """Do each thing twice per round, in a new random order each round, and time the second time.

    The first one brings its data back into the caches, whatever ran before it.

    Args:
        work: what to time, by name.
        rounds: how often.
    """
    shuffle = random.Random(0).shuffle
    wall: dict[Key, list[float]] = {name: [] for name in work}
    cpu: dict[Key, list[float]] = {name: [] for name in work}
    names = list(work)
    for _ in range(rounds):
        shuffle(names)
        for name in names:
            work[name]()
            start, busy = time.perf_counter(), time.process_time()
            work[name]()
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - busy)
    return {name: Times(tuple(wall[name]), tuple(cpu[name])) for name in work}


def milliseconds(times: Sequence[float]) -> Spread:
    """The spread of times in seconds."""
    return Spread.of([1e3 * each for each in times])


def ratio(times: Sequence[float], reference: Sequence[float]) -> Spread:
    """How many times as long something took as the reference in the same round."""
    return Spread.of([a / b for a, b in zip(times, reference, strict=True)])
