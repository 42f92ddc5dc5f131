"""What `faceperc predict --out` does."""

from __future__ import annotations

import sys
from typing import Any

from faceperc.batch.job import predict_files

STOPPED = 130  # the exit code of a program that Ctrl-C ended


def run(inputs: list[str], out: str, *, masks: str | None, **options: Any) -> int:
    """Work off a job.

    Returns:
        0 if all is done, 1 if images failed, 130 if Ctrl-C ended it.

    Raises:
        FacepercError: as ``predict_files``.
    """
    try:
        tally = predict_files(inputs, out, masks=masks or "png", **options)
    except KeyboardInterrupt:
        print(f"faceperc: stopped; what was done is in {out}.part, the same command goes on", file=sys.stderr)
        return STOPPED
    return 1 if tally.failed else 0
