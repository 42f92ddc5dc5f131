"""The images of a job: files, folders and patterns that a user names -> one path after another."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path

from faceperc.errors import UsageError

#: How the names of images end in a folder. A file that is named itself is tried whatever its name.
SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".heif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm"}
    | {".tif", ".tiff", ".webp"}
)


@dataclass(frozen=True)
class Input:
    """One image of a job.

    Attributes:
        path: of the file.
        error: why it cannot be read, where that is known already, or None.
    """

    path: str
    error: str | None = None


def find_images(names: Iterable[str | os.PathLike[str]]) -> Iterator[Input]:
    """The images that are named, each once.

    Args:
        names: files, folders, or patterns such as ``photos/**/*.jpg``, which stand for the files and folders
            that they fit. Of a folder it is all files below it whose names end as those of images do, in the
            order of their names; what is hidden is left out, and links to folders are not followed.

    Returns:
        The images. A folder below one that is named which cannot be read is one with an ``error``.

    Raises:
        UsageError: if a folder that is named has no image, or a pattern fits nothing.
    """
    seen: set[str] = set()
    # a pattern follows links to folders, also in circles; links to files are images of their own
    real_folder = lru_cache(maxsize=1024)(os.path.realpath)
    for each in names:
        name = os.fspath(each)
        count = 0
        for found in _images_of(name):
            count += 1
            folder, file = os.path.split(os.path.abspath(found.path))
            place = os.path.join(real_folder(folder), file)
            if place not in seen:
                seen.add(place)
                yield found
        if not count and os.path.isdir(name):
            endings = ", ".join(sorted(SUFFIXES))
            raise UsageError(f"{name}: holds no image, that is no file whose name ends in {endings}")
        if not count:
            raise UsageError(f"{name}: no file fits this pattern; check it")


def read_list(source: str) -> list[str]:
    """The names in a text file, one per line; empty lines are left out.

    Args:
        source: the file, or ``-`` for standard input.

    Raises:
        UsageError: if it cannot be read.
    """
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"{source}: the list cannot be read: {error.strerror or error}") from error
    # as the names of files come from the system: also those that are no UTF-8
    return [line.decode("utf-8", "surrogateescape") for line in data.splitlines() if line.strip()]


def shown(path: str) -> str:
    """A path as text for files: bytes of a name that are no UTF-8 are written as ``\\xff``."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _images_of(name: str) -> Iterator[Input]:
    if not os.path.lexists(name) and glob.has_magic(name):
        found = sorted(glob.iglob(name, recursive=True))
        if found or not {*"*?"}.isdisjoint(name):  # else it may be a file that is gone, such as "me [2].jpg"
            return chain.from_iterable(map(_named, found))
    return _named(name)


def _named(name: str) -> Iterator[Input]:
    """A folder's images, or the file; whoever reads it says so if it is missing."""
    return _in_folder(name) if os.path.isdir(name) else iter([Input(name)])


def _in_folder(folder: str) -> Iterator[Input]:
    unreadable: list[OSError] = []
    for place, folders, files in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for file in sorted(files):
            if not file.startswith(".") and os.path.splitext(file)[1].lower() in SUFFIXES:
                yield Input(os.path.join(place, file))
    for error in unreadable:
        reason = f"{error.filename}: the folder cannot be read: {error.strerror or error}"
        yield Input(str(error.filename), reason)
