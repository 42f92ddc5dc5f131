"""Fetch onnxruntime-web, once, into web/vendor: python web/vendor.py.

npm fetches it, in the version and with the checksum below; the page itself loads nothing from other hosts.
Without npm: fetch the package's archive yourself and pass it with ``--file``.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

VERSION = "1.30.0"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
FILES = (
    # WebAssembly: 14 MB
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    # WebGPU: 27 MB, read only by browsers that have it
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
FOLDER = Path(__file__).parent / "vendor"


def main() -> None:
    """Fetch, check, unpack."""
    parser = argparse.ArgumentParser(description=f"Fetch onnxruntime-web {VERSION} into {FOLDER}.")
    parser.add_argument("--file", type=Path, help=f"onnxruntime-web-{VERSION}.tgz, already fetched")
    archive = parser.parse_args().file
    if archive and not archive.is_file():
        parser.exit(2, f"{archive}: no such file\n")
    with tempfile.TemporaryDirectory() as scratch:
        archive = archive or fetch(Path(scratch), parser)
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if digest != SHA512:
            parser.exit(2, f"{archive.name}: has the SHA-512 {digest}, wanted is {SHA512}\n")
        unpack(archive, Path(scratch) / "vendor")
        shutil.rmtree(FOLDER, ignore_errors=True)
        shutil.move(Path(scratch) / "vendor", FOLDER)
    print(f"onnxruntime-web {VERSION} is in {FOLDER}. Now: python web/serve.py")


def fetch(folder: Path, parser: argparse.ArgumentParser) -> Path:
    """The package's archive, by npm."""
    npm = shutil.which("npm")
    if npm is None:
        parser.exit(2, "npm was not found: install Node.js, or fetch the archive yourself and pass --file\n")
    command = [npm, "pack", f"onnxruntime-web@{VERSION}", "--silent", "--ignore-scripts"]
    if subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL).returncode:
        parser.exit(2, f"npm could not fetch onnxruntime-web {VERSION}; see above\n")
    return next(folder.glob("*.tgz"))


def unpack(archive: Path, folder: Path) -> None:
    """Take out the files that the page needs."""
    folder.mkdir()
    with tarfile.open(archive) as package:
        for name in FILES:
            member = package.extractfile(f"package/dist/{name}")
            assert member is not None  # the checksum says which archive this is
            (folder / name).write_bytes(member.read())


if __name__ == "__main__":
    main()
