"""Calls into the training half, which may not be installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

from faceperc.errors import UsageError

T = TypeVar("T")


def run_training(command: str, module: str, run: Callable[[ModuleType], T]) -> T:
    """Call into a module of the training half, which may not be installed."""
    try:
        return run(importlib.import_module(module))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "faceperc":
            raise UsageError(f"'{command}' is not in this installation, which lacks {error.name}") from error
        raise UsageError(
            f"'{command}' needs the package {error.name}; install the training extra: "
            'pip install "faceperc[cpu,train]"'
        ) from error
