"""Write a file completely or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

from faceperc.errors import UsageError

#: What to do about an error of the system.
_ADVICE = {
    errno.ENOSPC: "; make room, or write to another disk",
    errno.EDQUOT: "; make room, or write to another disk",
    errno.EACCES: "; name a place where you may write",
    errno.EROFS: "; name a place where you may write",
    errno.ENOENT: "; make the folder first",
    errno.ENOTDIR: "; name a file in a folder",
    errno.ENAMETOOLONG: "; choose a shorter name",
}


def write_file(path: str | Path, data: bytes, *, durable: bool = False) -> Path:
    """Write under a temporary name in the same folder, then rename: no reader ever sees half a file.

    A link stays, and what it points to is written. What is no file, such as a pipe or ``/dev/null``, is
    written to and never replaced.

    Args:
        path: the file.
        data: all that it is to hold.
        durable: see ``Draft.finish``.

    Raises:
        UsageError: if the folder is missing or not writable, or ``path`` is a folder.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            target.write_bytes(data)
            return Path(path)
        draft = Draft(path)
        try:
            draft.path.write_bytes(data)
            draft.finish(durable=durable)
        finally:
            draft.discard()
    except UsageError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _refusal(path, error) from error
    return Path(path)


class Draft:
    """A file that grows under a temporary name in the folder where it is to stand.

    Attributes:
        path: where to write until it is finished.
    """

    def __init__(self, path: str | Path, scratch: Path | None = None) -> None:
        """Make room for a file.

        Args:
            path: the file.
            scratch: a folder on the same disk where the draft is to grow, if not beside the file.

        Raises:
            UsageError: if the folder is missing or not writable.
        """
        try:
            self._target = Path(os.path.realpath(path))
            # a folder of its own: the name is free and short, and the file gets the mode of any new file
            self._scratch = tempfile.TemporaryDirectory(dir=scratch or self._target.parent, prefix=".")
        except (OSError, ValueError) as error:
            raise _refusal(path, error) from error
        self.path = Path(self._scratch.name, "draft")

    def finish(self, *, durable: bool = False) -> None:
        """Give the file its name.

        Args:
            durable: first wait until its data is on the disk, so that it is whole after a power cut too.

        Raises:
            UsageError: if it cannot be renamed.
        """
        try:
            if durable:
                with self.path.open("rb") as file:
                    os.fsync(file.fileno())
            if self._target.exists():
                shutil.copymode(self._target, self.path)
            os.replace(self.path, self._target)
        except OSError as error:
            raise _refusal(self._target, error) from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what was not finished."""
        self._scratch.cleanup()


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


def check_json_target(path: str | Path | None) -> None:
    """As ``check_target``, of a file of JSON: it replaces no file of another kind, such as a photograph that
    stands where the name of the JSON file was forgotten. None, and "-" for standard output, are no file.

    Raises:
        UsageError: if ``check_target`` does, or there is a file that is not empty and does not begin as
            JSON does.
    """
    if path is None or path == "-":
        return
    check_target(path)
    if not Path(path).is_file():
        return
    try:
        with Path(path).open("rb") as file:
            start = file.read(1)
    except OSError as error:
        raise _refusal(path, error) from error
    if start not in (b"", b"{", b"["):
        raise UsageError(f"{path}: is there and holds no JSON, so it is not replaced; name another file")


def check_kind(path: str | Path | None, *suffixes: str) -> None:
    """As ``check_target``, of a file whose name tells its kind: no file of another kind is replaced.

    Args:
        path: the file; None is none.
        suffixes: what the names of its kind end in, e.g. ``".onnx"``.

    Raises:
        UsageError: if ``check_target`` does, or a file is there whose name ends otherwise.
    """
    if path is None:
        return
    check_target(path)
    if Path(path).is_file() and not Path(path).name.lower().endswith(suffixes):
        raise UsageError(
            f"{path}: is there and is no {' or '.join(suffixes)} file, so it is not replaced; name another"
        )


def make_folder(path: str | Path) -> None:
    """Make a folder, and those that it is in, where they are missing.

    Raises:
        UsageError: if it cannot be made, or a file is in the way.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path}: cannot be made: {getattr(error, 'strerror', None) or error}; name another folder"
        ) from error


def _refusal(path: str | Path, error: OSError | ValueError) -> UsageError:
    advice = _ADVICE.get(getattr(error, "errno", None) or 0, "")
    return UsageError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}{advice}")
