"""The terminal, for tables."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console

#: To be called with how many are done, and a few words.
Advance = Callable[[int, str], None]


def plain_console(width: int | None = None, stderr: bool = False) -> Console:
    """A console that prints texts as they are: names may hold what rich would take for markup or an emoji.

    Args:
        width: columns; by default the terminal's.
        stderr: write to standard error.
    """
    return Console(highlight=False, markup=False, emoji=False, width=width, stderr=stderr)


@contextlib.contextmanager
def progress_bar(
    total: int | None, unit: str, done: int = 0, hidden: bool = False, transient: bool = False
) -> Iterator[Advance]:
    """A bar on standard error: how many of how many, how fast, and the time left. Nothing without a terminal.

    Args:
        total: how many there are, or None where nobody knows.
        unit: what they are, in the plural.
        done: how many an earlier run has done.
        hidden: show nothing.
        transient: take the bar away at the end.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = plain_console(stderr=True)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[words]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns,
        console=console,
        disable=hidden or not console.is_terminal,
        transient=transient,
        speed_estimate_period=60,
    ) as progress:
        task = progress.add_task("", total=total, completed=done, words=unit)

        def advance(completed: int, words: str = "") -> None:
            speed = progress.tasks[0].speed
            rate = unit if speed is None else f"{speed:.1f} {unit}/s"
            progress.update(task, completed=completed, words=f"{rate}, {words}" if words else rate)

        yield advance
