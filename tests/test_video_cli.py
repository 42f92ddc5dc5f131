"""`faceperc video`: JSON lines, the drawn file, exit codes, and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

pytest.importorskip("av")
from tiny_onnx import build_detector
from tiny_video import build_red_model, read_video, red_clip, write_video

from faceperc import Predictor
from faceperc.cli import app
from faceperc.results import Faces
from faceperc.video.cli import Outputs, run
from faceperc.video.frames import Frame
from faceperc.video.stream import FaceStream
from faceperc.video.write import VideoWriter

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    # finds the face where it is in the first frame, and stays there
    detector = build_detector(folder / "detector.onnx", [[36, 50, 84, 110]], [0.9])
    return [
        "--model",
        str(build_red_model(folder / "red.onnx")),
        "--detector",
        str(detector),
        "--threads",
        "1",
    ]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    times = [0.0, 0.04, 0.08, 0.2, 0.24, 0.28, 0.5, 0.54, 0.58, 0.62]
    images = [frame.image for frame in red_clip([lambda t: (60 + 10 * t, 80)], 10 / 30)]
    return write_video(tmp_path / "in" / "a.mp4", images, times)


@pytest.fixture
def video(models: list[str]) -> Any:
    def run(*arguments: str | Path) -> Result:
        return CliRunner().invoke(app, ["video", *map(str, arguments), *models])

    return run


def test_json_lines(video: Any, clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    result = video(clip, "--json", target)
    assert result.exit_code == 0 and result.stdout == "" and "10 frames" in result.stderr
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(10))
    assert [line["time"] for line in lines[:4]] == pytest.approx([0, 0.04, 0.08, 0.2], abs=1e-3)
    assert {"source", "model", "index", "time", "image", "faces"} == set(lines[0])
    for line in lines:
        assert line["source"] == str(clip) and line["image"] == {"width": 320, "height": 160}
        assert [face["track"] for face in line["faces"]] == [1]
        assert {"track", "box", "score", "tasks"} <= set(line["faces"][0])
        assert set(line["faces"][0]["tasks"]) == {"landmarks", "pose", "redness"}


def test_json_on_stdout_is_only_json(video: Any, clip: Path) -> None:
    result = video(clip, "--json", "-", "--tasks", "pose", "--no-track", "--no-smooth")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0 and len(lines) == 10
    assert "track" not in lines[0]["faces"][0] and set(lines[0]["faces"][0]["tasks"]) == {"pose"}


def test_drawn_file_keeps_the_times(video: Any, clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    assert video(clip, "--out", target, "--redetect", "0.2").exit_code == 0
    given, drawn = read_video(clip), read_video(target)
    assert [time for time, _ in drawn] == pytest.approx([time for time, _ in given], abs=1e-6)
    assert np.abs(drawn[5][1].astype(int) - given[5][1]).max() > 60  # something was drawn
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".")]


def test_drawn_file__options_of_the_drawing(video: Any, clip: Path, tmp_path: Path) -> None:
    drawn = {}
    for name, options in {"plain": [], "other": ["--draw-size", "160", "--captions", "off"]}.items():
        assert video(clip, "--out", tmp_path / f"{name}.mp4", *options).exit_code == 0
        drawn[name] = {frame.shape for _, frame in read_video(tmp_path / f"{name}.mp4")}
    assert drawn == {"plain": {(160, 320, 3)}, "other": {(80, 160, 3)}}


def test_a_folder(video: Any, tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "frames"
    folder.mkdir()
    for frame in red_clip([lambda t: (60, 80)], 0.2):
        Image.fromarray(frame.image).save(folder / f"{frame.pts:03d}.png")
    result = video(folder, "--json", "-", "--fps", "10")
    assert json.loads(result.stdout.splitlines()[3])["time"] == pytest.approx(0.3)


def test_a_damaged_file_is_told_and_the_rest_done(video: Any, tmp_path: Path) -> None:
    images = [frame.image for frame in red_clip([lambda t: (60, 80)], 2)]
    path = write_video(tmp_path / "a.mp4", images, options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    result = video(path, "--json", tmp_path / "out.jsonl")
    assert result.exit_code == 1 and "a.mp4: " in result.stderr and "missing" in result.stderr
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) > 10


def test_wrong_usage(video: Any, clip: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes())
    for arguments, message in (
        ([clip], "--out, --json or --show"),
        ([clip, "--out", tmp_path / "a.avi"], "cannot write '.avi'"),
        ([clip, "--out", clip], "is the source"),
        ([clip, "--json", other], "holds no JSON"),
        ([clip, "--out", tmp_path / "a.mp4", "--captions", "margin"], "all frames of a video have one size"),
        ([clip, "--json", "-", "--draw-size", "100"], "go with --out or --show"),
        ([clip, "--json", tmp_path / "no" / "a.jsonl"], "no such folder"),
        ([clip, "--json", tmp_path / "a.mp4", "--out", tmp_path / "a.mp4"], "is named twice"),
        ([clip, "--json", "-", "--redetect", "-1"], "redetect"),
        ([clip.parent, "--json", "-", "--fps", "0"], "fps is a number"),
        (["ftp://example.org/a", "--json", "-"], "unknown scheme"),
    ):
        result = video(*arguments)
        assert result.exit_code == 2 and message in result.stderr, (arguments, result.stderr)
        assert "Traceback" not in result.stderr
    missing = video(tmp_path / "missing.mp4", "--json", "-")
    assert missing.exit_code == 1 and "no such file" in missing.stderr
    assert clip.stat().st_size > 1000


def test_what_fails_before_the_first_line_leaves_older_files_alone(
    video: Any, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text('{"older": 1}\n')
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert video(clip, "--json", target, "--show").exit_code == 2
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.png").write_bytes(b"no picture")
    result = video(broken, "--json", target, "--out", tmp_path / "out.mp4")
    assert result.exit_code == 1 and "not one image can be read" in result.stderr
    assert target.read_text() == '{"older": 1}\n'
    assert sorted(each.name for each in tmp_path.iterdir()) == ["broken", "in", "out.jsonl"]


def test_lines_come_one_by_one(models: list[str], clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader of standard output has a frame's line before the next frame is looked at."""
    end, start = os.pipe()
    os.set_blocking(end, False)
    received = []

    class Read(FaceStream):
        def __call__(self, frame: Frame) -> Faces:
            if self.frames:
                received.append(os.read(end, 100_000))
            return super().__call__(frame)

    stream = Read(Predictor(models[1], detector=models[3], tasks="pose", threads=1))
    with open(start, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert run(str(clip), Outputs(None, "-", show=False), stream, None) == 0
    os.close(end)
    assert [json.loads(line)["index"] for line in received] == list(range(9))


def test_a_reader_that_goes_ends_the_work_quietly(models: list[str], tmp_path: Path) -> None:
    images = [frame.image for frame in red_clip([lambda t: (60, 80)], 1)]
    source = write_video(tmp_path / "a.mp4", images * 100)
    command = [sys.executable, "-m", "faceperc.cli", "video", str(source), *models, "--tasks", "pose"]
    with subprocess.Popen(
        [*command, "--json", "-"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert json.loads(process.stdout.readline())["index"] == 0
        process.stdout.close()  # as `head -1` does
        errors = process.stderr.read().decode()
    assert process.returncode == 1 and "Traceback" not in errors


def test_show_needs_a_display(video: Any, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    result = video(clip, "--show")
    assert result.exit_code == 2 and "needs a display" in result.stderr


def test_show_needs_opencv_with_windows(video: Any, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Headless:
        WINDOW_NORMAL = 0
        error = RuntimeError

        @staticmethod
        def namedWindow(title: str, flags: int) -> None:
            raise RuntimeError("The function is not implemented")

    monkeypatch.setenv("DISPLAY", ":0")
    for module, message in ((None, "pip install opencv-python"), (Headless, "OpenCV with windows")):
        monkeypatch.setitem(sys.modules, "cv2", module)
        result = video(clip, "--show")
        assert result.exit_code == 2 and message in result.stderr


def test_help_has_an_example() -> None:
    result = CliRunner().invoke(app, ["video", "--help"])
    assert result.exit_code == 0 and "Example: faceperc video clip.mp4" in result.stdout


def test_ctrl_c_while_the_file_is_finished(
    video: Any, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoder holds the last frames back until the end: they take a while."""
    close = VideoWriter.close

    def interrupted(writer: VideoWriter) -> None:
        signal.raise_signal(signal.SIGINT)
        close(writer)

    monkeypatch.setattr(VideoWriter, "close", interrupted)
    before = signal.getsignal(signal.SIGINT)
    result = video(clip, "--out", tmp_path / "out.mp4")
    assert result.exit_code == 130 and len(read_video(tmp_path / "out.mp4")) == 10
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for other processes")
def test_ctrl_c_keeps_what_was_done(models: list[str], tmp_path: Path) -> None:
    images = [frame.image for frame in red_clip([lambda t: (60, 80)], 1)]
    source = write_video(tmp_path / "a.mp4", images * 100)
    out, lines = tmp_path / "out.mp4", tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "faceperc.cli", "video", str(source), *models]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*command, "--out", str(out), "--json", str(lines)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    drafts: list[Path] = []
    while (
        time.monotonic() < deadline and len([d for d in drafts if d.exists() and d.stat().st_size > 5000]) < 1
    ):
        drafts = list(tmp_path.glob(".*/draft"))
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors and "frames" in errors
    found = [json.loads(line) for line in lines.read_text().splitlines()]
    drawn = read_video(out)
    assert 0 < len(found) == len(drawn) < 3000 and found[-1]["index"] == len(found) - 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.mp4", "out.jsonl", "out.mp4"]
