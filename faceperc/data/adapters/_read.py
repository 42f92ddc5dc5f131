"""What several adapters need to read their authors' files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from faceperc.data.folder import existing
from faceperc.errors import DataError


def first_of(root: Path, names: Sequence[str], what: str) -> Path:
    """The first of some places in a data set's folder that exists.

    Raises:
        DataError: if there is none of them; it names the first place.
    """
    places = [root / name for name in names]
    return next((place for place in places if place.exists()), None) or existing(places[0], what)


def csv_rows(path: Path, columns: Sequence[str], what: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Where each row of a CSV file stands, and the row by column name.

    Args:
        path: the file. Without a header line its columns are the given ones, in their order.
        columns: columns that it must have.
        what: what it should hold, for the message if it is missing.

    Raises:
        DataError: if the file is missing or damaged, or lacks a column.
    """
    try:
        with existing(path, what).open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            first = [name.strip() for name in next(rows, [])]
            headless = not set(columns) & set(first)
            header = list(columns) if headless else first
            missing = set(columns) - set(header)
            if missing:
                raise DataError(f"{path}: no column {', '.join(sorted(missing))}; it should hold {what}")
            for row in chain([first] if headless else [], rows):
                where = f"{path} line {rows.line_num}"
                if len(row) != len(header):
                    raise DataError(f"{where}: {len(row)} columns instead of {len(header)}")
                yield where, {name: value.strip() for name, value in zip(header, row, strict=True)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a CSV file ({error})") from error


def class_number(word: str, count: int, where: str, first: int = 0) -> int:
    """A class's number in a label file, brought to 0, ..., count - 1.

    Args:
        word: the number as the file gives it.
        count: how many classes there are.
        where: file and line, for the message.
        first: the file's number of the first class.

    Raises:
        DataError: if there is no such class.
    """
    known = [str(first + index) for index in range(count)]
    if word not in known:
        raise DataError(f"{where}: unknown class {word!r}; the classes are {known[0]} to {known[-1]}")
    return known.index(word)
