"""What commands print beside their tables."""

from __future__ import annotations

import json
import sys
from typing import Any

from faceperc._files import write_file


def write_json(target: str, document: dict[str, Any]) -> None:
    """Write a document to a file; "-" is standard output."""
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    if target == "-":
        sys.stdout.write(text)
    else:
        write_file(target, text.encode("ascii"))


def complain(what: Exception | str) -> None:
    """One line on standard error."""
    print(f"faceperc: {what}", file=sys.stderr)
