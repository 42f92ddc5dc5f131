"""What the pages of faceperc share: how they are filled in, and the files that they are made of."""

from __future__ import annotations

from importlib import resources

from faceperc.errors import UsageError

try:
    from jinja2 import Environment, StrictUndefined
except ModuleNotFoundError as _error:
    raise UsageError('a report needs the package jinja2: pip install "faceperc[report]"') from _error


def environment() -> Environment:
    """How the pages of faceperc are filled in: everything escaped, and nothing left out in silence."""
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)


def asset(name: str) -> str:
    """A file of this package."""
    return (resources.files(__package__) / name).read_text("utf-8")
