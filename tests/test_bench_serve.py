"""`faceperc bench serve`: what it counts, on tiny models, never how long something took."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from faceperc.bench.cli import main
from faceperc.bench.serve import COMMAND, ServerError, load


class Answers(BaseHTTPRequestHandler):
    """Answers faces, busy, late, and so on; counts."""

    protocol_version = "HTTP/1.1"
    statuses = (200, 503, 504)
    asked = 0

    def do_GET(self) -> None:
        self.answer(200, f"process_cpu_seconds_total {type(self).asked * 2.0}\n".encode())

    def do_POST(self) -> None:
        assert self.rfile.read(int(self.headers["Content-Length"])) == b"image"
        status = self.statuses[type(self).asked % len(self.statuses)]
        type(self).asked += 1
        self.answer(status, b"{}")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Retry-After", "0.01")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    Answers.asked = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_load_counts_each_kind_of_answer(address: str) -> None:
    found = load(address, b"image", clients=3, seconds=0.3)
    counts = [len(found.answered), len(found.refused), found.late]
    assert sum(counts) == Answers.asked >= 9 and max(counts) - min(counts) <= 3
    assert found.cpu == 2.0 * Answers.asked and found.seconds >= 0.3
    assert all(seconds > 0 for seconds in found.answered + found.refused)


def test_load_wants_no_other_answer(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answers, "statuses", (200, 500))
    with pytest.raises(ServerError, match="answered 500"):
        load(address, b"image", clients=1, seconds=5)


def test_the_command(tmp_path: Path, face_model: Path, detector_model: Path) -> None:
    page, out = tmp_path / "page.md", tmp_path / "out.json"
    page.write_text(f"# Page\n<!-- {COMMAND} -->\n<!-- end of {COMMAND} -->\n")
    options = f"--detector '{detector_model}' --workers 1 --queue"
    arguments = ["--serve", f"{options} 64", "--serve", f"{options} 1", "--clients", "1,4"]
    arguments += ["--seconds", "0.2", "--rounds", "2", "--json", str(out), "--update", str(page)]
    assert main(["serve", str(face_model), *arguments]) == 0
    steps = json.loads(out.read_text())["steps"]
    assert [(each["options"][-2:], each["clients"]) for each in steps] == [
        ("64", 1),
        ("64", 4),
        (" 1", 1),
        (" 1", 4),
    ]
    assert all(each["rate"]["median"] > 0 and each["p50_ms"] <= each["p99_ms"] for each in steps)
    # four at once are more than a queue of one takes, and no more than one of 64
    assert [each["refused"] > 0 for each in steps] == [False, False, False, True]
    assert "| plain loop in one process |" in page.read_text()


def test_a_server_that_does_not_start(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ServerError, match="did not start"):
        main(["serve", "--serve=--workers 0", "--seconds", "0.1"])
    assert "workers is 1 or more" in capfd.readouterr().err
