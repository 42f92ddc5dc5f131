"""OnnxModel: metadata read and checked, errors of our own, threads and providers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tiny_onnx import FACE_TASKS, SIZE, build_detector, build_face_model, detector_metadata, face_metadata

from faceperc.crop import CropRule
from faceperc.errors import ModelError, UsageError
from faceperc.metadata import DetectorInfo
from faceperc.runtime import OnnxModel


def test_metadata__face(face_model: Path) -> None:
    metadata = OnnxModel(face_model).metadata
    assert metadata.role == "face" and metadata.name == "tiny" and metadata.detector is None
    assert metadata.crop == CropRule(SIZE, 1.5, (0.0, -0.1))
    assert [*metadata.tasks] == [*FACE_TASKS, "redness"]
    landmarks = metadata.tasks["landmarks"]
    assert landmarks.kind == "points" and landmarks.lines == ((0, 1, 2, 0),)
    assert landmarks.fields["sigma"].output == "landmarks.sigma"
    assert landmarks.fields["points"].shape == ("N", 4, 2)
    assert metadata.tasks["age"].bins == (10.0, 20.0, 30.0) and metadata.tasks["age"].unit == "years"


def test_metadata__detector(detector_model: Path) -> None:
    metadata = OnnxModel(detector_model).metadata
    assert metadata.role == "detector" and metadata.tasks == {} and metadata.crop is None
    assert metadata.detector == DetectorInfo(
        stride=32, max_side=640, min_face=12, nms_iou=0.5, nms_score=0.5, nms_head=0.5
    )


def test_run__all_or_some_outputs(face_model: Path) -> None:
    model = OnnxModel(face_model, threads=1)
    crops = np.zeros((3, SIZE, SIZE, 3), dtype=np.uint8)
    crops[1, ..., 0] = 255
    arrays = model.run({"crops": crops})
    assert arrays["landmarks.points"].shape == (3, 4, 2) and len(arrays) == 9
    some = model.run({"crops": crops}, ["redness.value"])
    assert [*some] == ["redness.value"]
    np.testing.assert_allclose(some["redness.value"], [0, 100, 0], atol=1e-4)


def test_run__refused_inputs_are_our_error(face_model: Path) -> None:
    model = OnnxModel(face_model)
    with pytest.raises(ModelError, match=r"tiny\.onnx: failed on the inputs.*float32 \(2, 3\)"):
        model.run({"crops": np.zeros((2, 3), dtype=np.float32)})
    with pytest.raises(ModelError, match="failed"):
        model.run({"other": np.zeros((1, SIZE, SIZE, 3), dtype=np.uint8)})


@pytest.mark.parametrize(
    "options", [{"threads": 0}, {"threads": "2"}, {"provider": "cud"}, {"provider": ["cpu"]}]
)
def test_options__refused(face_model: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        OnnxModel(face_model, **options)


def test_missing_onnxruntime__names_the_extra(face_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r'pip install "faceperc\[cpu\]".*faceperc\[gpu\]'):
        OnnxModel(face_model)


@pytest.mark.parametrize("content", [b"", b"this is no model", bytes(range(256)) * 20])
def test_file__not_onnx(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.onnx"):
        OnnxModel(path)


def test_file__missing_or_directory(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model file"):
        OnnxModel(tmp_path / "nothing.onnx")
    with pytest.raises(ModelError, match="no such model file"):
        OnnxModel(tmp_path)


def test_file__truncated(face_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.onnx"
    path.write_bytes(face_model.read_bytes()[:-200])
    with pytest.raises(ModelError, match=r"short\.onnx"):
        OnnxModel(path)


def test_metadata__none_is_not_our_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a faceperc model"):
        OnnxModel(build_face_model(tmp_path / "a.onnx", metadata={}))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 2}, "update faceperc"),
        ({"role": "voice"}, "role 'voice'"),
        ({"tasks": None}, "damaged"),
        ({"crop": {"size": 32}}, "lacks 'scale'"),
        ({"crop": {"size": 32, "scale": 1, "shift": [1]}}, "damaged"),
        ({"input": {"name": "images"}}, "names images, which its graph lacks"),
        ({"tasks": {"pose": {"kind": "rotation", "fields": {"matrix": {"output": "x"}}}}}, "names x"),
        ({"tasks": {"pose": {"fields": {}}}}, "lacks 'kind'"),
        ({"schema": "1"}, "schema is '1', not a whole number from 1"),
        ({"schema": 1.5}, "schema is 1.5"),
        ({"crop": {"size": float("inf"), "scale": 1.5}}, "size is inf, not a whole number from 1 to 4096"),
        ({"crop": {"size": 0, "scale": 1.5}}, "size is 0"),
        ({"crop": {"size": -5, "scale": 1.5}}, "size is -5"),
        ({"crop": {"size": 1_000_000, "scale": 1.5}}, "size is 1000000"),
        ({"crop": {"size": 32, "scale": float("nan")}}, "scale is nan, not a finite number"),
        ({"crop": {"size": 32, "scale": 0}}, "scale is 0"),
        ({"crop": {"size": 32, "scale": 10**400}}, "damaged"),  # too large for a float
        ({"crop": {"size": 32, "scale": 1.5, "shift": [0, float("inf")]}}, "shift y is inf"),
        ({"training": {"data": ["photographs"]}}, "training.data is no list of objects"),
        ({"training": ["photographs"]}, "damaged"),
        ({"tasks": {}}, "it has no tasks"),
        ({"tasks": {"age": {"kind": "scalar", "fields": {}, "unit": 5}}}, "unit is 5, not a text"),
    ],
)
def test_metadata__damaged(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    path = build_face_model(tmp_path / "a.onnx", metadata=face_metadata(FACE_TASKS) | change)
    with pytest.raises(ModelError, match=reason) as caught:
        OnnxModel(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"stride": 0}, "stride is 0"),
        ({"max_side": 0.5}, "max_side is 0.5"),
        ({"min_face": float("nan")}, "min_face is nan"),
        ({"nms": {"iou": 1.5, "score": 0.5}}, "iou is 1.5, not a finite number from 0 to 1"),
        ({"nms": {"iou": 0.5, "score": "high"}}, "score is 'high'"),
    ],
)
def test_metadata__damaged_detector(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    path = detector_saying(json.dumps(detector_metadata() | change), tmp_path)
    with pytest.raises(ModelError, match=rf"a\.onnx.*{reason}"):
        OnnxModel(path)


def detector_saying(metadata: str, folder: Path) -> Path:
    """A detector's file with this text as its metadata."""
    path = build_detector(folder / "a.onnx", [[0, 0, 1, 1]], [0.5])
    model = onnx.load(path)
    model.metadata_props[0].value = metadata
    onnx.save(model, path)
    return path


def test_metadata__nested_without_end(tmp_path: Path) -> None:
    path = detector_saying("[" * 200_000, tmp_path)
    with pytest.raises(ModelError, match=r"a\.onnx.*damaged"):
        OnnxModel(path)


def test_detector__without_its_outputs(tmp_path: Path) -> None:
    path = build_detector(tmp_path / "a.onnx", [[0, 0, 1, 1]], [0.5])
    model = onnx.load(path)
    model.graph.output.pop()
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"a\.onnx: is a detector, but its graph lacks the output scores"):
        OnnxModel(path)


def test_metadata__missing_key(tmp_path: Path) -> None:
    document = face_metadata(FACE_TASKS)
    del document["version"]
    with pytest.raises(ModelError, match="lacks 'version'"):
        OnnxModel(build_face_model(tmp_path / "a.onnx", metadata=document))


def test_metadata__not_json(tmp_path: Path) -> None:
    path = build_detector(tmp_path / "a.onnx", [[0, 0, 1, 1]], [0.5])
    model = onnx.load(path)
    model.metadata_props[0].value = "{"
    onnx.save(model, path)
    with pytest.raises(ModelError, match="damaged"):
        OnnxModel(path)
    assert detector_metadata()["schema"] == 1
