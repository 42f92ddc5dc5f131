"""Rendered heads in a parquet file: written part by part, so that an interrupted run goes on where it was."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from faceperc._files import check_kind, make_folder, write_file
from faceperc.data.rows import read_rows
from faceperc.data.source import data_folder
from faceperc.errors import DataError, UsageError
from faceperc.licences import SYNTHETIC
from faceperc.synthetic.model import LICENCE, load_model
from faceperc.synthetic.render import Rendered, render

PART = 100  # heads that are lost at most when a run is interrupted
_ORDER = "order.json"
_FACTS = "faceperc"  # key of the facts in the file's schema metadata
_ORIGIN = "rendered heads, ICT Face Model Light (Li et al. 2020; https://github.com/ICT-VGL/ICT-FaceKit)"
_NUMBERS = {"landmarks": 136, "points5": 10, "rotation": 9, "face_box": 4}
SCHEMA = pa.schema(
    [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
    + [("width", pa.int32()), ("height", pa.int32())]
    + [(name, pa.list_(pa.float32())) for name in _NUMBERS]
    + [("visible", pa.list_(pa.bool_()))],
    metadata={
        _FACTS: json.dumps(
            {"name": "synthetic-heads", "origin": _ORIGIN, "licence": LICENCE, "terms": SYNTHETIC}
        )
    },
)


@dataclass(frozen=True)
class Order:
    """What is to be rendered. Head number i depends on ``seed``, i and ``size`` alone.

    Attributes:
        count: number of heads, at least 1.
        size: side of the pictures in pixels, at least 16.
        seed: another seed gives other people.
        data: the data folder; FACEPERC_DATA by default.
    """

    count: int
    size: int = 160
    seed: int = 0
    data: str | None = None

    def __post_init__(self) -> None:
        """Raises UsageError if a number is out of range."""
        if self.count < 1 or self.size < 16 or self.seed < 0:
            raise UsageError(
                "rendering takes a count >= 1, a size >= 16 px and a seed >= 0; "
                f"got {self.count}, {self.size} and {self.seed}"
            )

    @property
    def starts(self) -> range:
        """Number of the first head of each part."""
        return range(0, self.count, PART)


def render_file(order: Order, out: str | Path, workers: int = 1) -> Generator[int, None, None]:
    """Render into a parquet file; give the number of finished heads after every part.

    Parts lie in the folder `<out>.parts` until the file is complete; those that are there already are kept.

    Raises:
        UsageError: if ``out`` cannot be written, its parts are of another order, or there is no worker.
        DataError: if the face model is missing or damaged.
    """
    if workers < 1:
        raise UsageError(f"rendering takes 1 worker or more; got {workers}")
    make_folder(Path(out).parent)
    check_kind(out, ".parquet")
    load_model(order.data)  # a missing model is told before any process is started
    folder = Path(f"{out}.parts")
    _claim(folder, order)
    missing = [start for start in order.starts if not _part(folder, start).is_file()]
    done = order.count - sum(_length(order, start) for start in missing)
    yield done
    if workers == 1:
        for start in missing:
            yield (done := done + _render_part(order, folder, start))
    else:
        with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_one_thread) as pool:
            jobs = [pool.submit(_render_part, order, folder, start) for start in missing]
            try:
                for job in jobs:
                    yield (done := done + job.result())
            finally:  # after an error or an interruption nobody waits for the parts that have not begun
                pool.shutdown(wait=False, cancel_futures=True)
    tables = [pq.read_table(_part(folder, start)) for start in order.starts]
    stream = io.BytesIO()
    pq.write_table(pa.concat_tables(tables), stream, row_group_size=256)
    write_file(out, stream.getvalue())
    _remove_parts(folder, order)


def read_heads(path: str | Path) -> Iterator[Rendered]:
    """The heads of a file that `render_file` wrote.

    Raises:
        DataError: if it is missing or damaged.
    """
    for index, row in enumerate(read_rows(Path(path))):
        try:
            yield _head(row)
        except (KeyError, TypeError, ValueError, cv2.error) as error:
            raise DataError(f"{path} row {index}: no rendered head ({error})") from error


def _claim(folder: Path, order: Order) -> None:
    """Make the parts' folder, or check that what is there was begun for the same order."""
    said = json.dumps({"count": order.count, "size": order.size, "seed": order.seed})
    note = folder / _ORDER
    try:
        folder.mkdir(exist_ok=True)
        if not note.exists():
            if any(folder.iterdir()):
                raise FileExistsError("it has other files; name another file, or move them away")
            write_file(note, said.encode())
        found = note.read_text()
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder}: cannot be used: {error}") from error
    if found != said:
        raise UsageError(
            f"{folder}: holds parts of another run ({found}); remove the folder, or name another file"
        )


def _remove_parts(folder: Path, order: Order) -> None:
    """Remove what this run wrote; the folder too, if nobody has put something else into it."""
    for start in order.starts:
        _part(folder, start).unlink()
    (folder / _ORDER).unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def _part(folder: Path, start: int) -> Path:
    return folder / f"{start:08d}.parquet"


def _length(order: Order, start: int) -> int:
    return min(PART, order.count - start)


def _render_part(order: Order, folder: Path, start: int) -> int:
    """Render and store one part; its number of heads."""
    model = load_model(data_folder(order.data))
    rows = []
    for number in range(start, start + _length(order, start)):
        head = render(np.random.default_rng([order.seed, number]), model, order.size)
        rows.append(_row(head, f"{order.seed}-{number:08d}.png"))
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), stream)
    write_file(_part(folder, start), stream.getvalue())
    return len(rows)


def _row(head: Rendered, name: str) -> dict[str, Any]:
    height, width = head.image.shape[:2]
    encoded = cv2.imencode(".png", cv2.cvtColor(head.image, cv2.COLOR_RGBA2BGRA))[1]
    return {
        "image": {"bytes": encoded.tobytes(), "path": name},
        "width": width,
        "height": height,
        "landmarks": head.points68.ravel(),
        "points5": head.points5.ravel(),
        "rotation": head.rotation.ravel(),
        "face_box": head.box,
        "visible": head.visible68,
    }


def _head(row: dict[str, Any]) -> Rendered:
    decoded = cv2.imdecode(np.frombuffer(row["image"]["bytes"], np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise ValueError("its image cannot be decoded")
    values = {name: np.array(row[name], dtype=np.float64) for name in _NUMBERS}
    return Rendered(
        image=np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGBA), np.uint8),
        points68=values["landmarks"].reshape(68, 2),
        points5=values["points5"].reshape(5, 2),
        visible68=np.array(row["visible"], dtype=bool),
        rotation=values["rotation"].reshape(3, 3),
        box=values["face_box"].reshape(4),
    )


def _one_thread() -> None:
    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
