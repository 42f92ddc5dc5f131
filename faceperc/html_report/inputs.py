"""What a report is made of: photographs, folders of them, and results that were written before."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceperc._names import no_such_file
from faceperc.batch.inputs import Input, find_images
from faceperc.errors import DataError, FacepercError
from faceperc.html_report.documents import Document, read_document
from faceperc.html_report.rows import TABLES, read_table
from faceperc.predict import Predictor

JSON = (".jsonl", ".ndjson", ".json")
RESULTS = (*JSON, *TABLES)


@dataclass(frozen=True)
class Failure:
    """An input that could not be used, and why."""

    source: str
    reason: str


@dataclass(frozen=True)
class Result:
    """What was found in one picture.

    Attributes:
        document: the faces, the picture's size and the model.
        path: where the picture should be; None where nobody knows.
    """

    document: Document
    path: Path | None


def is_results(name: str) -> bool:
    """Whether an input is a file of results rather than a picture."""
    return Path(name).suffix.lower() in RESULTS


def expand(inputs: Iterable[str]) -> list[Input]:
    """The inputs, each once, with the images of folders and patterns in their place.

    Raises:
        UsageError: if a folder holds no image, or a pattern fits nothing.
    """
    return list(find_images(inputs))


def read_inputs(inputs: Iterable[Input], predictor: Predictor | None) -> Iterator[Result | Failure]:
    """The results of each input, one picture after the other.

    Args:
        inputs: images, and files of results.
        predictor: what looks at the images; may be None where there are none.
    """
    for each in inputs:
        if each.error is not None:
            yield Failure(each.path, each.error.removeprefix(f"{each.path}: "))
        elif is_results(each.path):
            yield from _read_results(Path(each.path))
        else:
            assert predictor is not None
            yield _predict(each.path, predictor)


def _predict(name: str, predictor: Predictor) -> Result | Failure:
    try:
        faces = predictor(name)
    except FacepercError as error:
        return Failure(name, _reason(error, name))
    size = (faces.image.shape[1], faces.image.shape[0])
    return Result(Document(name, None, faces.model, size, faces.faces), Path(name))


def _read_results(path: Path) -> Iterator[Result | Failure]:
    """The results in a file: a table, one JSON document or that of `predict --json`, or one per line."""
    suffix = path.suffix.lower()
    try:
        if suffix in TABLES:
            for number, document in enumerate(read_table(path), start=1):
                yield _guarded(path, document, f"{path}, image {number}")
            return
        with path.open(encoding="utf-8") as lines:
            if suffix == ".json":
                yield from _from_json(path, lines.read())
                return
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _guarded(path, line, f"{path}, line {number}")
    except FileNotFoundError:
        yield Failure(str(path), no_such_file(path))
    except FacepercError as error:
        yield Failure(str(path), str(error))
    except (OSError, UnicodeDecodeError) as error:
        yield Failure(str(path), f"cannot be read: {getattr(error, 'strerror', None) or error}")


def _from_json(path: Path, text: str) -> Iterator[Result | Failure]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield Failure(str(path), f"is not JSON: {error}; of one document per line the suffix is .jsonl")
        return
    if isinstance(document, Mapping) and isinstance(document.get("results"), list):
        errors = document.get("errors")
        entries = [*document["results"], *(errors if isinstance(errors, list) else [])]
    else:
        entries = document if isinstance(document, list) else [document]
    for number, entry in enumerate(entries, start=1):
        yield _guarded(path, entry, f"{path}, result {number}")


def _guarded(path: Path, entry: Any, where: str) -> Result | Failure:
    """A result of a file; a damaged one is a failure, and the others are used."""
    try:
        if isinstance(entry, str):
            entry = json.loads(entry)
        if isinstance(entry, Mapping) and "error" in entry:
            source = str(entry.get("source") or where)
            return Failure(source, str(entry["error"]).removeprefix(f"{source}: "))
        document = read_document(entry)
    except DataError as error:
        return Failure(where, str(error))
    except (ValueError, RecursionError) as error:
        return Failure(where, f"is not JSON: {error}; the file is damaged, predict again")
    return Result(document, None if document.source is None else _find(document.source, path.parent))


def _find(source: str, folder: Path) -> Path:
    """The picture of a source: as it was named, seen from here, else from where the results are."""
    here, beside = Path(source), folder / source
    try:
        return here if here.exists() or not beside.exists() else beside
    except (OSError, ValueError):  # a name that no file can have
        return here


def _reason(error: Exception, name: str) -> str:
    return str(error).removeprefix(f"{name}: ")
