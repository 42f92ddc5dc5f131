"""How a job goes on, and how it went, for people: on standard error."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.text import Text

from faceperc._console import plain_console, progress_bar
from faceperc.batch.store import Tally

#: Seconds between two lines where there is no terminal to draw a bar on.
INTERVAL = 30.0

#: To be called after each image with the counts so far.
Advance = Callable[[Tally], None]


@contextlib.contextmanager
def progress(total: int, done: int) -> Iterator[Advance]:
    """A bar on a terminal; elsewhere a line now and then.

    Args:
        total: images of the job.
        done: those of an earlier run.
    """
    console = plain_console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console, total, done)
        return
    with progress_bar(total, "images", done) as advance:
        yield lambda tally: advance(tally.images, _counts(tally))


def print_summary(tally: Tally, done_before: int, seconds: float, target: str) -> None:
    """The counts of a finished job, and its failures.

    Args:
        tally: of all images.
        done_before: images that an earlier run has done.
        seconds: that this run took.
        target: the file that was written.
    """
    console = plain_console(stderr=True)
    here = tally.images - done_before
    rate = f", {here / seconds:.1f} images/s" if here else ""
    again = f" ({done_before:,} of them by an earlier run)" if done_before else ""
    text = (
        f"{target}: {_number(tally.images, 'image')}{again} in {_duration(seconds)}{rate}; {_counts(tally)}"
    )
    if tally.without_face:
        text += f"; no face in {_number(tally.without_face, 'image')}"
    console.print(Text(text), soft_wrap=True)
    if not tally.failed:
        return
    console.print(Text(f"{_number(tally.failed, 'image')} failed:"), soft_wrap=True)
    for source, error in tally.failures:
        console.print(Text(_printable(f"  {source}: {error}")), soft_wrap=True)
    if tally.failed > len(tally.failures):
        rest = tally.failed - len(tally.failures)
        console.print(
            Text(f"  and {rest:,} more: the column 'error' of the file has them all"), soft_wrap=True
        )


class _Lines:
    """A line every so many seconds."""

    def __init__(self, console: Console, total: int, done: int) -> None:
        self._console, self._total, self._done = console, total, done
        self._start = self._last = time.monotonic()

    def __call__(self, tally: Tally) -> None:
        now = time.monotonic()
        if now - self._last < INTERVAL:
            return
        self._last = now
        rate = (tally.images - self._done) / (now - self._start)
        left = _duration((self._total - tally.images) / rate)
        text = (
            f"{tally.images:,} of {self._total:,} images, {rate:.1f} images/s, {_counts(tally)}, {left} left"
        )
        self._console.print(Text(text), soft_wrap=True)


def _printable(text: str) -> str:
    """On one line, and without the codes by which the name of a file could command a terminal."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _counts(tally: Tally) -> str:
    return f"{_number(tally.faces, 'face')}, {tally.failed:,} failed"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _duration(seconds: float) -> str:
    """E.g. ``12.3 s``, ``4 min 05 s`` or ``2 h 07 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
