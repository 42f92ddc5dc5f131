"""What `faceperc predict --out` does."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

from faceperc.batch.job import predict_files
from faceperc.batch.store import folder_of

#: The exit codes of a program that a signal ended: Ctrl-C, and what ends services and containers.
STOPPED = {signal.SIGINT: 130, signal.SIGTERM: 143}


def run(inputs: list[str], out: str, *, masks: str | None, **options: Any) -> int:
    """Work off a job.

    Returns:
        0 if all is done, 1 if images failed, 130 if Ctrl-C ended it, 143 if SIGTERM did.

    Raises:
        FacepercError: as ``predict_files``.
    """
    cause = signal.SIGINT

    def stop(*_: object) -> None:
        nonlocal cause
        cause = signal.SIGTERM
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        tally = predict_files(inputs, out, masks=masks or "png", **options)
    except KeyboardInterrupt:
        folder = folder_of(Path(out))
        print(f"faceperc: stopped; what was done is in {folder}, the same command goes on", file=sys.stderr)
        return STOPPED[cause]
    finally:
        signal.signal(signal.SIGTERM, before)
    return 1 if tally.failed else 0
