"""Fixtures shared by the tests of the runtime: tiny models, a detector, a picture."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tiny_onnx import TURN, build_detector, build_face_model

# Writes its arguments as the engine, or fails as trtexec does.
TRTEXEC = """#!{python}
import json, sys
if "bad" in sys.argv[1]:
    sys.exit("[E] Error[4]: operator not supported")
options = dict(word.lstrip("-").partition("=")[::2] for word in sys.argv[1:])
open(options["saveEngine"], "w").write(json.dumps(options))
"""


class FakeDetector:
    """Finds two faces in every image, the worse one first; counts how often it was asked."""

    boxes = np.array([[10.0, 12.0, 30.0, 40.0], [50.0, 20.0, 80.0, 60.0]])
    scores = np.array([0.6, 0.9])

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        self.calls += 1
        return self.boxes, self.scores


@pytest.fixture
def detector() -> FakeDetector:
    return FakeDetector()


@pytest.fixture(scope="session")
def face_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_face_model(tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture(scope="session")
def detector_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny-detector.onnx"
    return build_detector(path, [[10, 12, 30, 40], [50, 20, 80, 60], [51, 20, 80, 60]], [0.6, 0.9, 0.8])


@pytest.fixture(scope="session")
def heads_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector that finds a face, a head from behind that is turned by TURN, and a surer face."""
    path = tmp_path_factory.mktemp("models") / "heads.onnx"
    boxes = [[10, 12, 30, 40], [50, 20, 80, 60], [100, 20, 130, 60]]
    rotations = np.stack([np.eye(3), TURN, np.eye(3)])
    heads, points = np.array([0.75, 0.96, 0.9]), np.full((3, 5, 2), 20.0)
    return build_detector(path, boxes, [0.6, 0.03, 0.9], heads=heads, points=points, rotations=rotations)


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    """(80, 100, 3): the left half is pure red, the right half black."""
    image = np.zeros((80, 100, 3), dtype=np.uint8)
    image[:, :50, 0] = 255
    return image


@pytest.fixture
def photo(tmp_path: Path, pixels: NDArray[np.uint8]) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def trtexec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for NVIDIA's program, the only one on PATH."""
    program = tmp_path / "bin" / "trtexec"
    program.parent.mkdir()
    program.write_text(TRTEXEC.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    return program
