"""The file of a teacher's labels: `<folder>/<source>/<split>.<teacher>.parquet`, a row per face and task.

Needs NumPy and pyarrow only, like ``rows``.
"""

from __future__ import annotations

import dataclasses
import datetime
import io
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from faceperc._files import make_folder, write_file
from faceperc.data.rows import read_rows
from faceperc.errors import DataError

_FACTS = "faceperc-teacher"  # key of the teacher's facts in the file's schema metadata
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("source", "split", "name", "sha256")]
    + [("box", pa.list_(pa.float64())), ("task", pa.string()), ("label", pa.binary())]
    + [("confidence", pa.float64()), ("teacher", pa.string()), ("version", pa.string())]
)


@dataclass(frozen=True)
class Teacher:
    """A model that labels photographs.

    Attributes:
        name: as it stands in the file's name, e.g. `mediapipe-mesh`.
        version: of the package or of the weights.
        origin: one line for the model card.
        licence: under which its answers may be used.
        terms: what that allows, as in ``faceperc.licences``; by the text of ``licence`` where empty.
    """

    name: str
    version: str
    origin: str
    licence: str
    terms: str = ""


@dataclass(frozen=True)
class PseudoLabel:
    """What a teacher says about one task of one face.

    Attributes:
        source: name of the source.
        split: the split.
        name: file and row of the photograph, for messages.
        sha256: ``faceperc.data.rows.digest`` of the photograph's file. It decides whose label this is.
        box: x0, y0, x1, y1 of the face in image pixels, about hairline to chin.
        task: name of the task.
        label: the label in the form that the task's head takes, image pixels, as .npz (``pack_label``).
        confidence: in [0, 1]; the teacher's page in the documentation says what it means.
    """

    source: str
    split: str
    name: str
    sha256: str
    box: list[float]
    task: str
    label: bytes
    confidence: float


def labels_path(folder: str | os.PathLike[str], source: str, split: str, teacher: str) -> Path:
    """Where a teacher's labels of a split lie."""
    return Path(folder, source, f"{split}.{teacher}.parquet")


def write_labels(path: Path, teacher: Teacher, labels: Iterable[PseudoLabel]) -> Path:
    """Write the labels of one split; the folder is made where it is missing.

    Raises:
        UsageError: if the file cannot be written.
    """
    same = {"teacher": teacher.name, "version": teacher.version}
    rows = [vars(label) | same for label in labels]
    facts = dataclasses.asdict(teacher) | {"date": datetime.date.today().isoformat()}
    table = pa.Table.from_pylist(rows, _SCHEMA.with_metadata({_FACTS: json.dumps(facts)}))
    stream = io.BytesIO()
    pq.write_table(table, stream, row_group_size=256)
    make_folder(path.parent)
    return write_file(path, stream.getvalue())


def read_labels(path: Path) -> tuple[Teacher, list[PseudoLabel]]:
    """The inverse of ``write_labels``.

    Raises:
        DataError: if the file is missing, damaged or not a teacher's.
    """
    names = [field.name for field in dataclasses.fields(PseudoLabel)]
    rows = list(read_rows(path, names))
    try:
        facts = json.loads((pq.read_schema(path).metadata or {})[_FACTS.encode()])
        known = {field.name for field in dataclasses.fields(Teacher)} & facts.keys()  # older files: no terms
        teacher = Teacher(**{name: facts[name] for name in known})
        return teacher, [PseudoLabel(**row) for row in rows]
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path}: holds no teacher's labels ({error}); see docs/teachers.md") from error
