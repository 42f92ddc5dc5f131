"""The tutorial runs from its first cell to its last, in a kernel of its own, and says what it said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "examples" / "finetune.ipynb"


def text(cell: Any) -> str:
    """What a cell printed and gave, without pictures."""
    return "".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in cell.outputs
    )


def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join((str(NOTEBOOK.parents[1]), os.environ.get("PYTHONPATH", "")))
    )
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    told = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs for cell in told[1:]), "commit it with its outputs"
    assert str(Path.home()) not in NOTEBOOK.read_text()
    ran = NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    outputs = [text(cell) for cell in ran.cells if cell.cell_type == "code"]
    assert "('glasses',)" in outputs[2]
    accuracy = float(outputs[3].split("'labels/glasses/accuracy %': ")[1].split(",")[0])
    assert accuracy > 60  # chance is 33
    assert "model.onnx" in outputs[4] and "sun" in outputs[5]
