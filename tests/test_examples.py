"""The examples that use a model file without faceperc: they answer as the predictor does."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from tiny_onnx import FACE_TASKS, build_face_model, face_metadata

import faceperc
from faceperc.crop import FaceCrop
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


@pytest.fixture(scope="module", params=["enlarged", "shrunk", "over the border"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The sample photograph as a PPM: as it is, larger, and cut through the face; the box; the predictor's
    answer."""
    photo = Image.open(sample_image()).convert("RGB")
    scale = 1.0 if request.param == "enlarged" else 2.7
    path = tmp_path_factory.mktemp("photo") / "photo.ppm"
    photo = photo.resize((round(photo.width * scale), round(photo.height * scale)))
    if request.param == "over the border":
        photo = photo.crop((0, 0, 653, photo.height))  # neither side is a multiple of 3, a block's side
    photo.save(path)
    box = BOX * scale
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
    assert len(script.read_text().splitlines()) <= 45 and "import faceperc" not in script.read_text()
    answer = run([sys.executable, script], case)
    assert errors(answer["points"], case).max() <= 0.5
    assert answer["yaw, pitch, roll"] == pytest.approx(angles(case["face"]), abs=0.2)
    assert answer["expression"] == case["face"].expression.label


@pytest.mark.parametrize(
    "box",
    [
        (1050, 400, 1620, 1070),  # the face
        (2700, 2600, 3100, 3180),  # over the right and the lower border, where blocks are smaller
        (-300, -200, 260, 470),  # over the other two
        (-900, -900, 3900, 3900),  # larger than the image
        (1300, 700, 1340, 750),  # enlarged
    ],
)
def test_numpy_only__crops_as_the_runtime_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, box: tuple[int, ...]
) -> None:
    """In a photograph that lies on its side, and whose sides are no multiples of a block's."""
    photo = Image.open(sample_image()).convert("RGB").resize((3067, 3011))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    path = tmp_path / "photo.png"
    photo.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, compress_level=1)
    arguments = ["numpy_only.py", find_model(DEFAULT_MODEL), path, *box]
    monkeypatch.setattr(sys, "argv", [str(each) for each in arguments])
    given = runpy.run_path(str(EXAMPLES / "numpy_only.py"))["crop"].astype(int)
    rule = faceperc.Predictor(threads=1).metadata.crop
    assert rule is not None
    difference = np.abs(given - FaceCrop.from_box(box, rule).warp(np.asarray(photo)))
    assert difference.max() <= 2 and difference.mean() < 0.5


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


@pytest.mark.parametrize(
    "box", ["nan 66 271 178", "175 nan 271 nan", "175 66 271 66", "0 0 1e12 9", "0 0 inf 9"]
)
def test_cpp_refuses_what_is_no_box(program: Path, case: dict[str, Any], box: str) -> None:
    arguments = [str(program), str(find_model(DEFAULT_MODEL)), str(case["photo"]), *box.split()]
    result = subprocess.run(arguments, capture_output=True, text=True)
    assert result.returncode == 1 and "a box is x0 y0 x1 y1 in pixels" in result.stderr


def test_cpp_refuses_a_form_that_takes_whole_images(
    program: Path, tmp_path: Path, case: dict[str, Any]
) -> None:
    full = face_metadata(FACE_TASKS) | {"form": "full"}
    path = build_face_model(tmp_path / "full.onnx", metadata=full)
    arguments = [program, path, case["photo"], *case["box"]]
    result = subprocess.run([str(each) for each in arguments], capture_output=True, text=True)
    assert result.returncode == 1 and "full.onnx: takes whole images" in result.stderr
    assert "faceperc export --form crop" in result.stderr
