"""The service that a page of the documentation starts: a process of its own, on a port that is free."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

#: Where the pages say that the service is.
STATED = "127.0.0.1:8000"

_COMMAND = re.compile(r"^faceperc serve\b.*$", re.MULTILINE)


def split_at_services(text: str) -> list[str]:
    """A shell block in pieces: a line `faceperc serve ...`, which does not end, is a piece of its own."""
    pieces, start = [], 0
    for found in _COMMAND.finditer(text):
        pieces += [text[start : found.start()], found[0]]
        start = found.end()
    return [piece for piece in (*pieces, text[start:]) if piece.strip()]


def is_service(piece: str) -> bool:
    """Whether a piece starts a service."""
    return _COMMAND.fullmatch(piece) is not None


class Service:
    """A running `faceperc serve`.

    Attributes:
        address: host and port.
    """

    def __init__(self, command: str, folder: Path, environment: Mapping[str, str]) -> None:
        """Start it, and wait until it says where it listens."""
        arguments = shlex.split(command, comments=True)[1:]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faceperc.cli", *arguments, "--port", "0"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        found = re.search(r"http://([\d.]+:\d+)", said)
        if found is None:
            self._process.kill()
            raise AssertionError(f"{command}\n{said}{self._process.stdout.read()}")
        self.address = found[1]

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        self._process.terminate()
        self._process.communicate(timeout=60)
