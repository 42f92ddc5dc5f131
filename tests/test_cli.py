"""The command line: tables and JSON, every input done, one line per failure, exit codes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny_onnx import FACE_TASKS, build_face_model, face_metadata
from typer.testing import CliRunner, Result

import faceperc
from faceperc.cli import TRAINING, app

ROOT = Path(__file__).parents[1]


@pytest.fixture
def predict(face_model: Path, detector_model: Path) -> Any:
    def run(*arguments: str | Path) -> Result:
        models = ["--model", str(face_model), "--detector", str(detector_model)]
        return CliRunner().invoke(app, ["predict", *map(str, arguments), *models])

    return run


def test_predict__table(predict: Any, photo: Path) -> None:
    result = predict(photo)
    assert result.exit_code == 0 and result.stderr == ""
    assert "photo.png: 100 x 80, 2 faces" in result.stdout and "happiness 90%" in result.stdout
    assert "score 0.90" in result.stdout and "redness" in result.stdout


def test_predict__json_on_stdout_is_only_json(predict: Any, photo: Path) -> None:
    result = predict(photo, photo, "--json", "-", "--tasks", "pose, age")
    document = json.loads(result.stdout)
    assert result.exit_code == 0 and document["model"] == "tiny" and document["errors"] == []
    assert len(document["results"]) == 2 and document["results"][0]["source"] == str(photo)
    assert [*document["results"][0]["faces"][0]["tasks"]] == ["pose", "age"]


def test_predict__json_file(predict: Any, photo: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    result = predict(photo, "--json", target)
    assert result.exit_code == 0 and "2 faces" in result.stdout
    assert len(json.loads(target.read_text())["results"]) == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out.json", "photo.png"]


def test_predict__heads(face_model: Path, heads_model: Path, detector_model: Path, photo: Path) -> None:
    command = ["predict", str(photo), "--model", str(face_model), "--detector", str(heads_model), "--tiles"]
    result = CliRunner().invoke(app, [*command, "--heads"])
    assert result.exit_code == 0 and "face 1" in result.stdout and "head 2" in result.stdout
    assert "visibility 0.03" in result.stdout
    assert "head 2" not in CliRunner().invoke(app, command).stdout
    document = json.loads(CliRunner().invoke(app, [*command, "--heads", "--json", "-"]).stdout)
    assert [[*face["tasks"]] == ["pose"] for face in document["results"][0]["faces"]] == [False, False, True]
    old = ["predict", str(photo), "--model", str(face_model), "--detector", str(detector_model), "--heads"]
    result = CliRunner().invoke(app, old)
    assert result.exit_code == 2 and "finds faces only" in result.stderr


def test_predict__sample(predict: Any) -> None:
    result = predict("--sample")
    assert result.exit_code == 0 and "512 x 512" in result.stdout


def test_predict__bad_inputs_are_named_and_the_rest_is_done(
    predict: Any, photo: Path, tmp_path: Path
) -> None:
    missing, folder, empty, text = (tmp_path / name for name in ("no.jpg", "dir", "empty.jpg", "text.jpg"))
    folder.mkdir()
    empty.touch()
    text.write_text("no image")
    result = predict(missing, photo, folder, empty, text, photo, "--json", "-")
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    reasons = [(missing, "no such"), (folder, "holds no image"), (empty, "empty"), (text, "not an image")]
    for line, (path, reason) in zip(lines, reasons, strict=True):
        assert str(path) in line and reason in line
    document = json.loads(result.stdout)
    assert len(document["results"]) == 2
    assert [error["source"] for error in document["errors"]] == [str(path) for path, _ in reasons]


def test_predict__any_failure_of_an_image_is_that_images(predict: Any, photo: Path, tmp_path: Path) -> None:
    """A picture that a JPEG cannot hold is read and analysed, but cannot be drawn."""
    wide, drawn, out = tmp_path / "wide.png", tmp_path / "drawn", tmp_path / "out.json"
    Image.new("RGB", (66_000, 16)).save(wide)
    result = predict(wide, photo, "--save", drawn, "--json", out)
    assert result.exit_code == 1 and [line.count("wide.jpg") for line in result.stderr.splitlines()] == [1]
    document = json.loads(out.read_text())
    assert [each["source"] for each in document["results"]] == [str(photo)]
    assert [each["source"] for each in document["errors"]] == [str(wide)]
    assert [each.name for each in drawn.iterdir()] == ["photo.jpg"]


def test_predict__json_that_cannot_be_written_is_said_before_the_work(
    predict: Any, photo: Path, tmp_path: Path
) -> None:
    result = predict(photo, "--json", tmp_path / "missing" / "out.json")
    assert result.exit_code == 2 and "cannot be written" in result.stderr and result.stdout == ""


def test_predict__json_replaces_json_alone(predict: Any, photo: Path, tmp_path: Path) -> None:
    """`--json *.jpg`, its own name forgotten, takes the first photograph for it."""
    before, target = photo.read_bytes(), tmp_path / "out.json"
    other = tmp_path / "other.png"
    other.write_bytes(before)
    for name in (photo, other):
        result = predict(photo, "--json", name)
        assert result.exit_code == 2 and f"{name}: is there and holds no JSON" in result.stderr
        assert name.read_bytes() == before
    for older in ("", "{}", "[1]"):
        target.write_text(older)
        assert predict(photo, "--json", target).exit_code == 0
        assert len(json.loads(target.read_text())["results"]) == 1


def test_predict__detector_that_cannot_be_opened_stops_at_once(
    face_model: Path, photo: Path, tmp_path: Path
) -> None:
    arguments = ["predict", str(photo), str(photo), "--model", str(face_model)]
    result = CliRunner().invoke(app, [*arguments, "--detector", str(tmp_path / "missing.onnx")])
    assert result.exit_code == 1 and len(result.stderr.splitlines()) == 1


def test_predict__save(predict: Any, photo: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for path in (other / "photo.jpg", other / "Photo.webp"):
        Image.open(photo).save(path)
    result = predict(photo, other / "photo.jpg", other / "Photo.webp", "--save", tmp_path / "deep" / "drawn")
    names = sorted(each.name.lower() for each in (tmp_path / "deep" / "drawn").iterdir())
    assert result.exit_code == 0 and names == ["photo-2.jpg", "photo-3.jpg", "photo.jpg"]


def test_predict__folder_and_pattern(predict: Any, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for place in ("deep/a.png", "deep/er/b.png"):
        Image.open(photo).save(tmp_path / place)
    result = predict(tmp_path / "deep", tmp_path / "*.png", tmp_path / "*.gif", "--json", "-")
    document = json.loads(result.stdout)
    sources = [str(Path(each["source"]).relative_to(tmp_path)) for each in document["results"]]
    assert result.exit_code == 1 and sources == ["deep/a.png", "deep/er/b.png", "photo.png"]
    assert [each["error"].partition(": ")[2] for each in document["errors"]] == [
        "no file fits this pattern; check it"
    ]


def test_predict__draw_options(predict: Any, photo: Path, tmp_path: Path) -> None:
    pictures = []
    for number, options in enumerate(
        ([], ["--draw-size", "300"], ["--captions", "off"], ["--captions", "margin"], ["--pose", "cube"])
    ):
        result = predict(photo, "--save", tmp_path / str(number), *options)
        assert result.exit_code == 0 and f"1 picture in {tmp_path / str(number)}" in result.stdout
        pictures.append(Image.open(tmp_path / str(number) / "photo.jpg"))
    assert [picture.size for picture in pictures[:3]] == [(100, 80), (300, 240), (100, 80)]
    assert pictures[3].width > 100 and pictures[4].size == (100, 80)
    assert len({picture.tobytes() for picture in pictures}) == 5


def test_predict__save_never_replaces_an_input(predict: Any, photo: Path, tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    Image.open(photo).save(path)
    before = path.read_bytes()
    assert predict(path, "--save", tmp_path).exit_code == 0
    assert path.read_bytes() == before and (tmp_path / "picture-2.jpg").is_file()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "give an image"),
        (["--tasks", "pos"], "unknown task 'pos': did you mean 'pose'"),
        (["--tasks", ","], "empty"),
        (["--min-score", "3"], "min_score"),
        (["--threads", "0"], "threads"),
        (["--provider", "gpu"], "unknown provider 'gpu': did you mean 'cuda'?"),
        (["--model", "faceperc-nan"], "did you mean 'faceperc-nano'"),
        (["--json", "no/such/folder/a.json"], "cannot be written"),
        (["--pose", "cube"], "go with --save"),
        (["--out", "a.csv", "--draw-size", "300"], "go with --save"),
        (["--save", "/dev/null/x"], "cannot be made: Not a directory; name another folder"),
    ],
)
def test_predict__wrong_usage(
    face_model: Path, detector_model: Path, photo: Path, arguments: list[str], reason: str
) -> None:
    models = ["--model", str(face_model), "--detector", str(detector_model)]
    inputs = [str(photo)] if arguments else []
    result = CliRunner().invoke(app, ["predict", *inputs, *models, *arguments])
    assert result.exit_code == 2 and reason in result.stderr and len(result.stderr.splitlines()) == 1


def test_predict__unknown_option() -> None:
    assert CliRunner().invoke(app, ["predict", "--taks", "pose"]).exit_code == 2
    assert CliRunner().invoke(app, ["predicct"]).exit_code == 2


def test_predict__damaged_model(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_text("no model")
    result = CliRunner().invoke(app, ["predict", str(photo), "--model", str(tmp_path / "a.onnx")])
    assert result.exit_code == 1 and "a.onnx: is not a usable ONNX model" in result.stderr


def test_models() -> None:
    result = CliRunner().invoke(app, ["models"])
    assert result.exit_code == 0 and "faceperc-nano" in result.stdout and "detector-nano" in result.stdout


def test_info(face_model: Path, detector_model: Path) -> None:
    result = CliRunner().invoke(app, ["info", str(face_model)])
    assert result.exit_code == 0
    for word in (
        "tiny",
        "Apache-2.0",
        "nothing (CC0)",
        "sha256",
        "redness",
        "rotation",
        "(N, 3, 3)",
        "32 px",
        "providers",
        "cpu (CPUExecutionProvider)",
    ):
        assert word in result.stdout
    assert "tiny-detector" in CliRunner().invoke(app, ["info", str(detector_model)]).stdout
    assert hashlib.sha256(face_model.read_bytes()).hexdigest() in result.stdout.replace("\n", "")
    document = json.loads(CliRunner().invoke(app, ["info", str(face_model), "--json"]).stdout)
    assert document["schema"] == 1
    assert CliRunner().invoke(app, ["info", "nano"]).exit_code == 2


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"faceperc {faceperc.__version__}\n"


def test_tables__show_names_as_they_are(photo: Path, detector_model: Path, tmp_path: Path) -> None:
    """What rich would take for markup, for the end of one, or for an emoji."""
    document = face_metadata(FACE_TASKS)
    document["name"] = "[/x] nano[int8]"
    document["training"]["data"] = [{"name": "[red]faces", "licence": ":smile:"}]
    document["tasks"]["expression"]["labels"] = ["[bold]", "[/happy]", ":+1:"]
    path = build_face_model(tmp_path / "nano[int8].onnx", metadata=document)
    wide = CliRunner(env={"COLUMNS": "400"})
    result = wide.invoke(app, ["info", str(path)])
    assert result.exit_code == 0, result.output
    for word in ("[/x] nano[int8]", "nano[int8].onnx", "[red]faces", ":smile:", "[/happy]", ":+1:"):
        assert word in result.stdout
    models = ["--model", str(path), "--detector", str(detector_model)]
    result = CliRunner().invoke(app, ["predict", str(photo), *models])
    assert result.exit_code == 0 and "[/happy] 90%" in result.stdout


@pytest.mark.parametrize("command", ["predict", "models", "info"])
def test_help__shows_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0 and f"Example: faceperc {command}" in result.stdout


def test_help__lists_all_commands() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert all(name in result.stdout for name in ("predict", "models", "info", *TRAINING))


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (3, 3)])
def test_training__passes_all_arguments_on(
    monkeypatch: pytest.MonkeyPatch, returned: int | None, code: int
) -> None:
    got: list[str] = []

    class Module:
        @staticmethod
        def main(arguments: list[str]) -> int | None:
            got.extend(arguments)
            return returned

    for _, module, _ in TRAINING.values():
        monkeypatch.setitem(sys.modules, module, Module)  # type: ignore[arg-type]
    for command in TRAINING:
        got.clear()
        arguments = ["a.yaml", "--help", "--model.depth=3", "-x", "--flag"]
        assert CliRunner().invoke(app, [command, *arguments]).exit_code == code
        assert got == arguments


def test_training__without_torch_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    class Module:
        @staticmethod
        def main(arguments: list[str]) -> None:
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setitem(sys.modules, "faceperc.train", Module)  # type: ignore[arg-type]
    result = CliRunner().invoke(app, ["train"])
    assert (
        result.exit_code == 2
        and 'torch; install the training extra: pip install "faceperc[cpu,train]"' in result.stderr
    )


def test_process__end_to_end(face_model: Path, detector_model: Path, photo: Path, tmp_path: Path) -> None:
    strange = tmp_path / "ü [bold] 'x'.png"
    strange.write_bytes(photo.read_bytes())
    command = [sys.executable, "-m", "faceperc.cli", "predict", str(strange), "missing.jpg", "--json", "-"]
    command += ["--model", str(face_model), "--detector", str(detector_model), "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1 and done.stderr == "faceperc: missing.jpg: no such file; check the path\n"
    assert json.loads(done.stdout)["results"][0]["source"] == str(strange)
    plain = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    table = [part for part in command if part not in ("--json", "-")]
    done = subprocess.run(table, capture_output=True, text=True, cwd=ROOT, env=plain)
    assert "[bold]" in done.stdout and "Traceback" not in done.stderr
