"""The examples that use a model file without faceperc: they answer as the predictor does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import faceperc
from faceperc.zoo import DEFAULT_MODEL, find_model, sample_image

EXAMPLES = Path(__file__).parents[1] / "examples"
BOX = np.array([175.0, 66.0, 271.0, 178.0])  # in the sample photograph
HEADERS = [
    Path(folder)
    for folder in (
        os.environ.get("ONNXRUNTIME_INCLUDE", "/usr/include/onnxruntime"),
        "/usr/local/include/onnxruntime",
    )
]


@pytest.fixture(scope="module", params=[1.0, 2.7], ids=["enlarged", "shrunk"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The sample photograph, as it is and larger, as a PPM; the box; what the predictor says."""
    photo = Image.open(sample_image()).convert("RGB")
    side = round(photo.width * request.param)
    path = tmp_path_factory.mktemp("photo") / "photo.ppm"
    photo.resize((side, side)).save(path)
    box = BOX * request.param
    [face] = faceperc.Predictor(threads=1)(path, boxes=[box])
    return {"photo": path, "box": box, "face": face, "to_256": 256 / max(box[2:] - box[:2])}


def run(command: list[object], case: dict[str, Any]) -> dict[str, Any]:
    arguments = [*command, find_model(DEFAULT_MODEL), case["photo"], *case["box"]]
    result = subprocess.run([str(each) for each in arguments], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def errors(points: Any, case: dict[str, Any]) -> Any:
    """Distances of points from the predictor's, in pixels of a face of 256."""
    return np.linalg.norm(np.array(points) - case["face"].landmarks.points, axis=1) * case["to_256"]


def angles(face: faceperc.Face) -> list[float]:
    return [face.pose.yaw, face.pose.pitch, face.pose.roll]


def test_numpy_only(case: dict[str, Any]) -> None:
    script = EXAMPLES / "numpy_only.py"
    assert len(script.read_text().splitlines()) <= 40 and "import faceperc" not in script.read_text()
    answer = run([sys.executable, script], case)
    assert errors(answer["points"], case).max() <= 0.5
    assert answer["yaw, pitch, roll"] == pytest.approx(angles(case["face"]), abs=0.2)
    assert answer["expression"] == case["face"].expression.label


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled C++ example."""
    headers = next((folder for folder in HEADERS if (folder / "onnxruntime_cxx_api.h").is_file()), None)
    if headers is None:
        pytest.skip(
            "no headers of ONNX Runtime: apt-get install libonnxruntime-dev (Debian 13), or name their "
            "folder in ONNXRUNTIME_INCLUDE"
        )
    if not all(map(shutil.which, ("cmake", "c++"))) or not Path("/usr/include/nlohmann/json.hpp").is_file():
        pytest.skip("needs a compiler and more: apt-get install g++ cmake nlohmann-json3-dev")
    folder = tmp_path_factory.mktemp("cpp")
    options = [f"-DONNXRUNTIME_INCLUDE={headers}"]
    # the library inside the Python package, where there is one; else the system's
    for library in (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"):
        for name in ("libonnxruntime.so", "libonnxruntime.so.1"):  # for the linker; for the program
            (folder / name).symlink_to(library)
        options.append(f"-DONNXRUNTIME_LIBRARY={folder / 'libonnxruntime.so'}")
    for step in (["-S", EXAMPLES / "cpp", "-B", folder / "build", *options], ["--build", folder / "build"]):
        result = subprocess.run(["cmake", *map(str, step)], capture_output=True, text=True)
        assert result.returncode == 0 and "warning:" not in result.stderr, result.stdout + result.stderr
    return folder / "build" / "face"


def test_cpp(program: Path, case: dict[str, Any]) -> None:
    answer, face = run([program], case), case["face"]
    assert list(answer) == list(face.tasks)
    assert errors(answer["landmarks"]["points"], case).max() <= 0.5
    assert answer["landmarks"]["sigma"] == pytest.approx(face.landmarks.sigma.tolist(), rel=0.02)
    assert list(answer["pose"]["matrix"].values()) == pytest.approx(angles(face), abs=0.2)
    assert answer["parsing"]["scores"] == pytest.approx(face.parsing.areas, abs=0.005)
    for name in ("expression", "gender"):
        assert answer[name]["probabilities"]["label"] == face[name].label
        assert answer[name]["probabilities"]["score"] == pytest.approx(face[name].score, abs=0.005)
    wanted = face.attributes.to_dict()["probabilities"]
    assert answer["attributes"]["probabilities"] == pytest.approx(wanted, abs=0.005)
    assert answer["age"]["value"] == pytest.approx(face.age.value, abs=0.1)


def test_cpp_names_what_is_wrong(program: Path, tmp_path: Path, case: dict[str, Any]) -> None:
    (tmp_path / "photo.ppm").write_text("P6 4 4 255\nshort")
    arguments = [program, find_model(DEFAULT_MODEL), tmp_path / "photo.ppm", *case["box"]]
    result = subprocess.run([str(each) for each in arguments], capture_output=True, text=True)
    assert result.returncode == 1 and "photo.ppm: is truncated" in result.stderr
