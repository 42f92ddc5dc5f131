"""Worker processes that may die: whoever does is replaced, and what it worked on is tried once more.

``concurrent.futures`` and ``multiprocessing.Pool`` break or hang as a whole when a process is killed, as the
system does when memory runs out.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from faceperc.errors import FacepercError, ModelError

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2  # items that a process has: one to work on, and the next
WINDOW = 32  # items per process that may be out or wait for an earlier one: bounds the memory
ATTEMPTS = 2  # how often an item is tried over which processes die
MAX_UNBORN = 2  # processes, beyond one for each worker, that may die in a row before they are ready
PATIENCE = 900.0  # seconds that a process may take for an item; whoever takes longer hangs, and is ended
MAX_LOST = 10  # items in a row over which processes may die: then it is not the items' fault

_READY = "ready"


@dataclass
class _Worker(Generic[Item]):
    process: BaseProcess
    pipe: Connection
    is_ready: bool = False
    is_stuck: bool = False
    since: float = 0.0  # when it began its first item
    items: deque[tuple[int, Item]] = field(default_factory=deque)  # in the order in which it does them

    @property
    def room(self) -> int:
        return AHEAD - len(self.items) if self.is_ready else 0


class WorkerPool(Generic[Item, Result]):
    """Processes that do one item after another; a context manager, which ends them.

    The processes are spawned, not forked: threads and GPUs do not survive a fork.
    """

    def __init__(
        self,
        workers: int,
        make: Callable[[], Callable[[Item], Result]],
        lost: Callable[[Item, str], Result],
        patience: float = PATIENCE,
    ) -> None:
        """Describe the work; the processes start with ``run``.

        Args:
            workers: how many processes.
            make: called once in each process, gives the function that does an item there. It is pickled,
                and so are items and results.
            lost: the result of an item over which processes died; gets the reason.
            patience: seconds that an item may take; a process that takes longer is killed.
        """
        self._count = workers
        self._make = make
        self._lost = lost
        self._patience = patience
        self._workers: list[_Worker[Item]] = []
        self._again: deque[tuple[int, Item]] = deque()
        self._done: dict[int, Result] = {}  # those that wait for an earlier one
        self._attempts: Counter[int] = Counter()
        self._unborn = 0
        self._lost_in_a_row = 0
        self._taken = 0  # items taken from the source
        self._given = 0  # results given to the caller

    def __enter__(self) -> WorkerPool[Item, Result]:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes, whatever they are doing."""
        for worker in self._workers:
            worker.process.terminate()
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join()
        self._workers.clear()

    def run(self, items: Iterable[Item]) -> Iterator[Result]:
        """Do the items, which are fetched only when a process has room; to be called once.

        Returns:
            The results, in the order of the items.

        Raises:
            FacepercError: what ``make`` raised in a process.
            ModelError: if processes die and nothing gets done.
        """
        source = iter(items)
        while True:
            self._replace()
            is_over = not self._hand_out(source)
            while self._given in self._done:
                result = self._done.pop(self._given)
                self._given += 1
                yield result
            if is_over and self._given == self._taken:
                return
            self._receive()

    def _replace(self) -> None:
        while len(self._workers) < self._count:
            self._workers.append(_start(self._make))

    def _hand_out(self, source: Iterator[Item]) -> bool:
        """Give items to the processes that have room; False where there are no more."""
        for _ in range(AHEAD):  # each gets its first before any gets its second
            for worker in self._workers:
                if worker.room <= 0:
                    continue
                if self._again:
                    number, item = self._again.popleft()
                elif self._taken - self._given >= WINDOW * self._count:
                    return True
                else:
                    try:
                        number, item = self._taken, next(source)
                    except StopIteration:
                        return False
                    self._taken += 1
                if not worker.items:
                    worker.since = time.monotonic()
                worker.items.append((number, item))
                with contextlib.suppress(OSError):  # it died, which the next to read its pipe finds
                    worker.pipe.send(item)
        return True

    def _receive(self) -> None:
        """Wait until a process says something or dies."""
        by_pipe = {worker.pipe: worker for worker in self._workers}
        for pipe in wait(list(by_pipe), self._end_the_stuck()):
            worker = by_pipe[pipe]  # type: ignore[index]
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):
                self._bury(worker)
                continue
            if isinstance(message, FacepercError):
                raise message
            if not worker.is_ready:
                worker.is_ready = True
                self._unborn = 0
                continue
            number, _ = worker.items.popleft()
            worker.since = time.monotonic()
            self._done[number] = message
            self._lost_in_a_row = 0

    def _end_the_stuck(self) -> float | None:
        """Kill processes that hang; returns the seconds until the next one may."""
        at_work = [worker for worker in self._workers if worker.items and not worker.is_stuck]
        now = time.monotonic()
        for worker in at_work:
            if now - worker.since > self._patience and not worker.pipe.poll():  # poll: it has answered
                worker.is_stuck = True
                worker.process.kill()  # the end of its pipe tells
        return min((max(0.0, each.since + self._patience - now) + 0.1 for each in at_work), default=None)

    def _bury(self, worker: _Worker[Item]) -> None:
        """Take up what a dead process has left."""
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)
        how = _how_it_ended(worker.process.exitcode)
        if worker.is_stuck:
            how = f"without an answer for {self._patience:g} s"
        self._unborn += not worker.is_ready
        if self._unborn > self._count + MAX_UNBORN:
            raise ModelError(
                f"{self._unborn} processes died before they could work, the last {how}{_advice(worker)}"
            )
        for place, (number, item) in enumerate(worker.items):
            if place == 0:  # this one it worked on
                self._attempts[number] += 1
            if self._attempts[number] < ATTEMPTS:
                self._again.append((number, item))
            else:
                reason = f"{ATTEMPTS} processes ended over it, the last {how}{_advice(worker)}"
                self._done[number] = self._lost(item, reason)
                self._lost_in_a_row += 1
        if self._lost_in_a_row > MAX_LOST:
            raise ModelError(f"processes end over every item, the last {how}{_advice(worker)}")


def _advice(worker: _Worker[Any]) -> str:
    """What to do about the end of a process."""
    if worker.is_stuck:
        return ""
    if not worker.is_ready and worker.process.exitcode == 1:
        return '; a program that starts them is a file, and does so under: if __name__ == "__main__":'
    return "; if memory ran out, use fewer workers"


def _how_it_ended(code: int | None) -> str:
    """The exit code of a process in words."""
    if code is None or code >= 0:
        return f"with exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"


def _start(make: Callable[[], Callable[[Any], Any]]) -> _Worker[Any]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, make), daemon=True)
    with _without_interrupts():
        process.start()
    theirs.close()  # so that the pipe ends when the process does
    return _Worker(process, ours)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """What starts meanwhile ignores Ctrl-C, which the terminal sends to all: only the parent acts on it."""
    if threading.current_thread() is not threading.main_thread():  # only that one may set signals
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _serve(pipe: Connection, make: Callable[[], Callable[[Any], Any]]) -> None:
    """What a process does: an item after another, until the pipe ends, as it does with the parent's death."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            work = make()
        except FacepercError as error:
            pipe.send(error)
            return
        pipe.send(_READY)
        while True:
            pipe.send(work(pipe.recv()))
