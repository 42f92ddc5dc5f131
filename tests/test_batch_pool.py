"""Worker processes: order, bounded queues, deaths."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from faceperc.batch.pool import WINDOW, WorkerPool
from faceperc.errors import ModelError, UsageError


@dataclass(frozen=True)
class Double:
    """Doubles numbers. At ``deadly`` the process is killed: once, if ``mark`` is a file that it can make."""

    deadly: int = -1
    mark: Path | None = None
    hangs: int = -1
    refuses: bool = False
    exits: bool = False

    def __call__(self) -> Callable[[int], int]:
        if self.refuses:
            raise UsageError("no such model")
        if self.exits:
            sys.exit(3)
        return self.double

    def double(self, number: int) -> int:
        if number == self.deadly:
            if self.mark is None:
                os.kill(os.getpid(), signal.SIGKILL)
            elif not self.mark.exists():
                self.mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        if number == self.hangs:
            threading.Event().wait()
        return 2 * number


def lost(number: int, reason: str) -> tuple[int, str]:
    return number, reason


def pool(workers: int, make: Double, **options: float) -> WorkerPool[int, Any]:
    return WorkerPool(workers, make, lost, **options)


def test_results_come_in_order() -> None:
    with pool(2, Double()) as workers:
        assert list(workers.run(range(500))) == [2 * number for number in range(500)]


def test_items_are_fetched_only_when_there_is_room() -> None:
    """Of a source without end no more are taken than the window holds, however slowly results are read."""
    taken = 0

    def source() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    with pool(2, Double()) as workers:
        for given, result in enumerate(itertools.islice(workers.run(source()), 1000), start=1):
            assert result == 2 * given
            assert taken - given <= 2 * WINDOW


def test_killed_process_costs_nothing(tmp_path: Path) -> None:
    with pool(2, Double(deadly=7, mark=tmp_path / "died")) as workers:
        assert list(workers.run(range(40))) == [2 * number for number in range(40)]
    assert (tmp_path / "died").exists()


def test_item_that_kills_is_given_up_and_the_rest_is_done() -> None:
    with pool(2, Double(deadly=7)) as workers:
        results = list(workers.run(range(40)))
    number, reason = results.pop(7)
    assert number == 7 and "2 processes ended over it, the last by SIGKILL" in reason and "fewer" in reason
    assert results == [2 * number for number in range(40) if number != 7]


def test_item_that_hangs_is_given_up_and_the_rest_is_done() -> None:
    with pool(2, Double(hangs=7), patience=2.0) as workers:
        results = list(workers.run(range(40)))
    assert results.pop(7) == (7, "2 processes ended over it, the last without an answer for 2 s")
    assert results == [2 * number for number in range(40) if number != 7]


def test_what_cannot_be_made_is_said_at_once() -> None:
    with pool(2, Double(refuses=True)) as workers, pytest.raises(UsageError, match="no such model"):
        list(workers.run(range(3)))


def test_processes_that_always_die_end_the_job() -> None:
    message = "4 processes died before they could work, the last with exit code 3; if memory"
    with pool(1, Double(exits=True)) as workers, pytest.raises(ModelError, match=message):
        list(workers.run(range(3)))
