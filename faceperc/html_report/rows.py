"""Tables of `faceperc predict --out`, Parquet or CSV, read back: rows -> the documents of ``Faces.to_dict``.

Parquet says in its metadata what each task is. In CSV, and in a Parquet file of another program, the names of
the columns have to tell. What is in the documents is checked by whoever reads them.
"""

from __future__ import annotations

import base64
import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faceperc.angles import matrix_from_angles
from faceperc.batch.rows import BOX, COMMON, import_pyarrow
from faceperc.errors import DataError
from faceperc.kinds import Classes, Points, Probabilities, Rotation, Scalar
from faceperc.mask import Mask

Row = Mapping[str, Any]

TABLES = (".parquet", ".csv")
BATCH = 256  # rows that are read at once
MAX_CELL = 1 << 28  # characters of a CSV cell: run lengths of a large picture are long
ANGLES = ("yaw", "pitch", "roll")
SUM_ERROR = 1e-4  # by which the shares of a mask may miss 1, as they are rounded


@dataclass(frozen=True)
class _Task:
    """What is known of a task.

    Attributes:
        kind: of its results.
        columns: what its columns are called after the task's name.
        info: its entry in the model's metadata, where the table has that.
    """

    kind: str
    columns: tuple[str, ...]
    info: Mapping[str, Any] = field(default_factory=dict)


def read_table(path: Path) -> Iterator[dict[str, Any]]:
    """The documents of a table, one per image: as of ``Faces.to_dict``, or with ``source`` and ``error``.

    Raises:
        DataError: if it cannot be read, or is no such table.
        UsageError: if it is Parquet, and pyarrow is not installed.
    """
    names, about, rows = _open_parquet(path) if path.suffix.lower() == ".parquet" else _open_csv(path)
    # quality follows from the points, and tables of before it are tables too
    if lacking := [name for name in COMMON if name not in names and name != "quality"]:
        raise DataError(
            f"is no table of 'faceperc predict --out': it lacks the column{'s'[: len(lacking) > 1]} "
            f"{', '.join(lacking)}"
        )
    try:
        tasks = _tasks(names, about.get("tasks", {}))
        model = about.get("job", {}).get("model", "")
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(f"its metadata is damaged: {type(error).__name__} {error}; predict again") from error
    for image in _images(rows):
        yield _document(image, tasks, model)


def _open_parquet(path: Path) -> tuple[list[str], dict[str, Any], Iterator[Row]]:
    """Names of the columns, what the file says about itself, and the rows."""
    import_pyarrow()
    from pyarrow import ArrowException, parquet

    try:
        file = parquet.ParquetFile(path)
        schema = file.schema_arrow
        about = json.loads((schema.metadata or {}).get(b"faceperc", b"{}"))
    except FileNotFoundError:
        raise
    except (ArrowException, OSError, ValueError) as error:
        raise DataError(f"is no Parquet file that can be read: {_first_line(error)}") from error

    def rows() -> Iterator[Row]:
        try:
            for batch in file.iter_batches(BATCH):
                yield from batch.to_pylist()
        except (ArrowException, OSError) as error:
            raise DataError(f"is damaged: {_first_line(error)}") from error

    return schema.names, about if isinstance(about, dict) else {}, rows()


def _open_csv(path: Path) -> tuple[list[str], dict[str, Any], Iterator[Row]]:
    """As of a Parquet file; CSV says nothing about itself."""
    csv.field_size_limit(MAX_CELL)

    def lines() -> Iterator[list[str]]:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from csv.reader(file)

    def rows() -> Iterator[Row]:
        try:
            for values in reader:
                yield {name: value for name, value in zip(names, values, strict=False) if value}
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"is no CSV that can be read: {error}") from error

    reader = lines()
    try:
        names = next(reader, [])
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"is no CSV that can be read: {error}") from error
    return names, {}, rows()


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _tasks(names: Iterable[str], about: Mapping[str, Any]) -> dict[str, _Task]:
    """The tasks of a table, by name, in the order of their columns."""
    columns: dict[str, list[str]] = {}
    for name in names:
        # the longest task that fits: names may have dots themselves
        known = max((task for task in about if name.startswith(f"{task}.")), key=len, default=None)
        task, dot, column = (known, ".", name[len(known) + 1 :]) if known else name.partition(".")
        if dot and name not in COMMON:
            columns.setdefault(task, []).append(column)
    return {
        task: _Task(about[task]["kind"] if task in about else _kind(own), tuple(own), about.get(task, {}))
        for task, own in columns.items()
    }


def _kind(columns: list[str]) -> str:
    """The kind of a task, told by the names of its columns alone."""
    own = set(columns)
    if "points" in own:
        return Points.kind
    if own == set(ANGLES):
        return Rotation.kind
    if own <= {"value", "std"}:
        return Scalar.kind
    if own & {"png", "rle"}:
        return Mask.kind
    return Classes.kind if "label" in own else Probabilities.kind


def _images(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows of each image."""
    image: list[Row] = []
    for row in rows:
        if image and (row.get("face") in (None, 0, "0") or row.get("source") != image[0].get("source")):
            yield image
            image = []
        image.append(row)
    if image:
        yield image


def _document(rows: list[Row], tasks: Mapping[str, _Task], model: str) -> dict[str, Any]:
    first = rows[0]
    source = first.get("source")
    if first.get("error") is not None:
        return {"source": source, "error": first["error"]}
    try:
        return {
            "source": source,
            "model": model,
            "image": {side: int(first[side]) for side in ("width", "height")},
            "faces": [_face(row, tasks) for row in rows if row.get("face") is not None],
        }
    except (KeyError, TypeError, ValueError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        return {"source": source, "error": f"its row is damaged: {reason}; predict again"}


def _face(row: Row, tasks: Mapping[str, _Task]) -> dict[str, Any]:
    found = {}
    for name, task in tasks.items():
        every = {column: row.get(f"{name}.{column}") for column in task.columns}
        cells = {column: value for column, value in every.items() if value is not None}
        if cells and (result := _RESULTS[task.kind](cells, task)) is not None:
            found[name] = {"kind": task.kind, **result}
    optional = {name: float(row[name]) for name in ("score", "visibility") if row.get(name) is not None}
    return {"box": [float(row[name]) for name in BOX], **optional, "tasks": found}


def _points(cells: Row, task: _Task) -> dict[str, Any]:
    lists = {name: json.loads(each) if isinstance(each, str) else each for name, each in cells.items()}
    return {**lists, "lines": task.info.get("lines")}


def _rotation(cells: Row, _task: _Task) -> dict[str, Any]:
    return {"matrix": matrix_from_angles(*(float(cells[name]) for name in ANGLES)).tolist()}


def _mask(cells: Row, task: _Task) -> dict[str, Any] | None:
    """A mask whose pixels were kept; without them, or with run lengths, there is none to show."""
    if "png" not in cells:
        return None
    png = cells["png"]
    return {
        "png": png if isinstance(png, str) else base64.b64encode(png).decode("ascii"),
        "box": [float(cells[name]) for name in BOX],
        "labels": [name for name in task.columns if name not in {"png", *BOX}],
    }


def _classes(cells: Row, _task: _Task) -> dict[str, Any]:
    return {"probabilities": {name: float(value) for name, value in cells.items() if name != "label"}}


def _probabilities(cells: Row, task: _Task) -> dict[str, Any] | None:
    if not task.info and not _look_independent(cells):
        return None
    return {"probabilities": {name: float(value) for name, value in cells.items()}}


def _look_independent(cells: Row) -> bool:
    """Whether cells of an unknown kind are probabilities: no mask's shares, nor columns of somebody else."""
    try:
        values = [float(value) for value in cells.values()]
    except (TypeError, ValueError):
        return False
    are_shares = len(values) > 1 and math.isclose(sum(values), 1, abs_tol=SUM_ERROR)
    return all(0 <= value <= 1 for value in values) and not are_shares


def _scalar(cells: Row, task: _Task) -> dict[str, Any]:
    return {**{name: float(value) for name, value in cells.items()}, "unit": task.info.get("unit")}


_RESULTS: dict[str, Callable[[Row, _Task], dict[str, Any] | None]] = {
    Points.kind: _points,
    Rotation.kind: _rotation,
    Mask.kind: _mask,
    Classes.kind: _classes,
    Probabilities.kind: _probabilities,
    Scalar.kind: _scalar,
}
