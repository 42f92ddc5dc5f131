"""`faceperc pull`: the whole folder of a model, from the package or the Hub."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from faceperc.errors import UsageError
from faceperc.hub import Place, fetch, fetch_folder, parse_place
from faceperc.model_folder import FILES, RUNNABLE, WEIGHTS
from faceperc.zoo import folder_with, names, unknown_model


def pull(model: str) -> Path:
    """Get a model's whole folder; what is not here yet comes from the Hub, into the client's cache.

    Args:
        model: a name of the zoo, or ``org/name`` or ``org/name@revision`` on the Hub.

    Returns:
        The folder, see ``faceperc.model_folder``: the package's, or a snapshot in the cache. Change nothing
        in it.

    Raises:
        UnknownModelError: if there is no such name.
        UsageError: if it is a folder on this computer, or names a file.
        ModelError: if a file cannot be had, or is not what it should be.
    """
    if model in names():
        row, _ = names()[model]
        return folder_with(tuple(row.files), row, FILES)
    if Path(model).is_dir():
        raise UsageError(f"{model}: is a folder here already; a pull gets what lies elsewhere")
    if place := parse_place(model):
        if place.file:
            raise UsageError(f"{model}: names a file; a pull takes the whole model: {place.repo}")
        first = fetch(place, (*RUNNABLE, WEIGHTS))
        return fetch_folder(Place(place.repo, first.parent.name), [first.name], FILES)
    raise unknown_model(model, "'org/name' on the Hub")


def files_of(folder: Path) -> list[Path]:
    """The files of a model folder that are there, in the order of ``model_folder``."""
    return [folder / name for name in FILES if (folder / name).is_file()]


def copy_folder(source: Path, target: Path) -> Path:
    """Copy the files of a model folder to a new folder: completely or not at all.

    Raises:
        UsageError: if ``target`` exists already, or cannot be written.
    """
    try:
        check_free(target)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as scratch:
            draft = Path(scratch, target.name)
            draft.mkdir()
            for path in files_of(source):
                shutil.copyfile(path, draft / path.name)  # the bytes, where the cache has a link
            os.replace(draft, target)
    except OSError as error:
        raise UsageError(
            f"{target}: cannot be written: {error.strerror or error}; name another folder"
        ) from error
    return target


def check_free(target: Path) -> None:
    """Check that ``copy_folder`` can write there, before the download.

    Raises:
        UsageError: if not.
    """
    if os.path.lexists(target):
        raise UsageError(f"{target}: exists already; name a new folder")
    if not target.absolute().parent.is_dir():
        raise UsageError(f"{target}: there is no folder {target.parent}; make it first")
