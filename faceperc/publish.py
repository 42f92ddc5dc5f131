"""`faceperc push`: publish a model folder on the Hugging Face Hub.

The folder is checked first, and only the files of the format (``faceperc.model_folder``) are uploaded: never
checkpoints, logs or pictures that lie beside them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faceperc import __version__
from faceperc.errors import FacepercError, ModelError, UsageError
from faceperc.hub import Place, import_client, parse_place, patience
from faceperc.model_folder import (
    CARD,
    CONFIG,
    EVALUATION,
    FILES,
    REFERENCE,
    RUNNABLE,
    TRAINING,
    WEIGHTS,
)
from faceperc.provenance import file_sha256
from faceperc.pull import files_of

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from faceperc.runtime import OnnxModel

_CARD_HINT = (
    "write one that begins with the lines '---', 'license: apache-2.0' (or another; or 'other' with a "
    "'license_name') and '---'"
)


def push(
    folder: Path,
    repo: str,
    *,
    private: bool = False,
    tag: str | None = None,
    branch: str | None = None,
    message: str | None = None,
) -> Place:
    """Check a model folder and upload it as one commit; the repository is made if there is none.

    A file of the format that the folder lacks is removed from the repository, so that what is there is one
    model. Tags are never moved: other people rely on them.

    Args:
        folder: see ``faceperc.model_folder``; with a README.md whose front matter has a license.
        repo: ``org/name``.
        private: make the repository private; refused if it exists and is public.
        tag: a name for this commit, e.g. ``v1``.
        branch: where the commit goes; ``main`` by default.
        message: of the commit.

    Returns:
        The repository at the commit: what ``Predictor`` and ``faceperc pull`` take as text.

    Raises:
        UsageError: if ``repo`` is no ``org/name``.
        ModelError: if the folder is not fit to be published, or the Hub refuses.
    """
    place = parse_place(repo)
    if place is None or place.file or place.revision:
        raise UsageError(f"{repo}: give 'org/name'; branch and tag are arguments of their own")
    import_client()
    check_folder(folder)
    from huggingface_hub import HfApi

    from faceperc.hub_errors import explain

    api = HfApi(library_name="faceperc", library_version=__version__)
    try:
        _prepare(api, repo, private, tag, branch)
        names = [path.name for path in files_of(folder)]
        commit = api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            allow_patterns=names,
            delete_patterns=[name for name in FILES if name not in names],
            commit_message=message or f"Upload a model by faceperc {__version__}",
            revision=branch,
        ).oid
        if tag:
            api.create_tag(repo, tag=tag, revision=commit)
    except FacepercError:
        raise
    except Exception as error:  # the client raises its own, the HTTP library's, Xet's and the system's
        raise explain(error, place, writing=True) from error
    return Place(repo, commit)


def check_folder(folder: Path) -> None:
    """Check that a model folder can be published: that all its files can be read and belong together.

    Raises:
        ModelError: if not; the message names the file and what to do.
    """
    if not Path(folder).is_dir():
        raise ModelError(f"{folder}: no such folder; name the one that 'faceperc release' wrote")
    present = {path.name for path in files_of(folder)}
    if not present & {WEIGHTS, *RUNNABLE}:
        raise ModelError(
            f"{folder}: is no model folder: it has neither {WEIGHTS} nor {' nor '.join(RUNNABLE)}; "
            "'faceperc release' writes one"
        )
    _check_card(folder / CARD)
    documents = {
        name: _read_json(folder / name) for name in (CONFIG, TRAINING, EVALUATION) if name in present
    }
    config = documents.get(CONFIG)
    models = _check_onnx(folder, config)
    if WEIGHTS in present:
        _check_weights(folder / WEIGHTS)
        _check_same_weights(folder / WEIGHTS, config, models)
        if config is None and not any(each.metadata.role == "detector" for each in models):
            raise ModelError(
                f"{folder}: {WEIGHTS} is of no use without {CONFIG}, which is missing; "
                "'faceperc release' writes both"
            )


def _check_card(path: Path) -> None:
    """People must be able to read what the model is, and under which terms."""
    if not path.is_file():
        raise ModelError(f"{path}: there is no model card; {_CARD_HINT}, and say what the model learned from")
    import_client()  # which reads the front matter as the Hub does
    import yaml  # a dependency of the client
    from huggingface_hub import ModelCard

    try:
        text = path.read_text(encoding="utf-8")
        front = ModelCard(text, ignore_metadata_errors=True).data.to_dict() if text.startswith("---") else {}
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise ModelError(f"{path}: its front matter cannot be read ({error}); {_CARD_HINT}") from error
    if not front.get("license"):
        raise ModelError(f"{path}: its front matter names no license; {_CARD_HINT}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise ValueError("no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); save the model again") from error
    return document


def _check_weights(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as weights:  # checks that header and file length agree
            names = list(weights.keys())
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: is no safetensors file ({error}); save the model again") from error
    if not names:
        raise ModelError(f"{path}: holds no weights; save the model again")


def _check_same_weights(path: Path, config: dict[str, Any] | None, models: list[OnnxModel]) -> None:
    """Check that ONNX files were exported from these weights, where they have all of their heads: a file of
    fewer tasks may have been exported without the others' queries, and so of other weights."""
    heads = _heads(config)
    whole = [each for each in models if heads and _heads(each.metadata.raw.get("config")) == heads]
    digest = _weights_sha256(path) if whole else ""
    for model in whole:
        if model.metadata.weights_sha256 != digest:
            raise ModelError(
                f"{model.path}: is of other weights than {path.name}; export the model again into this folder"
            )


def _heads(config: Any) -> set[str]:
    """The tasks that a configuration has heads for."""
    heads = config.get("heads") if isinstance(config, dict) else None
    return set(heads) if isinstance(heads, dict) else set()


def _weights_sha256(path: Path) -> str:
    """``FaceModel.weights_sha256`` of a file, without torch."""
    import numpy as np
    from safetensors import safe_open

    digest = hashlib.sha256()
    with safe_open(path, framework="numpy") as weights:
        for name in sorted(weights.keys()):
            array = weights.get_tensor(name)
            # matrices that a release stores in half precision are float32 in the model
            digest.update(name.encode())
            array = array.astype(np.float32) if array.dtype == np.float16 else array
            digest.update(array.tobytes())
    return digest.hexdigest()


def _check_onnx(folder: Path, config: dict[str, Any] | None) -> list[OnnxModel]:
    """Check the ONNX files against each other, the configuration and the reference set; the files."""
    from faceperc.runtime import OnnxModel
    from faceperc.verify import ReferenceSet

    opened = [OnnxModel(path, 1, "cpu") for name in RUNNABLE if (path := folder / name).is_file()]
    again = "export the model again into this folder"
    for model in opened:
        metadata, first = model.metadata, opened[0].metadata
        if metadata.weights_sha256 != first.weights_sha256:
            raise ModelError(f"{model.path}: is of other weights than {opened[0].path.name}; {again}")
        if (heads := _heads(config)) and (extra := set(metadata.tasks) - heads):
            raise ModelError(
                f"{model.path}: has the tasks {', '.join(sorted(extra))}, which {CONFIG} lacks; {again}"
            )
    path = folder / REFERENCE
    if path.is_file():
        hashes = ReferenceSet.load(path).file_sha256
        for model in opened:
            if hashes and file_sha256(model.path) not in hashes:
                raise ModelError(f"{path}: is not the reference set of {model.path.name}; {again}")
    return opened


def _prepare(api: HfApi, repo: str, private: bool, tag: str | None, branch: str | None) -> None:
    """Make repository and branch where they are missing, and refuse before anything is uploaded."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        there = api.model_info(repo, timeout=patience())
    except RepositoryNotFoundError:
        api.create_repo(repo, private=private or None)
    else:
        if private and not there.private:
            raise ModelError(f"{repo}: is public already; make it private on the Hub, or leave out --private")
        if tag and tag in [each.name for each in api.list_repo_refs(repo).tags]:
            raise ModelError(f"{repo}: has a tag {tag} already, and tags are not moved; choose another")
    if branch:
        api.create_branch(repo, branch=branch, exist_ok=True)
