"""Requests that wait, and workers that take several of them at once."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

Job = TypeVar("Job")
Answer = TypeVar("Answer")


@dataclass(eq=False)
class _Waiting(Generic[Job, Answer]):
    job: Job
    answer: asyncio.Future[Answer]


class Batcher(Generic[Job, Answer]):
    """Hands jobs to threads, in the order in which they came, several at once where several wait.

    A free worker takes what waits there, shared with other free workers, up to a batch. While all are busy
    the next batches grow by themselves, so nothing need be waited for; ``max_wait`` is for hardware on which
    a fuller batch is worth a delay. Use it as a context, in an event loop.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Job]], Sequence[Answer | Exception]],
        *,
        workers: int,
        max_batch: int,
        max_wait: float,
    ) -> None:
        """Prepare.

        Args:
            work: a batch of jobs -> the answer or error of each; called in threads, in several at once.
            workers: how many batches are worked on at once.
            max_batch: most jobs in a batch.
            max_wait: seconds to wait for a full batch.
        """
        self._work = work
        self._max_batch, self._max_wait = max_batch, max_wait
        self._count = self._idle = workers
        self._queue: deque[_Waiting[Job, Answer]] = deque()
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        """Jobs that wait for a worker."""
        return len(self._queue)

    async def __aenter__(self) -> Batcher[Job, Answer]:
        self._threads = ThreadPoolExecutor(self._count, "faceperc-batch")
        self._workers = [asyncio.create_task(self._serve()) for _ in range(self._count)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await asyncio.to_thread(self._threads.shutdown)

    async def submit(self, job: Job) -> Answer:
        """The answer to a job. Where this is cancelled, a job that still waits is forgotten.

        Raises:
            Exception: what ``work`` gave or raised.
        """
        waiting = _Waiting[Job, Answer](job, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._arrived.set()
        try:
            return await waiting.answer
        finally:
            with suppress(ValueError):  # it is not in the queue any more
                self._queue.remove(waiting)

    async def _serve(self) -> None:
        while True:
            batch = await self._take()
            self._idle -= 1
            try:
                answers = await self._run([each.job for each in batch])
            finally:
                self._idle += 1
            for waiting, answer in zip(batch, answers, strict=True):
                if waiting.answer.done():  # cancelled: nobody wants it any more
                    continue
                if isinstance(answer, Exception):
                    waiting.answer.set_exception(answer)
                else:
                    waiting.answer.set_result(answer)

    async def _take(self) -> list[_Waiting[Job, Answer]]:
        while True:
            await self._wait_for(1)
            if self._max_wait:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._max_wait):
                        await self._wait_for(self._max_batch)
            share = math.ceil(len(self._queue) / self._idle)
            batch = [self._queue.popleft() for _ in range(min(share, self._max_batch))]
            if batch:  # else another worker was faster
                return batch

    async def _wait_for(self, count: int) -> None:
        while len(self._queue) < count:
            self._arrived.clear()
            await self._arrived.wait()

    async def _run(self, jobs: list[Job]) -> Sequence[Answer | Exception]:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._work, jobs)
        except Exception as error:  # a bug: the requests learn of it, and the worker goes on
            return [error] * len(jobs)
