"""Recipes and lists of sources: the user's own, or those that come with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from faceperc._names import nearest, no_such_file
from faceperc.errors import UsageError


def find_config(path: str) -> Path:
    """A configuration file: from the working directory, or `configs/...` from the installed package.

    Raises:
        UsageError: if it is in neither.
    """
    if Path(path).is_file():
        return Path(path)
    folder, *rest = Path(path).parts or ("",)
    shipped = Path(str(resources.files("faceperc.configs"))).joinpath(*rest)
    if folder == "configs" and shipped.is_file():
        return shipped
    what, known = "configuration file", Path(str(resources.files("faceperc.configs")))
    shipped_names = [f"configs/{each.relative_to(known).as_posix()}" for each in known.rglob("*.yaml")]
    near = nearest(path, shipped_names) if folder == "configs" else None
    hint = f"no such {what}; did you mean {near}?" if near else no_such_file(path, what)
    raise UsageError(f"{path}: {hint}")
