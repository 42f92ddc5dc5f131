"""`faceperc serve` as a process: how it starts, warns, ends, and what it says when it cannot."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from chromium import Chromium
from PIL import Image
from serving import PATIENCE, metric, serving, wait_until
from typer.testing import CliRunner

import faceperc
from faceperc.cli import app
from faceperc.errors import UsageError
from faceperc.predict import Predictor
from faceperc.serve.cli import _listen, run
from faceperc.serve.options import Options, read_key

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
KEY = "a-key-of-sixteen-characters"


@contextlib.contextmanager
def process(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, and the address that it prints."""
    command = [sys.executable, "-m", "faceperc.cli", "serve", "--port", "0", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        try:
            yield server, next((word for word in line.split() if word.startswith("http")), "")
        finally:
            server.kill()


def test_answers_do_not_wait_for_confirmations() -> None:
    with _listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_requests_in_progress_are_finished(
    face_model: Path, detector_model: Path, photo: Path, number: signal.Signals, code: int
) -> None:
    # a batch that waits to be filled holds the request
    waiting = ("--workers", 1, "--max-wait-ms", 1500, "--max-batch", 2)
    with (
        process("--model", face_model, "--detector", detector_model, *waiting) as (server, address),
        httpx.Client(base_url=address, timeout=PATIENCE) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        asked = pool.submit(client.post, "/v1/faces", content=photo.read_bytes())
        wait_until(lambda: metric(client, "faceperc_in_progress") == 1)
        server.send_signal(number)
        assert asked.result().status_code == 200 and len(asked.result().json()["faces"]) == 2
        assert server.wait(PATIENCE) == code
        assert server.stderr is not None and "Traceback" not in server.stderr.read()


def test_key_file_and_warning(face_model: Path, detector_model: Path, tmp_path: Path) -> None:
    models = ("--model", face_model, "--detector", detector_model)
    key_file = tmp_path / "key"
    key_file.write_text(f"{KEY}\n")
    with process(*models, "--host", "0.0.0.0", "--api-key-file", key_file) as (server, address):
        local = address.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{local}/v1/model").status_code == 401
        assert httpx.get(f"{local}/v1/model", headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
        server.terminate()
        assert server.stderr is not None and "warning" not in server.stderr.read()
    with process(*models, "--host", "0.0.0.0") as (server, _):
        server.terminate()
        assert server.stderr is not None and "without a key" in server.stderr.read()


def test_key_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FACEPERC_API_KEY", raising=False)
    assert read_key(None) is None
    monkeypatch.setenv("FACEPERC_API_KEY", KEY)
    assert read_key(None) == KEY and KEY not in repr(Options(key=KEY))
    for text, reason in (("", "at least 16"), ("short", "at least 16"), ("ключ" * 9, "ASCII")):
        (tmp_path / "key").write_text(text, encoding="utf-8")
        with pytest.raises(UsageError, match=reason):
            read_key(tmp_path / "key")
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_key(tmp_path / "none")


def test_address_in_use(face_model: Path, detector_model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        result = CliRunner().invoke(
            app,
            ["serve", "--port", str(number), "--model", str(face_model), "--detector", str(detector_model)],
        )
        assert result.exit_code == 2 and f"cannot listen on 127.0.0.1, port {number}" in result.stderr
    with pytest.raises(UsageError, match="cannot listen on no such host"):
        run(Predictor(face_model, detector=detector_model), Options(), "no such host", 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "workers is 1 or more; got 0"),
        (["--max-mb", "0"], "max-bytes is 1 or more"),
        (["--deadline", "-1"], "deadline is more than 0"),
        (["--min-score", "2"], "min_score lies in [0, 1]"),
        (["--max-batch", "0"], "max-batch is 1 or more"),
    ],
)
def test_wrong_options(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["serve", *arguments])
    assert result.exit_code == 2 and message in result.stderr


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find: Any = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else find(name))
    result = CliRunner().invoke(app, ["serve"])
    assert result.exit_code == 2 and 'pip install "faceperc[cpu,serve]"' in result.stderr


def test_the_command_line_stays_light() -> None:
    script = (
        "import sys, faceperc.cli; print({'fastapi', 'uvicorn', 'pydantic', 'onnxruntime'} & {*sys.modules})"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "set()\n"


SETTLED = """new Promise((resolve) => {
  const look = () => {
    const state = document.body?.dataset.state;
    if (state !== 'ready' && state !== 'error') return setTimeout(look, 20);
    resolve(`${state}: ${document.getElementById('status').textContent}`);
  };
  look();
})"""
KEY_WANTED = """new Promise((resolve) => {
  const look = () => document.getElementById('keys')?.hidden === false ? resolve(true) : setTimeout(look, 20);
  look();
})"""
CARDS = "[...document.querySelectorAll('.card')].map((card) => card.innerText)"
PICTURE = "[document.getElementById('drawn').naturalWidth, document.getElementById('drawn').naturalHeight]"


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not here: apt-get install chromium")
def test_page(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    predictor = Predictor(threads=1)
    nobody = tmp_path / "nobody.png"
    Image.new("RGB", (64, 64)).save(nobody)
    (tmp_path / "text.png").write_text("no image")
    with serving(predictor, Options(key=KEY)) as client, Chromium(CHROMIUM, tmp_path / "profile") as page:
        page.call("Page.navigate", url=str(client.base_url))
        assert page.evaluate(KEY_WANTED)
        page.choose_file("#photo", faceperc.sample_image())
        assert page.evaluate(SETTLED).startswith("error: this service wants its key")
        page.evaluate(
            f"document.getElementById('key').value = '{KEY}'; document.querySelector('button').click()"
        )
        assert page.evaluate(SETTLED.replace("state !== 'error'", "true")).startswith(
            "ready: 1 face in 512 × 512 pixels"
        )
        [card] = page.evaluate(CARDS)
        face = predictor(faceperc.sample_image())[0]
        assert "68 points" in card and f"score {face.score:.2f}" in card
        assert f"{face.expression.label}\n{face.expression.score:.0%}" in card.replace("\n\n", "\n")
        assert page.evaluate(PICTURE) == [512, 512]
        page.screenshot(tmp_path / "wide.png", 1200, 900)
        page.screenshot(tmp_path / "phone.png", 390, 844, dark=True)
        print(f"screenshots: {tmp_path}")
        page.evaluate("document.body.dataset.state = 'start'")
        page.choose_file("#photo", nobody)
        assert page.evaluate(SETTLED).startswith("ready: No face found in 64 × 64 pixels")
        page.evaluate("document.body.dataset.state = 'start'")
        page.choose_file("#photo", tmp_path / "text.png")
        assert "the file is not an image" in page.evaluate(SETTLED)
