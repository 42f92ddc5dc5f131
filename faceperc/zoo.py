"""Names of models -> files; and the bundled picture.

A model is named by a row of the registry, by a path, or by its place on the Hub.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from faceperc._names import unknown_name
from faceperc.errors import ModelError, UsageError
from faceperc.hub import Place, cached, fetch, fetch_folder, parse_place
from faceperc.model_folder import CONFIG, ONNX, ONNX_INT8, RUNNABLE, TRAINING, WEIGHTS, runnable_file
from faceperc.registry import INT8, ModelFile, ZooModel, registry

__all__ = [
    "DEFAULT_DETECTOR",
    "DEFAULT_MODEL",
    "ModelFile",
    "UnknownModelError",
    "ZooModel",
    "find_model",
    "find_weights",
    "folder_with",
    "list_models",
    "list_tasks",
    "model_info",
    "names",
    "registry",
    "sample_image",
    "unknown_model",
    "whereabouts",
]

DEFAULT_MODEL = "faceperc-nano"
DEFAULT_DETECTOR = "detector-nano"


class UnknownModelError(ModelError, UsageError):
    """A name that is neither a model of the zoo, nor a path, nor a place on the Hub."""


def names() -> dict[str, tuple[ZooModel, str]]:
    """Every name that ``find_model`` takes -> its model and file: ``name``, ``name.tag``, and both with
    ``-int8`` behind the name where there is such a file beside another."""
    found: dict[str, tuple[ZooModel, str]] = {}
    for model in registry():
        files = {model.name: _plain_file(model)}
        if {ONNX, ONNX_INT8} <= model.files.keys():
            files[model.name + INT8] = ONNX_INT8
        for name, file in files.items():
            found.setdefault(name, (model, file))
            found[f"{name}.{model.tag}"] = (model, file)
    return found


def find_model(model: str | os.PathLike[str]) -> Path:
    """The ONNX file of a model. What lies on the Hub is downloaded, and stays in the Hub client's cache.

    Args:
        model: a name of the zoo (``faceperc-nano``, ``faceperc-nano-int8``, ``faceperc-nano.v2``), the path
            of an ONNX file or of a model folder, or a place on the Hub: ``org/name``, ``org/name@revision``,
            ``org/name/model_int8.onnx@revision``.

    Raises:
        UnknownModelError: if it is none of these; the message suggests the nearest name.
        ModelError: if the model is known, but its file cannot be had.
    """
    if row := _row(model):
        return _file_of(*row)
    path = Path(model)
    if path.is_dir():
        return runnable_file(path)
    if path.is_file() or not isinstance(model, str):
        return path
    if place := parse_place(model):
        return fetch(place, place.file or RUNNABLE)
    if path.suffix.lower() == ".onnx":
        return path  # whoever opens it says that it is missing
    raise unknown_model(model, "the path of an .onnx file or a model folder, or 'org/name' on the Hub")


def find_weights(model: str | os.PathLike[str]) -> Path:
    """The folder of a model's weights, to train on or to export: ``model.safetensors``, ``config.json``, and
    ``training.json``, which says what they learned from and under which licence.

    Args:
        model: as for ``find_model``, but no ONNX file.

    Raises:
        UnknownModelError: if there is no such model or folder.
        UsageError: if it is a file.
        ModelError: if its weights cannot be had.
    """
    if row := _row(model):
        record = [TRAINING] if TRAINING in row[0].files else []
        return folder_with([WEIGHTS, CONFIG, *record], row[0])
    path = Path(model)
    if path.is_dir() or not isinstance(model, str):
        return path
    if path.exists():
        raise UsageError(f"{model}: is a file; name the folder that holds {WEIGHTS} and {CONFIG}")
    if (place := parse_place(model)) and place.file is None:
        # with the record, where there is one: the terms of its sources hold for what is trained from it
        return fetch_folder(place, (WEIGHTS, CONFIG), (TRAINING,))
    raise unknown_model(model, "a model folder, or 'org/name' on the Hub")


def folder_with(files: Sequence[str], model: ZooModel, welcome: Sequence[str] = ()) -> Path:
    """A folder with released files of a model: the package's if all of them came with it, or else the Hub's;
    never some from here and some from there.

    Args:
        files: their names.
        model: a row of the registry.
        welcome: what else is fetched with them where the Hub has it.

    Raises:
        ModelError: if a file is not released, was changed, or cannot be had.
    """
    if model.files and all(model.bundled(file) for file in files):
        return model.folder
    hashes = {file: entry.sha256 for file, entry in model.files.items() if file in files}
    return fetch_folder(_place_of(model, files), files, welcome, hashes)


def whereabouts(model: ZooModel, file: str) -> tuple[str, Path | None]:
    """Where a file of the zoo is, without asking the network, and its path if it is on this computer.

    Returns:
        ``in the package``, ``cached``, ``on the Hub``, ``in a checkout`` (not published yet, but in the
        source tree), ``missing``, ``changed`` (in the package, but not the released one) or, where nothing is
        released, ``recipe``.
    """
    if file not in model.files:
        return "recipe", None
    if path := model.bundled(file):
        return "in the package", path
    if _is_changed(model, file):
        return "changed", None
    if model.repo is None:
        return "missing", None
    path = cached(Place(model.repo, model.revision), file, model.files[file].sha256)
    if path is not None:
        return "cached", path
    return ("on the Hub" if model.published else "in a checkout"), None


def model_info(model: str) -> ZooModel:
    """What the registry says about a model of the zoo: figures, licence, files, and what it learned from.

    Args:
        model: a name of the zoo, e.g. ``faceperc-nano`` or ``faceperc-nano.v2``.

    Raises:
        UnknownModelError: if there is no such name.
    """
    row = _row(model)
    if row is None:
        raise unknown_model(model)
    return row[0]


def list_models() -> list[str]:
    """Names of the face models that ``Predictor`` knows, without their tags."""
    return [
        name for name, (model, file) in names().items()
        if model.role == "face" and "." not in name and file in model.files
    ]  # fmt: skip


def list_tasks(model: str | os.PathLike[str] = DEFAULT_MODEL) -> list[str]:
    """Names of the tasks of a model.

    Args:
        model: see ``find_model``.

    Raises:
        ModelError: if there is no such model, or it cannot be opened.
    """
    from faceperc.runtime import OnnxModel

    return list(OnnxModel(find_model(model), threads=1).metadata.tasks)


def sample_image() -> Path:
    """Path of the bundled photograph (512 x 512, one face; see faceperc/samples/README.md)."""
    return Path(__file__).parent / "samples" / "astronaut.jpg"


def _plain_file(model: ZooModel) -> str:
    """The ONNX file that a name without ``-int8`` opens."""
    return ONNX_INT8 if ONNX_INT8 in model.files and ONNX not in model.files else ONNX


def _row(model: str | os.PathLike[str]) -> tuple[ZooModel, str] | None:
    """The model and file that a name of the zoo stands for."""
    return names().get(model) if isinstance(model, str) else None


def _file_of(model: ZooModel, file: str) -> Path:
    """A file of the zoo: the package's, or else the Hub's, which must be the released one."""
    return model.bundled(file) or fetch(_place_of(model, [file]), file, model.files[file].sha256)


def _place_of(model: ZooModel, files: Sequence[str]) -> Place:
    """Where on the Hub the files are that did not come with the package.

    Raises:
        ModelError: if they are not there, or if the package has them with other bytes: somebody's changes, or
            damage, must not lead to a download that nobody asked for.
    """
    unreleased = [file for file in files if file not in model.files] if model.files else ["files"]
    if unreleased:
        hint = f"train it: {model.recipe}" if model.recipe else "'faceperc models' lists what is here"
        raise ModelError(f"{model.full_name}: has no released {unreleased[0]}; {hint}")
    for file in files:
        if _is_changed(model, file):
            raise ModelError(
                f"{model.folder / file}: was changed or damaged: it is not the released file of "
                f"{model.full_name}; reinstall faceperc, or give its path instead of the name"
            )
    if model.repo is None:
        raise ModelError(
            f"{model.full_name}: {' and '.join(files)} did not come with this installation, and it is not on "
            "the Hub; reinstall faceperc, or pass another model"
        )
    return Place(model.repo, model.revision)


def _is_changed(model: ZooModel, file: str) -> bool:
    """Whether the package has a file of this name that is no tag's."""
    tags = (row for row in registry() if row.folder == model.folder)
    return (model.folder / file).is_file() and not any(row.bundled(file) for row in tags)


def unknown_model(model: str, otherwise: str = "") -> UnknownModelError:
    """The error for a name that nothing has: it names the tags of a known model, or the nearest name."""
    plain = [name for name in names() if "." not in name]
    name, _, tag = model.partition(".")
    if tag and name in plain:
        tags = [each.removeprefix(f"{name}.") for each in names() if each.startswith(f"{name}.")]
        return UnknownModelError(f"unknown tag {tag!r} of {name}; it has: {', '.join(tags)}")
    text = unknown_name("model", model, plain)
    return UnknownModelError(f"{text}. Or give {otherwise}" if otherwise else text)
