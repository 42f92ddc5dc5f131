"""The wheel: what is in it, what is not, and that it predicts in an environment without torch."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import faceperc

KINDS = {".py", ".yaml", ".onnx", ".npz", ".jpg", ".html", ".css", ".js"}
ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    # through the source distribution: what it lacks, the wheel lacks too
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that holds the wheel and what it requires with [cpu], and nothing else."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False, symlinks=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    zipfile.ZipFile(wheel).extractall(site)
    for name in runtime_packages():  # linked from here instead of downloaded: the suite runs offline
        for file in metadata.files(name) or []:
            top = site / file.parts[0]
            if ".." not in file.parts and file.parts[0] != "__pycache__" and not top.exists():
                top.symlink_to(Path(str(metadata.distribution(name).locate_file(file.parts[0]))))
    return folder


def runtime_packages() -> set[str]:
    """Everything that `pip install faceperc[cpu]` brings."""
    names, wanted = set(), [Requirement(text) for text in PROJECT["project"]["dependencies"]]
    wanted += [Requirement(text) for text in PROJECT["project"]["optional-dependencies"]["cpu"]]
    while wanted:
        name = wanted.pop().name
        if name not in names:
            names.add(name)
            needed = [Requirement(text) for text in metadata.requires(name) or []]
            wanted += [each for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    return names


def test_wheel_holds_one_package_and_everything_of_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "faceperc",
        f"faceperc-{faceperc.__version__}.dist-info",
    }
    expected = set()
    for folder in ("faceperc", "heads", "export", "configs"):
        prefix = "" if folder == "faceperc" else "faceperc/"
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in KINDS and not any(parent.is_symlink() for parent in path.parents):
                expected.add(prefix + path.relative_to(ROOT).as_posix())
    large = {"model_int8.onnx", "reference.npz"}  # faceperc-small's come from a checkout or the Hub
    expected -= {f"faceperc/models/faceperc-small/{name}" for name in large}
    assert {name for name in names if Path(name).suffix in KINDS} == expected
    models = {name for name in names if name.startswith("faceperc/models/") and name.endswith(".onnx")}
    wanted = (
        "faceperc-nano/model",
        "faceperc-nano/model_int8",
        "detector-nano/model",
        "detector-nano/model_int8",
    )
    assert models == {f"faceperc/models/{name}.onnx" for name in (*wanted, "detector-small/model")}
    assert not [name for name in names if name.endswith(".safetensors")]
    assert wheel.stat().st_size <= 40e6


def test_version_is_the_projects() -> None:
    assert PROJECT["project"]["version"] == faceperc.__version__


def test_wheel_predicts_without_torch(clean: Path, tmp_path: Path) -> None:
    script = """
import json, sys
import faceperc
assert not {"torch", "numpy", "onnxruntime"} & set(sys.modules), "importing faceperc must be light"
faces = faceperc.Predictor()(faceperc.sample_image())
faces.save("out.jpg")
heavy = {"torch", "timm", "lightning", "cv2", "pandas", "albumentations"} & set(sys.modules)
print(json.dumps({"faces": len(faces), "tasks": sorted(faces[0].tasks), "heavy": sorted(heavy)}))
"""
    result = run([clean / "bin/python", "-c", script], tmp_path)
    answer = json.loads(result.stdout)
    tasks = ["age", "attributes", "expression", "gender", "landmarks", "parsing", "pose"]
    assert answer == {"faces": 1, "tasks": tasks, "heavy": []}
    assert (tmp_path / "out.jpg").stat().st_size > 10_000


def test_training_commands_name_the_extra(clean: Path, tmp_path: Path) -> None:
    result = run([clean / "bin/python", "-m", "faceperc.cli", "train", "x.yaml"], tmp_path, code=2)
    assert 'pip install "faceperc[cpu,train]"' in result.stderr and "Traceback" not in result.stderr


def run(command: list[object], folder: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    words = [str(word) for word in command]
    result = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == code, result.stderr
    return result
