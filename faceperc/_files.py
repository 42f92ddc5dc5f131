"""Write a file completely or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from faceperc.errors import UsageError


def write_file(path: str | Path, data: bytes) -> Path:
    """Write under a temporary name in the same folder, then rename: no reader ever sees half a file.

    A link stays, and what it points to is written. What is no file, such as a pipe or ``/dev/null``, is
    written to and never replaced.

    Raises:
        UsageError: if the folder is missing or not writable, or ``path`` is a folder.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            target.write_bytes(data)
            return Path(path)
        # a folder of its own: the name is free and short, and the file gets the mode of any new file
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as scratch:
            draft = Path(scratch, "draft")
            draft.write_bytes(data)
            if target.exists():
                shutil.copymode(target, draft)
            os.replace(draft, target)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _refusal(path, error) from error
    return Path(path)


def check_target(path: str | Path) -> None:
    """Check that ``write_file`` can write there, before the work whose result is to be written.

    Raises:
        UsageError: if the folder is missing or not writable, or ``path`` is a folder.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise IsADirectoryError("is a folder; name a file in it")
        if not target.parent.is_dir():
            raise FileNotFoundError("there is no such folder; make it first")
        if not os.access(target if target.exists() and not target.is_file() else target.parent, os.W_OK):
            raise PermissionError("permission denied")
    except (OSError, ValueError) as error:
        raise _refusal(path, error) from error


def _refusal(path: str | Path, error: OSError | ValueError) -> UsageError:
    return UsageError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}")
