"""How something was made: the command, the source tree, the packages, the day. For published records."""

from __future__ import annotations

import datetime
import hashlib
import re
import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

#: The packages whose versions a training's result depends on.
PACKAGES = ("faceperc", "torch", "timm", "lightning", "numpy", "albumentations", "opencv-python-headless")

_TREE = Path(__file__).resolve().parents[1]
_HIDDEN = "***"
#: An absolute path within other text, such as a list in YAML; no part of an address or a relative path.
_PATH = re.compile(r"(?<![\w.:/~-])/[^\s'\",:;\[\](){}]+")


def command_line(command: str, args: Sequence[str]) -> str:
    """``faceperc COMMAND ARGS`` as one would type it, without what ``publishable`` takes out."""
    words, secret = [], False
    for arg in args:
        option, equals, value = arg.partition("=") if arg.startswith("--") else ("", "", arg)
        if option:
            secret = _is_secret(option)
        words.append(option + equals + (_HIDDEN if secret and value else publishable(value)))
    return shlex.join(["faceperc", command, *words])


def publishable(value: Any) -> Any:
    """Text, or a configuration of lists and mappings, without what is nobody else's business: of an absolute
    path below the current folder the part from there on is left, of any other its last name; passwords in
    addresses, and what is called a key, password, secret or token, are taken out."""
    if isinstance(value, Mapping):
        return {
            key: _HIDDEN if isinstance(each, str) and each and _is_secret(key) else publishable(each)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [publishable(each) for each in value]
    if not isinstance(value, str):
        return value
    if Path(value).is_absolute():
        return _short(value)
    text = _PATH.sub(lambda found: _short(found[0]), value)
    return re.sub(r"://[^/@\s]+@", "://", text)


def _short(path: str) -> str:
    """``/home/jane/faces.csv`` -> ``.../faces.csv``, or ``faces.csv`` where ``/home/jane`` is the current
    folder and not the whole disk."""
    here = Path.cwd()
    if here != Path(here.anchor) and Path(path).is_relative_to(here):
        return Path(path).relative_to(here).as_posix()
    return f".../{Path(path).name}"


def _is_secret(name: object) -> bool:
    return re.search(r"api.?key|password|secret|(^|[-_.])token$", str(name), re.IGNORECASE) is not None


def source_tree() -> dict[str, Any] | None:
    """``commit`` of the checkout that this package runs from, and whether files were changed since
    (``dirty``); None where it was installed, or git is missing."""
    if not (_TREE / ".git").exists():
        return None
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def package_versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of the packages that are installed."""
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def today() -> str:
    """The date, ISO 8601, in UTC."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git(*words: str) -> str:
    command = ["git", "-C", str(_TREE), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
