"""The code blocks of a Markdown page, and why those that are not run are not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]

#: `<!-- not run: REASON -->` right before a block. A reason that is not here is none.
REASONS = {
    "in another language",
    "installs packages",
    "needs a browser",
    "needs a camera",
    "needs a compiler",
    "needs a data set that its authors give",
    "needs a cluster",
    "needs a GPU",
    "needs OpenVINO",
    "needs TensorRT",
    "needs the network",
    "takes hours",
    "takes minutes",
}

_COMMENT = re.compile(r"<!-- (not run|file): (.+?) -->")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: of the repository.
        line: of its first line of code, from 1.
        language: what stands behind the fence.
        text: its lines.
        reason: why it is not run, or None.
        file: the file that it is the text of (`<!-- file: NAME -->` right before it), or None.
    """

    page: Path
    line: int
    language: str
    text: str
    reason: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[str]:
        """The lines of a shell block, those that go on joined."""
        return [line for line in self.text.replace("\\\n", " ").splitlines() if line.strip()]


def pages() -> list[Path]:
    """All pages whose blocks are the readers' to copy."""
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "MODEL_CARD.md")]
    cards = sorted((ROOT / "faceperc/models").glob("*/README.md"))
    return [*top, *cards, *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    tokens = MarkdownIt().parse(page.read_text())
    blocks = []
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type != "fence":
            continue
        comment = _COMMENT.search(before.content) if before and before.type == "html_block" else None
        said = {comment[1]: comment[2]} if comment else {}
        assert token.map is not None
        line, language = token.map[0] + 2, token.info.strip()
        blocks.append(Block(page, line, language, token.content, said.get("not run"), said.get("file")))
    return blocks
