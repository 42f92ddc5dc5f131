"""What a service allows and how it works, checked once at its start."""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass, field
from pathlib import Path

from faceperc._cores import cores
from faceperc.errors import UsageError

MAX_BATCH = 8
KEY_VARIABLE = "FACEPERC_API_KEY"


@dataclass(frozen=True)
class Options:
    """Limits and workings of a service.

    Attributes:
        workers: batches that are worked on at once.
        max_batch: most images in a batch.
        max_wait: seconds that a worker waits for a batch to fill once it has an image; 0 takes what is there.
        queue: requests that may be in progress, from their first byte to their answer; more are refused.
        deadline: seconds from the beginning of a request until it is given up.
        max_bytes: largest image file.
        max_pixels: largest image.
        max_faces: faces of an image that are looked at, those with the highest scores.
        key: what requests must show, or None for a service that answers anybody.
        origins: origins whose pages may use the service from a browser, such as ``https://example.org``.
    """

    workers: int = field(default_factory=cores)
    max_batch: int = MAX_BATCH
    max_wait: float = 0.0
    queue: int = 64
    deadline: float = 10.0
    max_bytes: int = 20_000_000
    max_pixels: int = 25_000_000
    max_faces: int = 100
    key: str | None = field(default=None, repr=False)
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            UsageError: if a number is out of range or the key unusable.
        """
        for name in ("workers", "max_batch", "queue", "max_bytes", "max_pixels", "max_faces"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name.replace('_', '-')} is 1 or more; got {getattr(self, name)}")
        if not 0 <= self.max_wait <= 10:
            raise UsageError(f"max-wait lies in 0 to 10 seconds; got {self.max_wait:g}")
        if not 0 < self.deadline <= 3600:
            raise UsageError(f"deadline is more than 0 and at most 3600 seconds; got {self.deadline:g}")
        if self.key is not None:
            _check_key(self.key, "the key")

    def accepts(self, key: str) -> bool:
        """Whether a request with this key may be answered; takes the same time for each wrong one."""
        return self.key is None or hmac.compare_digest(key.encode(), self.key.encode())


def read_key(file: Path | None) -> str | None:
    """The key in the file, else in the environment variable FACEPERC_API_KEY; None if neither is given.

    It is no option of the command line because every user of a computer can list those.

    Raises:
        UsageError: if the file cannot be read or a key is unusable.
    """
    if file is None:
        given = os.environ.get(KEY_VARIABLE)
        return None if given is None else _check_key(given.strip(), KEY_VARIABLE)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no text"
        raise UsageError(f"{file}: cannot be read: {reason}; write the key into it, one line") from error
    return _check_key(text.strip(), str(file))


def _check_key(key: str, name: str) -> str:
    if len(key) < 16 or not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(
            f"{name} is at least 16 characters of ASCII without spaces; "
            "make one with: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return key
