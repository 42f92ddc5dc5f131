"""Write a file completely or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from faceperc.errors import UsageError


def write_file(path: str | Path, data: bytes) -> Path:
    """Write under a temporary name in the same folder, then rename: no reader ever sees half a file.

    Raises:
        UsageError: if the folder is missing or not writable, or ``path`` is a folder.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path
