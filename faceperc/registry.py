"""The zoo's registry: ``registry.json``, a row of data per trained model, read strictly.

Weights are data, as in timm: ``name`` is an architecture, ``tag`` a training run, ``name.tag`` one set of
weights for ever. docs/models.md explains the fields.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from faceperc._names import unknown_name
from faceperc.errors import ModelError, UsageError
from faceperc.model_folder import FILES
from faceperc.provenance import file_sha256

T = TypeVar("T")

#: Behind a name: the same model in eight bits.
INT8 = "-int8"

_PACKAGE = Path(__file__).parent
_ROLES, _USES = ("face", "detector"), ("research", "any")
_NAME, _TAG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*"), re.compile(r"[a-z0-9][a-z0-9_-]*")
_SHA256, _REPO = re.compile(r"[0-9a-f]{64}"), re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class ModelFile:
    """A file of a released model.

    Attributes:
        sha256: of its bytes.
        bytes: how many there are.
        latency: of an ONNX file: time for one face, or of a detector for an image of 640 x 480, on one CPU
            thread, in units U of docs/performance.md; None if not measured.
        metrics: of a file that answers differently from ``model.onnx``: its own figures, as ZooModel's.
    """

    sha256: str
    bytes: int
    latency: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ZooModel:
    """A trained model: a row of ``registry.json``.

    Attributes:
        name: of the architecture, e.g. ``faceperc-nano``.
        tag: of the training run, e.g. ``v1``.
        role: ``face`` or ``detector``.
        description: one line for people.
        architecture: the network in a few words.
        parameters: how many numbers are learned; running statistics of norms and constants do not count.
        input_size: side of the input in pixels; a detector's is the longer side that it shrinks images to.
        tasks: names of the tasks; empty for a detector.
        use: ``research`` if some of the training data allows no other use, ``any`` if all of it does.
        licence: the terms in words.
        training_data: names of the sources.
        metrics: figures of the model card by their name, e.g. ``{"w300 NME %": 4.67}``, of ``model.onnx``.
        files: the released files by name; empty while there are no weights.
        repo: ``org/name`` on the Hub; None if it is not to be there.
        revision: tag or commit in ``repo``.
        published: whether it is there already.
        recipe: the command that trains it.
    """

    name: str
    tag: str
    role: str
    description: str
    architecture: str
    parameters: int
    input_size: int
    tasks: tuple[str, ...] = ()
    use: str = "research"
    licence: str = ""
    training_data: tuple[str, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    files: dict[str, ModelFile] = field(default_factory=dict)
    repo: str | None = None
    revision: str = "main"
    published: bool = False
    recipe: str = ""

    @property
    def full_name(self) -> str:
        """``name.tag``."""
        return f"{self.name}.{self.tag}"

    @property
    def folder(self) -> Path:
        """Where the package keeps a model of this name, if it does: see ``faceperc.model_folder``."""
        return _PACKAGE / "models" / self.name

    def bundled(self, file: str) -> Path | None:
        """The path of one of its files if that came with the package.

        The folder is the name's, not the tag's: a file there is this row's if it has this row's SHA-256.
        """
        path, entry = self.folder / file, self.files.get(file)
        if entry is None or not path.is_file():
            return None
        facts = path.stat()
        if facts.st_size != entry.bytes or _sha256(path, facts.st_mtime_ns) != entry.sha256:
            return None
        return path

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> ZooModel:
        """A row of the registry, as ``dataclasses.asdict`` writes it.

        Raises:
            ModelError: naming the key that is unknown, missing or wrong.
        """
        where = f"registry row {row['name']!r}" if isinstance(row, dict) and "name" in row else "registry row"
        values = dict(_checked_keys(cls, row, where))
        files = values.get("files", {})
        if not isinstance(files, dict):
            raise ModelError(f"{where}: 'files' must map file names to their facts")
        values["files"] = {
            name: ModelFile(**_checked_keys(ModelFile, entry, f"{where}, file {name!r}"))
            for name, entry in files.items()
        }
        for key in ("tasks", "training_data"):
            values[key] = tuple(values.get(key, ()))
        model = cls(**values)
        _check(model, where)
        return model


def check_names(name: str, tag: str, repo: str | None = None) -> None:
    """Check that a model may be called so.

    Args:
        name: of the model.
        tag: of the training run.
        repo: on the Hub, if it is to be there.

    Raises:
        UsageError: if not.
    """
    if not _is_name(name):
        raise UsageError(
            f"--name {name!r}: a model's name is of lower case letters and digits, with '-' between words, "
            f"and does not end in {INT8!r}"
        )
    if not _TAG.fullmatch(tag):
        raise UsageError(f"--tag {tag!r}: a tag is of lower case letters, digits, '-' and '_', e.g. v2")
    if repo is not None and not _REPO.fullmatch(repo):
        raise UsageError(f"--repo {repo!r}: is no 'org/name'")


@cache
def registry() -> tuple[ZooModel, ...]:
    """All models of the zoo; of several tags of a name the first one is the default.

    Raises:
        ModelError: if the file is damaged.
    """
    return read_registry(_PACKAGE / "registry.json")


def read_registry(path: Path) -> tuple[ZooModel, ...]:
    """The rows of a registry file.

    Raises:
        ModelError: naming the file, the row and the key that is wrong.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["models"]
        models = tuple(ZooModel.from_dict(row) for row in rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: is not a registry of models ({error!r})") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    names = [model.full_name for model in models]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ModelError(f"{path}: {twice[0]} is there twice; give the new weights a new tag")
    return models


@cache
def _sha256(path: Path, changed_ns: int) -> str:
    """Of a file of the package: one command asks for the same file several times."""
    return file_sha256(path)


def _checked_keys(kind: type[T], values: Any, where: str) -> dict[str, Any]:
    """The values, if they are a mapping that has the dataclass's fields and no others."""
    if not isinstance(values, dict):
        raise ModelError(f"{where}: expected a mapping, got {type(values).__name__}")
    known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise ModelError(f"{where}: {unknown_name('key', key, known)}")
    for key, each in known.items():
        if key not in values and each.default is MISSING and each.default_factory is MISSING:
            raise ModelError(f"{where}: the key {key!r} is missing")
    return values


def _check(model: ZooModel, where: str) -> None:
    """Raise ModelError at the first value that cannot be."""
    checks = {
        "name": _is_name(model.name),
        "tag": bool(_TAG.fullmatch(model.tag)),
        "role": model.role in _ROLES,
        "use": model.use in _USES,
        "parameters": model.parameters > 0,
        "input_size": model.input_size > 0,
        "tasks": bool(model.tasks) == (model.role == "face"),
        "licence": bool(model.licence) or not model.files,
        "training_data": bool(model.training_data) or not model.files,
        "files": bool(model.files) or bool(model.recipe),
        "repo": model.repo is None or bool(_REPO.fullmatch(model.repo)),
        "metrics": _are_finite(model.metrics),
    }
    for name, file in model.files.items():
        checks[f"files.{name}"] = name in FILES
        checks[f"files.{name}.sha256"] = bool(_SHA256.fullmatch(file.sha256))
        checks[f"files.{name}.bytes"] = file.bytes > 0
        checks[f"files.{name}.latency"] = file.latency is None or file.latency > 0
        checks[f"files.{name}.metrics"] = _are_finite(file.metrics)
    for key, right in checks.items():
        if not right:
            raise ModelError(f"{where}: the value of {key!r} cannot be; see docs/models.md")


def _is_name(name: str) -> bool:
    return bool(_NAME.fullmatch(name)) and not name.endswith(INT8)


def _are_finite(metrics: dict[str, float]) -> bool:
    return all(math.isfinite(value) for value in metrics.values())
