"""The files that a job can write: Parquet, CSV and JSON lines.

A worker encodes the results of an image, the job gathers them to parts, and in the end the parts are put
together, a part at a time.
"""

from __future__ import annotations

import base64
import csv
import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

from faceperc.batch.coco import coco_rle, import_pycocotools
from faceperc.batch.rows import Row, arrow_schema, columns, face_rows, failed_row, import_pyarrow
from faceperc.errors import UsageError
from faceperc.mask import Mask
from faceperc.metadata import TaskInfo
from faceperc.results import Faces

#: What a worker makes of an image: rows, or a line of text.
Encoded: TypeAlias = "list[Row] | str"

GROUP = 16_384  # rows of a row group: a few ten MB


@dataclass(frozen=True)
class Format(ABC):
    """How results are written.

    Attributes:
        masks: what is kept of a mask: "png", "rle" or "none".
    """

    masks: str

    @abstractmethod
    def encode(self, faces: Faces) -> Encoded:
        """The results of an image."""

    @abstractmethod
    def failed(self, source: str, error: str) -> Encoded:
        """An image that could not be done."""

    @abstractmethod
    def part(self, encoded: Sequence[Any]) -> bytes:
        """A part of the file: several images, in their order."""

    @abstractmethod
    def join(self, parts: Iterable[Path], target: Path, about: dict[str, Any]) -> None:
        """Write the file.

        Args:
            parts: files of ``part``, in their order.
            target: where to write.
            about: what the file says about itself, where its format has a place for that.
        """


@dataclass(frozen=True)
class JsonLines(Format):
    """A line per image: ``Faces.to_dict()``, or ``source`` and ``error``."""

    def encode(self, faces: Faces) -> str:
        """The line."""
        document = faces.to_dict()
        for face, entry in zip(faces, document["faces"], strict=True):
            for task, result in face.tasks.items():
                if isinstance(result, Mask) and self.masks != "png":
                    del entry["tasks"][task]["png"]
                    if self.masks == "rle":
                        entry["tasks"][task]["rle"] = coco_rle(result)
        return json.dumps(document, allow_nan=False)

    def failed(self, source: str, error: str) -> str:
        """The line."""
        return json.dumps(failed_row(source, error))

    def part(self, encoded: Sequence[Any]) -> bytes:
        """Lines."""
        return "".join(f"{line}\n" for line in encoded).encode("ascii")

    def join(self, parts: Iterable[Path], target: Path, about: dict[str, Any]) -> None:
        """Lines; there is no place for ``about``."""
        _concatenate(parts, target, b"")


@dataclass(frozen=True)
class Table(Format):
    """A row per face.

    Attributes:
        types: the columns and their types, as ``rows.columns`` gives them.
    """

    types: dict[str, str] = field(default_factory=dict)

    def encode(self, faces: Faces) -> list[Row]:
        """The rows."""
        return face_rows(faces, self.masks)

    def failed(self, source: str, error: str) -> list[Row]:
        """The row."""
        return [failed_row(source, error)]


@dataclass(frozen=True)
class Csv(Table):
    """Text; lists are JSON in a cell, a PNG is base64.

    Spreadsheets run a cell that begins like a formula. Only a file's name can, and gets ``./`` before it.
    """

    def part(self, encoded: Sequence[Any]) -> bytes:
        """Rows without the header."""
        cells = [[_cell(row.get(name)) for name in self.types] for rows in encoded for row in rows]
        return self._text([[_harmless(source), *rest] for source, *rest in cells])

    def join(self, parts: Iterable[Path], target: Path, about: dict[str, Any]) -> None:
        """Header and rows; there is no place for ``about``."""
        _concatenate(parts, target, self._text([list(self.types)]))

    def _text(self, rows: list[list[Any]]) -> bytes:
        lines: list[str] = []
        # a carriage return in a cell is quoted only where the lines end with one
        csv.writer(SimpleNamespace(write=lines.append), lineterminator="\r\n").writerows(rows)
        return "".join(f"{line[:-2]}\n" for line in lines).encode("utf-8")


@dataclass(frozen=True)
class Parquet(Table):
    """Arrow's types in Zstandard; ``about`` is JSON under the key ``faceperc`` of the metadata."""

    def part(self, encoded: Sequence[Any]) -> bytes:
        """A small Parquet file."""
        pa = import_pyarrow()
        from pyarrow import parquet

        table = pa.Table.from_pylist([row for rows in encoded for row in rows], arrow_schema(self.types))
        sink = pa.BufferOutputStream()
        parquet.write_table(table, sink, compression="zstd")
        return sink.getvalue().to_pybytes()

    def join(self, parts: Iterable[Path], target: Path, about: dict[str, Any]) -> None:
        """The small files as row groups of some thousand rows."""
        pa = import_pyarrow()
        from pyarrow import parquet

        schema = arrow_schema(self.types).with_metadata({"faceperc": json.dumps(about)})
        with parquet.ParquetWriter(target, schema, compression="zstd") as writer:
            group: list[Any] = []
            for part in parts:
                # not read_table, which takes columns from folders that are called like year=2024
                group.append(parquet.ParquetFile(part).read())
                if sum(len(table) for table in group) >= GROUP:
                    writer.write_table(pa.concat_tables(group).combine_chunks())
                    group.clear()
            if group:
                writer.write_table(pa.concat_tables(group).combine_chunks())


FORMATS: dict[str, type[Format]] = {".parquet": Parquet, ".csv": Csv, ".jsonl": JsonLines}


def choose_format(target: Path, tasks: dict[str, TaskInfo], masks: str) -> Format:
    """The format that a file's name asks for.

    Args:
        target: the file.
        tasks: the tasks that are predicted, by name.
        masks: "png", "rle" or "none".

    Raises:
        UsageError: if the name ends in none that is known, ``masks`` is unknown, or a package is missing.
    """
    chosen = FORMATS.get(target.suffix.lower())
    if chosen is None:
        known = ", ".join(FORMATS)
        raise UsageError(f"{target}: cannot write {target.suffix or 'a file without suffix'}; use {known}")
    types = columns(tasks, masks)
    if chosen is Parquet:
        import_pyarrow()
    if masks == "rle":
        import_pycocotools()
    return chosen(masks, types) if issubclass(chosen, Table) else chosen(masks)


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.7g}"  # what 32 bits hold
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, list):
        return json.dumps(value, separators=(",", ":"))
    return value


def _harmless(source: str) -> str:
    """The path in other words, if it begins as a formula does."""
    return f"./{source}" if source.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else source


def _concatenate(parts: Iterable[Path], target: Path, head: bytes) -> None:
    with target.open("wb") as out:
        out.write(head)
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, out)
