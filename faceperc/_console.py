"""The terminal, for tables."""

from __future__ import annotations

from rich.console import Console


def plain_console(width: int | None = None, stderr: bool = False) -> Console:
    """A console that prints texts as they are: names may hold what rich would take for markup or an emoji.

    Args:
        width: columns; by default the terminal's.
        stderr: write to standard error.
    """
    return Console(highlight=False, markup=False, emoji=False, width=width, stderr=stderr)
