"""The figures of `faceperc bench` as tables, Markdown and JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceperc._files import write_file
from faceperc.bench.clock import Spread, digits
from faceperc.bench.predict import Bench
from faceperc.errors import UsageError

COMMAND = "faceperc bench"
#: What stands between these lines of a page is replaced; other commands have lines of their own.
BEGIN, END = f"<!-- {COMMAND} -->", f"<!-- end of {COMMAND} -->"


@dataclass(frozen=True)
class Table:
    """A table of text: title, headings, and a row per thing."""

    title: str
    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def tables(found: Bench) -> list[Table]:
    """Speeds, parts and starts."""
    speeds = [
        (
            each.name,
            str(each.threads),
            str(each.batch),
            str(each.wall_ms),
            digits(each.cpu_ms.median),
            f"{1e3 * each.batch / each.wall_ms.median:.0f}",
            _text(each.ratio, "{0.median:.3f}"),
            _text(each.units, "{0.median:.3f}"),
            _text(each.gflops, "{0:.0f}"),
            _text(each.of_peak, "{0.median:.0%}"),
        )
        for each in found.speeds
    ]
    parts = [(each.name, str(each.cpu_ms), f"{each.share:.0%}") for each in found.parts]
    starts = [
        (
            each.model,
            str(each.cpu_ms),
            str(each.wall_ms),
            _text(each.peak_mb, "{0:.0f}"),
            f"{each.file_mb:.1f}",
        )
        for each in found.starts
    ]
    wide = (
        "network",
        "threads",
        "batch",
        "wall ms",
        "CPU ms",
        "images/s",
        "ratio",
        "U",
        "GFLOP/s",
        "of peak",
    )
    return [
        Table("Networks", wide, speeds),
        Table("Parts of a prediction", ("part", "CPU ms", "share"), parts),
        Table("A new process", ("model", "CPU ms", "wall ms", "memory MB", "file MB"), starts),
    ]


def machine_line(machine: dict[str, Any]) -> str:
    """Where it was measured, in one line."""
    load = "" if machine["load"] is None else f", load {machine['load']:.1f} before"
    return (
        f"{machine['processor']}, {machine['cores']} cores{load}; {machine['system']}, "
        f"Python {machine['python']}, ONNX Runtime {machine['onnxruntime']}, faceperc {machine['faceperc']}"
    )


def show(found: Bench) -> None:
    """Print what was measured."""
    show_tables(machine_line(found.machine), tables(found))


def show_tables(heading: str, tables: Sequence[Table]) -> None:
    """Print tables below a heading."""
    from rich import box, table

    from faceperc._console import plain_console

    console = plain_console()
    if not console.is_terminal:  # a file or a pipe is as wide as it needs to be
        console = plain_console(140)
    console.print(heading)
    for each in tables:
        grid = table.Table(*each.headings, title=each.title, box=box.SIMPLE_HEAD)
        for row in each.rows:
            grid.add_row(*row)
        console.print(grid)


def markdown(found: Bench, command: str) -> str:
    """What was measured in Markdown, below the command that did and the machine."""
    return markdown_tables(command, machine_line(found.machine), tables(found))


def markdown_tables(command: str, machine: str, tables: Sequence[Table]) -> str:
    """Tables in Markdown, below the command that measured them and the machine."""
    blocks = [f"`{command}` on {machine}.\n"]
    for each in tables:
        lines = [each.headings, ("---",) * len(each.headings), *each.rows]
        blocks.append(f"**{each.title}**\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines))
    return "\n".join(blocks)


def document(found: Bench) -> dict[str, Any]:
    """Everything, ready for JSON: the fields of Bench and of its records, a spread as its three numbers."""
    return dataclasses.asdict(found)


def update_page(path: Path, text: str, command: str = COMMAND) -> None:
    """Replace what a page has between the lines BEGIN and END, or those of another command.

    Raises:
        UsageError: if the page is missing or lacks these lines.
    """
    first, last = (line.replace(COMMAND, command) for line in (BEGIN, END))
    try:
        page = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    before, begin, rest = page.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise UsageError(f"{path}: lacks the lines {first} and {last}, between which the figures go")
    write_file(path, f"{before}{first}\n\n{text}\n{last}{after}".encode())


def _text(value: Spread | float | None, form: str) -> str:
    return "" if value is None else form.format(value)
