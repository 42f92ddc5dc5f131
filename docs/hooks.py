"""What mkdocs does not do by itself: pages of files outside docs/, and links to them.

The pages are read in the repository, too, where a link to `../CONTRIBUTING.md` is right. On the site the page
is `contributing.md`; a source file that a page links to becomes a page that shows it. Links to what does not
exist stay as they are, and mkdocs complains.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

#: Files of the repository that are pages of the site.
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "MODEL_CARD.md": "model-card.md",
    "README.md": "index.md",
    **{
        path.relative_to(ROOT).as_posix(): f"cards/{path.parent.name}.md"
        for path in ROOT.glob("faceperc/models/*/README.md")
    },
}

LANGUAGES = {".py": "python", ".yaml": "yaml", ".json": "json", ".cpp": "cpp"}

_LINK = re.compile(r"(\]\()([^)\s:#]+)(#[^)\s]*)?(?=\))")
_HEADER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)  # a model card's, for the Hub


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of files outside docs/: those of PAGES, and whatever a page links to."""
    sources = {PAGES_BACK.get(file.src_uri, f"docs/{file.src_uri}") for file in files.documentation_pages()}
    files.append(File.generated(config, "icon.svg", abs_src_path=str(ROOT / "web/icon.svg")))
    pending = sorted(sources | set(PAGES) - {"README.md"})
    seen = set(pending)
    while pending:
        source = pending.pop()
        target = page_of(source)
        if files.get_file_from_path(target) is None:
            files.append(File.generated(config, target, content=text_of(source)))
        if source.endswith((".md", ".ipynb")):
            linked = {path for path in linked_files(source) if path not in seen}
            seen |= linked
            pending += sorted(linked)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files outside docs/ into links to their pages."""
    here = page.file.src_uri
    return _LINK.sub(lambda link: _moved(link, here), markdown)


def page_of(source: str) -> str:
    """Where on the site a file of the repository is: ``configs/a.yaml`` -> ``files/configs/a.yaml.md``."""
    if source.startswith("docs/"):
        return source.removeprefix("docs/")
    return PAGES.get(source, f"files/{source}.md")


def text_of(source: str) -> str:
    """A file of the repository as a page."""
    text = (ROOT / source).read_text()
    match Path(source).suffix:
        case ".md":
            return _HEADER.sub("", text)
        case ".ipynb":
            return "\n\n".join(_cell(cell) for cell in json.loads(text)["cells"])
        case suffix:
            return f"# {source}\n\n````{LANGUAGES.get(suffix, 'text')}\n{text}````\n"


def linked_files(source: str) -> set[str]:
    """The files of the repository, outside docs/, that a page links to."""
    links = (_resolve(link[2], source) for link in _LINK.finditer(text_of(source)))
    return {path for path in links if not path.startswith("docs/") and (ROOT / path).is_file()}


def _moved(link: re.Match[str], here: str) -> str:
    source = PAGES_BACK.get(here, here.removeprefix("files/").removesuffix(".md"))
    if source == here.removesuffix(".md"):
        source = f"docs/{here}"
    path = _resolve(link[2], source)
    if not (ROOT / path).is_file():
        return link[0]
    target = posixpath.relpath(page_of(path), posixpath.dirname(here) or ".")
    return f"{link[1]}{target}{link[3] or ''}"


def _resolve(link: str, source: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _cell(cell: dict[str, Any]) -> str:
    """A notebook's cell with what it printed, as Markdown; pictures are left out."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    printed = [
        "".join(output.get("text") or output.get("data", {}).get("text/plain") or "")
        for output in cell["outputs"]
        if "image/png" not in output.get("data", {})
    ]
    blocks = [("python", source), *(("text", text.rstrip("\n")) for text in printed if text.strip())]
    return "\n\n".join(f"````{language}\n{text}\n````" for language, text in blocks)


#: Page -> the file outside docs/ that it is made from. index.md is a file of its own, not the README.
PAGES_BACK = {page: source for source, page in PAGES.items() if source != "README.md"}
