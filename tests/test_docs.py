"""The documentation's site: built without a warning, links lead somewhere, nothing is from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from doc_blocks import ROOT
from markdown_it import MarkdownIt

import faceperc
from faceperc import errors, kinds

pytest.importorskip("material", reason="needs mkdocs-material")
pytest.importorskip("mkdocstrings", reason="needs mkdocstrings")


@dataclass
class Seen(HTMLParser):
    """What a page refers to."""

    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    tags: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attributes)
        self.anchors.update(filter(None, (values.get("id"), values.get("name"))))
        if tag == "a" and values.get("href"):
            self.links.append(str(values["href"]))
        for key in ("src", "srcset", "data", "poster"):
            if values.get(key):
                self.loaded.append(str(values[key]))
        if tag == "link" and values.get("rel") not in {"canonical", "next", "prev"}:
            self.loaded.append(values.get("href") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def seen(site: Path) -> dict[Path, Seen]:
    """What is on each page, but for the one that stands for pages that do not exist."""
    found = {}
    for path in sorted(site.rglob("*.html")):
        if path.name != "404.html":
            found[path] = Seen()
            found[path].feed(path.read_text())
    return found


def test_every_link_and_picture_is_there(site: Path, seen: dict[Path, Seen]) -> None:
    broken = []
    for page, found in seen.items():
        for link in (*found.links, *found.loaded):
            parts = urlsplit(link)
            if parts.scheme in {"http", "https", "mailto"}:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                broken.append(f"{page.relative_to(site)}: {link}")
            elif parts.fragment and target.suffix == ".html":
                anchors = seen[target].anchors if target in seen else set()
                if parts.fragment not in anchors:
                    broken.append(f"{page.relative_to(site)}: {link}: no such anchor")
    assert not broken, "\n".join(broken)


def test_no_page_loads_anything_from_another_host(site: Path, seen: dict[Path, Seen]) -> None:
    elsewhere = re.compile(r"(https?:)?//")
    for page, found in seen.items():
        foreign = [link for link in found.loaded if elsewhere.match(link)]
        assert not foreign, f"{page.relative_to(site)}: {foreign}"
    imported = re.compile(r"""@import|url\(["']?(https?:)?//""")
    for path in site.rglob("*.css"):
        assert not imported.search(path.read_text()), path


def test_the_public_names_have_their_place_in_the_reference(seen: dict[Path, Seen]) -> None:
    anchors = set().union(*(found.anchors for path, found in seen.items() if path.parent.name == "api"))
    names = [f"faceperc.{name}" for name in faceperc.__all__]
    names += [f"{kind.__module__}.{kind.__name__}" for kind in kinds.KINDS.values()]
    names += [
        f"faceperc.errors.{name}"
        for name in vars(errors)
        if name not in faceperc.__all__ and name.endswith("Error")
    ]
    assert not sorted(set(names) - anchors)


def test_the_site_shows_what_the_pages_have(site: Path, seen: dict[Path, Seen]) -> None:
    """Markdown has dialects: what is a list or a table in the repository must be one on the site."""
    wanted = {"table_open": "table", "bullet_list_open": "ul", "ordered_list_open": "ol"}
    for page in (ROOT / "docs").rglob("*.md"):
        path = site / page.relative_to(ROOT / "docs").with_suffix(".html")
        if page.parent.name == "api":  # docstrings have tables and lists of their own
            continue
        tokens = [token.type for token in MarkdownIt().enable("table").parse(page.read_text())]
        article = Seen()
        article.feed(re.search(r"<article.*?</article>", path.read_text(), re.DOTALL)[0])  # type: ignore[index]
        for token, tag in wanted.items():
            assert article.tags.count(tag) == tokens.count(token), f"{page}: {tag}"


def test_pictures_of_the_tasks_are_small_and_complete() -> None:
    folder = ROOT / "docs/pictures"
    names = {path.stem for path in folder.glob("*.jpg")}
    assert names == {*faceperc.list_tasks(), "detection"}
    assert all(path.stat().st_size < 100_000 for path in folder.iterdir())
    assert {path.stem for path in (ROOT / "docs/tasks").glob("*.md")} == names | {"index"}


def test_tables_of_figures_are_up_to_date(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    texts = {}
    for page in (ROOT / "docs/limits.md", *(ROOT / "docs/tasks").glob("*.md")):
        copy = tmp_path / page.relative_to(ROOT / "docs")
        copy.write_text(page.read_text())
        texts[copy] = page.read_text()
    command = [sys.executable, str(ROOT / "docs/figures.py"), str(tmp_path)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    changed = [copy.name for copy, text in texts.items() if copy.read_text() != text]
    assert not changed, f"run python docs/figures.py: {changed}"
