"""The batcher: who waits is taken together, shared between workers, and forgotten when given up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from faceperc.serve.batching import Batcher


class Work:
    """Doubles numbers; waits at the gate; a negative number is an error, and None breaks the batch."""

    def __init__(self, is_open: bool = True) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        if is_open:
            self.gate.set()

    def __call__(self, jobs: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(jobs))
        assert self.gate.wait(60)
        if 13 in jobs:
            raise RuntimeError("13")
        return [ValueError(str(job)) if job < 0 else 2 * job for job in jobs]


async def until(work: Work, count: int) -> None:
    while len(work.batches) < count:
        await asyncio.sleep(0.001)


def test_those_who_wait_are_taken_together_in_order() -> None:
    async def run() -> None:
        work = Work(is_open=False)
        async with Batcher(work, workers=1, max_batch=4, max_wait=0) as batcher:
            first = asyncio.create_task(batcher.submit(0))
            await until(work, 1)
            others = [asyncio.create_task(batcher.submit(number)) for number in range(1, 7)]
            await asyncio.sleep(0)
            assert len(batcher) == 6
            work.gate.set()
            assert await asyncio.gather(first, *others) == [0, 2, 4, 6, 8, 10, 12]
        assert work.batches == [[0], [1, 2, 3, 4], [5, 6]]

    asyncio.run(run())


def test_free_workers_share() -> None:
    async def run() -> None:
        work = Work(is_open=False)
        async with Batcher(work, workers=2, max_batch=8, max_wait=0) as batcher:
            tasks = [asyncio.create_task(batcher.submit(number)) for number in range(6)]
            await until(work, 2)
            work.gate.set()
            assert await asyncio.gather(*tasks) == [0, 2, 4, 6, 8, 10]
        assert sorted(work.batches) == [[0, 1, 2], [3, 4, 5]]

    asyncio.run(run())


def test_a_full_batch_waits_no_longer() -> None:
    async def run() -> None:
        work = Work()
        async with Batcher(work, workers=1, max_batch=3, max_wait=9) as batcher:
            tasks = [asyncio.create_task(batcher.submit(number)) for number in range(2)]
            await asyncio.sleep(0.05)
            assert work.batches == []  # there is time for a third
            tasks.append(asyncio.create_task(batcher.submit(2)))
            assert await asyncio.wait_for(asyncio.gather(*tasks), 5) == [0, 2, 4]
        assert work.batches == [[0, 1, 2]]

    asyncio.run(run())


def test_an_unfilled_batch_goes_when_its_time_is_up() -> None:
    async def run() -> None:
        work = Work()
        async with Batcher(work, workers=2, max_batch=3, max_wait=0.02) as batcher:
            assert await asyncio.wait_for(batcher.submit(1), 5) == 2

    asyncio.run(run())


def test_errors_are_of_those_who_made_them() -> None:
    async def run() -> None:
        work = Work(is_open=False)
        async with Batcher(work, workers=1, max_batch=8, max_wait=0) as batcher:
            tasks = [asyncio.create_task(batcher.submit(number)) for number in (0, 1, -1, 2)]
            await until(work, 1)
            work.gate.set()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            assert [answers[0], answers[1], answers[3]] == [0, 2, 4] and isinstance(answers[2], ValueError)
            with pytest.raises(RuntimeError, match="13"):
                await batcher.submit(13)
            assert await batcher.submit(4) == 8  # the worker lives

    asyncio.run(run())


def test_who_gives_up_is_forgotten() -> None:
    async def run() -> None:
        work = Work(is_open=False)
        async with Batcher(work, workers=1, max_batch=1, max_wait=0) as batcher:
            running = asyncio.create_task(batcher.submit(0))
            await until(work, 1)
            waiting = asyncio.create_task(batcher.submit(1))
            await asyncio.sleep(0)
            for task in (running, waiting):
                task.cancel()
            await asyncio.gather(running, waiting, return_exceptions=True)
            assert len(batcher) == 0
            work.gate.set()
            assert await batcher.submit(2) == 4
        assert work.batches == [[0], [2]]

    asyncio.run(run())
