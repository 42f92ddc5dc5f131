"""Every code block of the documentation is run, or says why not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from doc_blocks import REASONS, ROOT, Block, blocks_of, pages
from doc_workshop import Workshop, fill_hub, serving, write_template
from hub_server import Hub, running_hub

from faceperc.data.source import load_sources

#: Pages that export `runs/nano/model`.
EXPORTING = {"docs/export.md"}
LANGUAGES = {"python", "sh", "yaml", "json", "text"}


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, hub: Hub) -> Iterator[Path]:
    with serving(tmp_path_factory.mktemp("server"), hub) as address:
        yield address


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_template(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with running_hub() as hub:
        fill_hub(hub)
        yield hub


@pytest.fixture
def workshop(template: Path, tmp_path: Path, server: Path) -> Iterator[Workshop]:
    workshop = Workshop(template, tmp_path, server)
    yield workshop
    workshop.close()


@pytest.mark.parametrize("page", [page for page in pages() if blocks_of(page)], ids=named)
def test_blocks_of_a_page_run_in_order(page: Path, workshop: Workshop) -> None:
    if named(page) in EXPORTING:
        workshop.use_tiny_model()
    for block in blocks_of(page):
        if block.file:
            (workshop.folder / block.file).write_text(block.text)
        match block.language:
            case "json":
                json.loads(block.text)
            case "yaml":
                build(block, workshop)
            case "python" if block.file:
                compile(block.text, str(block), "exec")
            case "python" | "sh" if block.reason is None:
                workshop.run(block)
            case "python":
                compile(block.text, str(block), "exec")
            case "sh":
                check_commands(block, workshop)


def build(block: Block, workshop: Workshop) -> None:
    """A list of sources is made, and what belongs into a recipe is laid over one."""
    said = yaml.safe_load(block.text)
    if "heads" in said:
        said = {"model": {"network": said}}
    path = workshop.folder / "overlay.yaml"
    path.write_text(yaml.safe_dump(said))
    if isinstance(said, list):
        assert load_sources(path), block
        return
    problem = workshop.understood("faceperc train configs/train/nano.yaml overlay.yaml")
    assert problem is None, f"{block}\n{problem}"


def check_commands(block: Block, workshop: Workshop) -> None:
    """Of a block that is not run: its lines `faceperc ...` must be understood."""
    for command in block.commands():
        if command.startswith("faceperc "):
            problem = workshop.understood(command)
            assert problem is None, f"{block}: {command}\n{problem}"


def test_what_is_not_run_says_why() -> None:
    blocks = [block for page in pages() for block in blocks_of(page)]
    others = [block for block in blocks if block.language not in LANGUAGES]
    unknown = [f"{block}: {block.language!r}" for block in others if block.reason != "in another language"]
    assert not unknown, f"blocks that nothing can run; plain text is ```text: {unknown}"
    excuses = [f"{block}: {block.reason}" for block in blocks if block.reason not in {None, *REASONS}]
    assert not excuses, f"reasons that tests/doc_blocks.py does not know: {excuses}"
    code = [block for block in blocks if block.language in {"python", "sh"} and not block.file]
    left_out = [block for block in code if block.reason]
    assert len(left_out) <= len(code) / 2, [f"{block}: {block.reason}" for block in left_out]
