"""TensorRT engines: by a stand-in for trtexec, by TensorRT-RTX where it is installed, or a clear refusal."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from unittest.mock import Mock

import pytest
from tiny_onnx import FACE_TASKS, SIZE, build_face_model, face_metadata
from typer.testing import CliRunner

from faceperc.cli import app
from faceperc.errors import ModelError, UsageError
from faceperc.export.tensorrt import build_engine, main


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", None)
    monkeypatch.setenv("PATH", "")


class TensorRTWithoutGpu(ModuleType):
    """The package tensorrt where there is no GPU."""

    Logger = Mock()

    @staticmethod
    def Builder(logger: object) -> None:
        raise TypeError("factory function returned nullptr")


def test_nothing_to_build_with__is_said_and_exits_with_2(
    face_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = CliRunner().invoke(app, ["export-engine", str(face_model), "-o", str(tmp_path / "a.engine")])
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1
    for word in ("the package tensorrt", "trtexec is not on PATH", "TensorRT-RTX does not load", "a GPU"):
        assert word in result.stderr
    monkeypatch.setitem(sys.modules, "tensorrt", TensorRTWithoutGpu("tensorrt"))
    with pytest.raises(UsageError, match="tensorrt finds no GPU"):
        build_engine(face_model, tmp_path / "a.engine")
    assert not list(tmp_path.glob("*engine*"))


def test_trtexec__gets_file_and_shapes(
    face_model: Path, tmp_path: Path, trtexec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.engine"
    assert main([str(face_model), "-o", str(out), "--batch", "2,4,16"]) == 0
    assert f"built by {trtexec}" in capsys.readouterr().out
    options = json.loads(out.read_text())
    assert options["onnx"] == str(face_model) and "stronglyTyped" in options
    shapes = {"minShapes": 2, "optShapes": 4, "maxShapes": 16}
    assert {key: options[key] for key in shapes} == {
        key: f"crops:{count}x{SIZE}x{SIZE}x3" for key, count in shapes.items()
    }
    assert not list(tmp_path.glob(".engine-*"))


def test_trtexec__its_failure_is_shown(face_model: Path, tmp_path: Path, trtexec: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(face_model.read_bytes())
    with pytest.raises(ModelError, match=r"bad\.onnx: trtexec failed with 1:\n\[E\] Error\[4\]"):
        build_engine(bad, tmp_path / "a.engine")
    assert {path.name for path in tmp_path.iterdir()} == {"bad.onnx", trtexec.parent.name}


def test_missing_folder_is_named_before_the_build(face_model: Path, tmp_path: Path, trtexec: Path) -> None:
    with pytest.raises(UsageError, match=r"missing/a\.engine: cannot be written"):
        build_engine(face_model, tmp_path / "missing" / "a.engine")


def test_whole_images_are_refused(tmp_path: Path) -> None:
    path = build_face_model(tmp_path / "full.onnx", metadata=face_metadata(FACE_TASKS) | {"form": "full"})
    with pytest.raises(UsageError, match="takes whole images"):
        build_engine(path, tmp_path / "a.engine")


@pytest.mark.parametrize("batches", [(0, 1, 2), (4, 2, 8), (1, 8, 4)])
def test_batches__must_ascend(face_model: Path, tmp_path: Path, batches: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError, match="ascending"):
        build_engine(face_model, tmp_path / "a.engine", batches)


@pytest.mark.parametrize("text", ["1,2", "a,b,c", "8"])
def test_batch_option__wrong_usage(face_model: Path, text: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(face_model), "-o", "a.engine", "--batch", text])
    assert stop.value.code == 2


@pytest.mark.parametrize("name", ["faceperc-nano", "detector-nano", "detector-small"])  # those are for CPUs
def test_tensorrt_rtx__builds_the_shipped_models(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The graph is one that TensorRT's parser and builder take. Nothing is run: that needs a GPU."""
    monkeypatch.delitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx")
    pytest.importorskip("onnxruntime_ep_nv_tensorrt_rtx")
    pytest.importorskip("tensorrt_rtx_bindings")
    out = tmp_path / "a.engine"
    assert main([name, "-o", str(out)]) == 0
    assert "TensorRT-RTX" in capsys.readouterr().out and out.stat().st_size > 1_000_000
