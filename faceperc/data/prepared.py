"""Prepared data: the faces of any source, shrunken to their surroundings, in one parquet file a split.

`faceperc data prepare` writes them once; the class `Prepared` then reads them as fast as the disk is, and a
training machine needs no copy of the original data sets. Labels are stored in NumPy's own file format, never
pickled.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from faceperc._files import make_folder, write_file
from faceperc.data.region import shrink
from faceperc.data.rows import count_rows, digest, numbered_rows, pack_arrays, spread
from faceperc.data.source import EncodedImage, Sample, Source, check_names, data_folder
from faceperc.data.validity import checked
from faceperc.errors import DataError
from faceperc.heads.parsing import SetMask

_SIDE = 320
_FACTS = "faceperc"  # key of the source's facts in the file's schema metadata
_COLUMNS = ("image", "box", "labels", "trust", "derived", "name", "groups", "identity")


def prepare(
    sources: Sequence[Source], folder: str | os.PathLike[str] | None, out: str | os.PathLike[str]
) -> Iterator[tuple[Path, int]]:
    """Write `<out>/<name>/<split>.parquet` for every split of every source; give each file and its faces.

    Raises:
        ConfigError: if two sources have the same name.
        DataError: if a source cannot be read.
        UsageError: if ``out`` cannot be written.
    """
    check_names(sources)
    for source in sources:
        schema = pa.schema(
            [("image", pa.binary()), ("box", pa.list_(pa.float64()))]
            + [("labels", pa.map_(pa.string(), pa.binary()))]
            + [(column, pa.string()) for column in _COLUMNS[3:]]
        )
        target = Path(out, source.name)
        make_folder(target)
        for split in source.splits:
            rows = [_row(sample) for sample in source.read(folder, split)]
            # some sources know their facts only now
            own, *others = source.facts()
            schema = schema.with_metadata({_FACTS: json.dumps(own | {"others": others})})
            stream = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(rows, schema), stream, row_group_size=256)
            yield write_file(target / f"{split}.parquet", stream.getvalue()), len(rows)


class Prepared(Source):
    """A source that `faceperc data prepare` has written.

    Args:
        path: the source's folder; relative to the data folder (FACEPERC_DATA) where not absolute.
        weight, splits, balance: see Source.
        name: of the source; the one that the files hold by default.
    """

    def __init__(
        self,
        path: str,
        weight: float = 1.0,
        splits: tuple[str, ...] = ("train", "val"),
        balance: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(weight, splits, balance)
        self.path = path
        self.given_name = name
        # known for sure once the file is read
        self.name, self.origin, self.licence = name or Path(path).name, "not read yet", "not read yet"
        self._others: list[dict[str, str]] = []

    def facts(self) -> list[dict[str, str]]:
        """See Source.facts: those that the files hold."""
        return [*super().facts(), *self._others]

    def read(
        self, folder: str | os.PathLike[str] | None, split: str, limit: int | None = None
    ) -> list[Sample]:
        """See Source.read.

        Raises:
            DataError: also if a face box is none or lies outside its image.
        """
        given = Path(self.path).expanduser()
        path = (given if given.is_absolute() else data_folder(folder) / given) / f"{split}.parquet"
        samples = []
        for index, row in numbered_rows(path, spread(range(count_rows(path)), limit)):
            where = f"{path} row {index}"
            samples.append(checked(_sample(row, where), where))
        self._learn_facts(path)
        return samples

    def _learn_facts(self, path: Path) -> None:
        metadata = pq.read_schema(path).metadata or {}
        try:
            facts = json.loads(metadata[_FACTS.encode()])
            self.name, self.origin, self.licence = facts["name"], facts["origin"], facts["licence"]
            self.terms = facts.get("terms", "")
            self.name = self.given_name or self.name
            self._others = facts.get("others", [])
        except (KeyError, ValueError) as error:
            raise DataError(f"{path}: not written by 'faceperc data prepare' (no facts about it)") from error


def _row(sample: Sample) -> dict[str, Any]:
    small = sample if isinstance(sample.image, EncodedImage) else shrink(sample, _SIDE)
    assert isinstance(small.image, EncodedImage)
    return {
        "image": small.image.data,
        "box": small.box.tolist(),
        "labels": {task: pack_label(label) for task, label in small.labels.items()},
        "trust": json.dumps(small.trust),
        "derived": json.dumps(sorted(small.derived)),
        "name": small.name,
        "groups": json.dumps(small.groups),
        "identity": small.identity,
    }


def _sample(row: dict[str, Any], where: str) -> Sample:
    try:
        return Sample(
            image=EncodedImage(row["image"], where),
            box=np.array(row["box"], dtype=np.float64),
            labels={task: unpack_label(data) for task, data in row["labels"]},
            trust=json.loads(row["trust"]),
            derived=frozenset(json.loads(row["derived"])),
            name=row["name"],
            groups=json.loads(row["groups"]),
            identity=row["identity"],
            digest=digest(row["image"]),
        )
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise DataError(f"{where}: not written by 'faceperc data prepare' ({error})") from error


def pack_label(label: Any) -> bytes:
    """A label as the bytes of an .npz file: plain numbers, texts and arrays as "value", others by their two
    parts."""
    if isinstance(label, SetMask):
        return pack_arrays(sets=label.sets, groups=label.groups)
    if isinstance(label, dict):  # texts of a table, see faceperc.data.own
        return pack_arrays(names=list(label), texts=list(label.values()))
    return pack_arrays(value=label)


def unpack_label(data: bytes) -> Any:
    """The inverse of ``pack_label``. Raises ValueError, KeyError or OSError if the bytes hold no label."""
    with np.load(io.BytesIO(data), allow_pickle=False) as parts:
        if "sets" in parts:
            return SetMask(parts["sets"], tuple(int(bits) for bits in parts["groups"]))
        if "names" in parts:
            return dict(zip(parts["names"].tolist(), parts["texts"].tolist(), strict=True))
        value = parts["value"]
    return value if value.ndim else value.item()
