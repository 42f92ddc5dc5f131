"""Service: a request's way from its first byte to its answer, within the limits."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from faceperc.detect import FaceDetector
from faceperc.errors import ImageError
from faceperc.predict import Predictor
from faceperc.results import Faces
from faceperc.serve.batching import Batcher
from faceperc.serve.body import check_header, image_refusal, read_body
from faceperc.serve.engine import Engine
from faceperc.serve.metrics import Metrics
from faceperc.serve.options import Options
from faceperc.serve.problem import Refusal

T = TypeVar("T")


class Service:
    """Takes requests up to a number, and gives each an answer, an error or up after its time.

    Use it as a context, in an event loop. Images are decoded, looked at and drawn in threads.

    Attributes:
        predictor: answers.
        options: limits.
        metrics: what was done.
        in_progress: requests that have begun and not ended.
    """

    def __init__(self, predictor: Predictor, options: Options) -> None:
        """Open the detector too.

        Raises:
            ModelError: if the detector cannot be opened.
        """
        self.predictor, self.options = predictor, options
        self.in_progress = 0
        self._pace = 0.0  # seconds that a worker takes for an image, lately
        self._engine = Engine(predictor, options.max_pixels, options.max_faces)
        detector = predictor.detector
        self.min_score = detector.min_score if isinstance(detector, FaceDetector) else 0.0
        self.detector = detector.model.metadata.raw if isinstance(detector, FaceDetector) else None
        self._batcher = Batcher(
            self._work, workers=options.workers, max_batch=options.max_batch, max_wait=options.max_wait
        )
        self.metrics = Metrics(lambda: len(self._batcher), lambda: self.in_progress)

    async def __aenter__(self) -> Service:
        # not the batches' own threads: who only is to be told that a file is none need not wait for a batch
        self._threads = ThreadPoolExecutor(self.options.workers, "faceperc-answer")
        await self._batcher.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._batcher.__aexit__(*error)
        self._threads.shutdown()

    @property
    def is_busy(self) -> bool:
        """Whether another request would be refused.

        Also where it would wait for half of its time: in a longer queue requests grow too old, and the
        workers are kept at what nobody will get.
        """
        return self.in_progress >= self.options.queue or self._wait > self.options.deadline / 2

    @property
    def _wait(self) -> float:
        """Seconds until what is in progress is done, about."""
        return self.in_progress * self._pace / self.options.workers

    async def answer(self, request: Request, render: Callable[[Faces], T]) -> T:
        """Look at the image of a request.

        Args:
            request: whose body has not been read.
            render: the faces -> the answer; called in a thread.

        Raises:
            Refusal: if the service is busy, the image is none or too large, or the time is up.
            ClientDisconnect: if the client has gone; an image that still waited is forgotten.
        """
        if self.is_busy:
            raise self.busy()
        self.in_progress += 1
        is_read = False
        try:
            async with asyncio.timeout(self.options.deadline):
                data = await read_body(request, self.options)
                is_read = True
                await self._in_thread(check_header, data, self.options)
                faces = await _unless_gone(request, self._batcher.submit(data))
                return await self._in_thread(render, faces)
        except TimeoutError as error:
            raise self._too_late(is_read) from error
        except ImageError as error:
            raise image_refusal(error, self.options) from error
        finally:
            self.in_progress -= 1

    def busy(self) -> Refusal:
        """What those are told who come when enough others are here."""
        seconds = max(1, math.ceil(self._wait))
        detail = (
            f"{self.in_progress} requests are in progress, and there is no time for more; try again in about "
            f"{seconds} s"
        )
        return Refusal(503, "busy", detail, {"Retry-After": str(seconds)})

    def _too_late(self, is_read: bool) -> Refusal:
        seconds = f"{self.options.deadline:g} seconds"
        if is_read:
            detail = f"there was no answer within {seconds}; try again later, or send a smaller image"
            return Refusal(504, "too-late", detail, {"Retry-After": "1"})
        detail = f"the image did not arrive within {seconds}; send a smaller one"
        return Refusal(408, "too-slow", detail, {"Connection": "close"})

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def _work(self, files: Sequence[bytes]) -> Sequence[Faces | Exception]:
        begin = time.perf_counter()
        answers = self._engine(files)
        took = time.perf_counter() - begin
        self._pace = 0.7 * (self._pace or took / len(files)) + 0.3 * took / len(files)
        self.metrics.batch_seconds.observe(took)
        self.metrics.batch_images.observe(len(files))
        for answer in answers:
            if isinstance(answer, Faces):
                self.metrics.faces.observe(min(len(answer), self.options.max_faces))
        return answers


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, which is stopped when the client goes away.

    Raises:
        ClientDisconnect: if it does.
    """
    tasks = asyncio.ensure_future(work), asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[0].done():
            raise ClientDisconnect
        return tasks[0].result()
    finally:
        for task in tasks:
            task.cancel()


async def _disconnect(request: Request) -> None:
    """Returns when the client is gone; the body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
