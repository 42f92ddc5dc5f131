"""Serve the browser page on this computer: python web/serve.py.

``python -m http.server`` cannot send the two headers without which a browser gives WebAssembly no threads,
and the models are inside the installed faceperc package, not in this folder.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from faceperc.zoo import DEFAULT_DETECTOR, list_models, names, sample_image

FOLDER = Path(__file__).parent

HEADERS = {
    # cross-origin isolation: with it WebAssembly has threads
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-cache",  # asks again whether a file has changed
    "X-Content-Type-Options": "nosniff",
}


class Handler(SimpleHTTPRequestHandler):
    """The files of ``web/``, the models of the package under ``models/``, and its photograph."""

    # said here, because some systems' own tables call JavaScript plain text, which browsers refuse
    extensions_map = {  # noqa: RUF012
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def do_GET(self) -> None:
        """Answer; ``models/index.json`` is made up on the spot."""
        if self.path != "/models/index.json":
            return super().do_GET()
        face = [name for name in list_models() if f"/models/{name}.onnx" in _models()]
        body = json.dumps({"face": face, "detector": DEFAULT_DETECTOR}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def translate_path(self, path: str) -> str:
        """The file that a path of the address names."""
        files = {**_models(), "/sample.jpg": sample_image()}
        return str(files[path]) if path in files else super().translate_path(path)

    def end_headers(self) -> None:
        """Add the headers to every answer."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing about what went well; errors are still told."""


def _models() -> dict[str, Path]:
    """The models that came with the package, by their path on the page."""
    found = {f"/models/{name}.onnx": model.bundled(file) for name, (model, file) in names().items()}
    return {place: path for place, path in found.items() if path is not None}


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"is a number from 0 to 65535; got {text!r}")
    return int(text)


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Serve the browser page of faceperc on this computer.")
    parser.add_argument("--port", type=_port, default=8000, help="0 takes a free one")
    port = parser.parse_args().port
    if not (FOLDER / "vendor").is_dir():
        parser.exit(2, "onnxruntime-web is not here yet. Fetch it once: python web/vendor.py\n")
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), partial(Handler, directory=str(FOLDER)))
    except OSError as error:
        parser.exit(2, f"port {port} cannot be used ({error.strerror}); try --port 0\n")
    print(f"faceperc in your browser: http://127.0.0.1:{server.server_port}/ (Ctrl-C ends it)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
