"""An evaluation on disk: `NAME.json` with the figures for people and programs, and beside it `NAME.npz` with
every face's rows, from which `faceperc compare` makes paired differences.

The npz holds plain arrays, nothing pickled: for each source and task `SOURCE/TASK/rows`, (M, K) float, the
statistics of the task's head, and `SOURCE/TASK/names`, (M,) text, the faces' names.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from faceperc._files import check_json_target, write_file
from faceperc._npz import read_arrays
from faceperc.errors import DataError, UsageError
from faceperc.evaluate.measure import Measurement, heads_of
from faceperc.evaluate.report import json_text
from faceperc.provenance import file_sha256, package_versions, today
from faceperc.runtime import OnnxModel

#: The packages that a measured file's answers depend on.
_PACKAGES = ("faceperc", "onnxruntime", "onnxruntime-gpu", "openvino", "numpy", "pillow")


def description(kind: str, model: OnnxModel, command: str) -> dict[str, Any]:
    """What was measured, by what and when: the beginning of every evaluation's document.

    Args:
        kind: ``face``, ``detector`` or ``heads``.
        model: the measured file.
        command: that measured it.
    """
    metadata = model.metadata
    return {
        "kind": kind,
        "model": metadata.name,
        "weights_sha256": metadata.weights_sha256,
        "file": {
            "name": model.path.name,
            "sha256": file_sha256(model.path),
            "precision": metadata.raw.get("precision", "fp32"),
        },
        "command": command,
        "date": today(),
        "packages": package_versions(_PACKAGES),
        "provider": model.provider,
    }


def check_saving(path: str | Path) -> None:
    """Check that ``save`` can write there and replaces nothing but an older evaluation.

    Raises:
        UsageError: if not.
    """
    check_json_target(path)
    rows = _rows_path(path)
    if rows.exists() and not _holds_rows(rows):
        raise UsageError(
            f"{rows}: is there, and is not what 'faceperc eval --json' writes beside {Path(path).name}; "
            "choose another name"
        )


def _holds_rows(path: Path) -> bool:
    try:
        return {name.rpartition("/")[2] for name in read_arrays(path)} <= {"rows", "names"}
    except (OSError, ValueError):
        return False


def save(path: str | Path, document: dict[str, Any], measurements: Sequence[Measurement]) -> None:
    """Write the figures and, beside them, the rows that they were made of.

    Args:
        path: the JSON file.
        document: the figures; must hold ``model``, the model's name, and ``config``, its configuration.
        measurements: the rows.

    Raises:
        UsageError: if a file cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    for each in measurements:
        arrays[f"{each.source}/{each.task}/rows"] = each.rows
        arrays[f"{each.source}/{each.task}/names"] = np.array(each.names)
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    write_file(_rows_path(path), stream.getvalue())
    write_file(path, json_text(document).encode("ascii"))


def together(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several evaluations of a model's files as the `evaluation.json` of its folder, which has the
    configuration elsewhere. A document may be such a collection itself."""
    found: list[dict[str, Any]] = []
    for document in documents:
        found += document.get("evaluations", [document])
    return {"evaluations": [{key: each[key] for key in each if key != "config"} for each in found]}


def load(path: str | Path) -> tuple[str, list[Measurement]]:
    """The model's name and the measurements, without the faces.

    Raises:
        DataError: if one of the two files is missing or damaged.
        ConfigError: if the model's configuration names something unknown.
    """
    rows_path = _rows_path(path)
    try:
        document = json.loads(Path(path).read_text())
        name, heads = str(document["model"]), heads_of(document["config"])
        measurements = []
        arrays = read_arrays(rows_path)
        for result in document["results"]:
            source, task = result["source"], result["task"]
            rows, names = (arrays[f"{source}/{task}/{part}"] for part in ("rows", "names"))
            measurements.append(Measurement(source, task, heads[task], rows, names.tolist()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} and {rows_path.name} beside it: not an evaluation as 'faceperc eval --json' writes it "
            f"({error!r}); keep both files together, or evaluate again"
        ) from error
    return name, measurements


def _rows_path(path: str | Path) -> Path:
    return Path(path).with_suffix(".npz")
