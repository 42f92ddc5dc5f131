"""The page at /, in one file, and the policy that lets nothing else run in it."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files


def page() -> tuple[bytes, str]:
    """The page, and its Content-Security-Policy: only its own script and style, by their SHA-256."""
    html = files("faceperc.serve").joinpath("page.html").read_text(encoding="utf-8")
    script, style = (_hash(html, tag) for tag in ("script", "style"))
    policy = (
        f"default-src 'none'; script-src '{script}'; style-src '{style}'; img-src blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html.encode(), policy


def _hash(html: str, tag: str) -> str:
    content = re.search(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    assert content is not None
    return f"sha256-{base64.b64encode(hashlib.sha256(content[1].encode()).digest()).decode()}"
