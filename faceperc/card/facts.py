"""Everything that a model folder knows about itself, gathered for the card. What is not there stays empty."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceperc.errors import ModelError
from faceperc.evaluate.saved import together
from faceperc.licences import Use, for_metadata, spdx_of
from faceperc.metadata import ModelMetadata
from faceperc.model_folder import CONFIG, EVALUATION, NOTES, RUNNABLE, TRAINING
from faceperc.provenance import file_sha256
from faceperc.runtime import OnnxModel
from faceperc.zoo import ZooModel, registry

_HEADING = re.compile(r"^## +(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class CardFile:
    """A file that the runtime loads.

    Attributes:
        name: e.g. ``model.onnx``.
        sha256: of its bytes.
        bytes: how many there are.
        metadata: what it says about itself.
        latency: the registry's, if it knows this very file: see ``faceperc.zoo.ModelFile``.
    """

    name: str
    sha256: str
    bytes: int
    metadata: ModelMetadata
    latency: float | None

    @property
    def precision(self) -> str:
        """What it computes in."""
        return str(self.metadata.raw.get("precision", "fp32"))


@dataclass(frozen=True)
class Facts:
    """What a card is made of.

    Attributes:
        name: of the model.
        tag: of the training run; empty if not known.
        files: what the runtime can load.
        training: ``training.json``; without one what the ONNX file says of it.
        config: the network's configuration; empty where the folder has none.
        evaluations: documents of `faceperc eval`, `eval-detector` and `eval-heads`.
        notes: sections of the hand-written notes by their headings.
        row: the model's row of the registry, if it has one.
    """

    name: str
    tag: str
    files: tuple[CardFile, ...]
    training: dict[str, Any]
    config: dict[str, Any]
    evaluations: tuple[dict[str, Any], ...]
    notes: dict[str, str]
    row: ZooModel | None

    @property
    def metadata(self) -> ModelMetadata:
        """What the first file says about the model."""
        return self.files[0].metadata

    @property
    def sources(self) -> list[dict[str, Any]]:
        """What the weights learned from."""
        sources: list[dict[str, Any]] = self.training.get("data", [])
        return sources

    @property
    def use(self) -> Use:
        """What the weights may be used for."""
        use: Use = for_metadata(self.training).get("use", "research")
        return use

    @property
    def licence(self) -> str:
        """The weights' licence in words."""
        return str(
            for_metadata(self.training).get("licence", "not recorded, so research and non-commercial use")
        )

    @property
    def spdx(self) -> str | None:
        """The identifier of the weights' licence, if it is one that allows any use."""
        return spdx_of(self.licence) if self.use == "any" else None

    def evaluations_of(self, kind: str) -> list[dict[str, Any]]:
        """The evaluations of a kind: ``face``, ``detector`` or ``heads``."""
        return [each for each in self.evaluations if each.get("kind") == kind]


def gather(folder: Path, name: str | None = None, tag: str | None = None) -> Facts:
    """Read a model folder.

    Args:
        folder: see ``faceperc.model_folder``.
        name: of the model; the one in its files by default.
        tag: of the training run; the registry's by default.

    Raises:
        ModelError: if it holds no ONNX file, a file that cannot be read, or an evaluation of other weights.
    """
    paths = [folder / file for file in RUNNABLE if (folder / file).is_file()]
    if not paths:
        raise ModelError(
            f"{folder}: holds no {' or '.join(RUNNABLE)}; export the model first: faceperc export"
        )
    hashes = {path: file_sha256(path) for path in paths}
    row = registered(set(hashes.values()))
    files = tuple(
        CardFile(
            path.name,
            hashes[path],
            path.stat().st_size,
            OnnxModel(path, 1).metadata,
            next(
                (each.latency for each in (row.files if row else {}).values() if each.sha256 == hashes[path]),
                None,
            ),
        )
        for path in paths
    )
    metadata = files[0].metadata
    document = read_json(folder / EVALUATION)
    evaluations = tuple(together([document])["evaluations"]) if document else ()
    check_evaluations(folder / EVALUATION, evaluations, [file.metadata for file in files])
    notes = folder / NOTES
    return Facts(
        name or metadata.name,
        tag or (row.tag if row else ""),
        files,
        read_json(folder / TRAINING) or metadata.training,
        read_json(folder / CONFIG),
        evaluations,
        sections(notes.read_text(encoding="utf-8")) if notes.is_file() else {},
        row,
    )


def check_evaluations(
    where: Path, evaluations: Sequence[dict[str, Any]], models: Sequence[ModelMetadata]
) -> None:
    """Raise ModelError if an evaluation measured other weights, or a precision that is not there."""
    known = {(each.weights_sha256, each.raw.get("precision", "fp32")) for each in models}
    for each in evaluations:
        if (each.get("weights_sha256"), each.get("file", {}).get("precision")) not in known:
            raise ModelError(
                f"{where}: holds the figures of another model ({each.get('model')}, file "
                f"{each.get('file', {}).get('name')}); measure this one with 'faceperc eval --groups --json'"
            )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; {} where there is no file.

    Raises:
        ModelError: if the file is damaged.
    """
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not readable ({error})") from error
    if not isinstance(document, dict):
        raise ModelError(f"{path}: holds no JSON object")
    return document


def sections(text: str) -> dict[str, str]:
    """Markdown -> its sections by their headings of the second level; what precedes them is dropped."""
    parts = _HEADING.split(text)
    return {name.strip(): body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def registered(hashes: set[str]) -> ZooModel | None:
    """The registry's row that has a file with one of these hashes."""
    for model in registry():
        if hashes & {file.sha256 for file in model.files.values()}:
            return model
    return None
