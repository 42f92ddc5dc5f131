"""Where the documentation's code blocks run: a folder with the files that the pages speak of."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from doc_blocks import ROOT, Block
from doc_server import connect
from doc_service import STATED, Service, is_service, split_at_services
from hub_server import TOKEN, Hub
from PIL import Image
from tiny_head import write_tiny_model
from tiny_pack import tiny_config, write_pack
from tiny_photos import write_model, write_photos, write_table
from tiny_video import portrait, write_video

from faceperc.model_folder import FILES
from faceperc.zoo import sample_image

TESTS = Path(__file__).parent
#: What of this checkout the pages' commands read.
CHECKOUT = (
    "configs",
    "docs",
    "examples",
    "export",
    "faceperc",
    "heads",
    "web",
    "CONTRIBUTING.md",
    "README.md",
)
NANO = ROOT / "faceperc/models/faceperc-nano"
#: A network that is exported in seconds.
TINY = tiny_config(heads={"landmarks": {"head": "faceperc.heads.landmarks.Landmarks"}})
TINY["backbone"]["blocks"] = 1


@contextmanager
def serving(folder: Path, hub: Hub) -> Iterator[Path]:
    """A server of commands (doc_server.py) whose Hub is this one; gives its socket."""
    address = folder / "server"
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",  # a process in which threads have run cannot be forked safely
        "HF_ENDPOINT": hub.url,  # the client reads these when it is imported
        "HF_HOME": str(folder / "hf"),
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
    }
    server = subprocess.Popen(
        [sys.executable, str(TESTS / "doc_server.py"), str(address)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert server.stdin is not None and server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    yield address
    server.stdin.close()
    server.wait()
    server.stdout.close()


class Workshop:
    """A reader's checkout with the reader's own files in it, and a shell with `faceperc` on its path."""

    def __init__(self, template: Path, folder: Path, server: Path) -> None:
        """Copy the template.

        Args:
            template: what ``write_template`` wrote, on the same disk as the folder.
            folder: an empty folder.
            server: the socket of ``serving``.
        """
        self.folder = folder / "checkout"
        self._server = server
        shutil.copytree(template, self.folder, copy_function=_copy, symlinks=True)
        client = f"{sys.executable} -S -E {TESTS / 'doc_server.py'} {server}"
        python = sys.executable
        commands = {"faceperc": f"{client} run", "python": python, "python3": python}
        programs = _write_programs(folder / "bin", commands)
        self._checking = _write_programs(folder / "check", {"faceperc": f"{client} check"})
        self.environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "FACEPERC_DATA": str(self.folder / "data"),
            "OMP_NUM_THREADS": "1",
            "HF_TOKEN": TOKEN,
        }
        self._session: socket.socket | None = None
        self._service: Service | None = None

    def run(self, block: Block) -> None:
        """Run a block of Python or shell; fail with the page, the line and what was printed."""
        problem = self._python(block) if block.language == "python" else self._shell(block)
        assert problem is None, f"{block}\n\n{block.text}\n{problem}"

    def understood(self, command: str) -> str | None:
        """What is wrong with a line `faceperc ...`, by the command's own parser; None if nothing."""
        return self._bash(f'export PATH="{self._checking}:$PATH" PYTHONPATH="$PWD:$PYTHONPATH"\n{command}')

    def use_tiny_model(self) -> None:
        """Let the reader's trained model be one that is exported in seconds."""
        shutil.rmtree(self.folder / "runs/nano/model")
        shutil.copytree(self.folder / "runs/tiny/model", self.folder / "runs/nano/model")

    def close(self) -> None:
        """End the page's Python and its service."""
        if self._service is not None:
            self._service.stop()
        if self._session is not None:
            self._stream.close()
            self._session.close()

    def _shell(self, block: Block) -> str | None:
        for piece in split_at_services(block.text):
            if is_service(piece):
                self._start(piece)
            elif problem := self._bash(self._at_service(piece)):
                return problem
        return None

    def _start(self, command: str) -> None:
        """Start the service of a page, in the place of an earlier one."""
        if self._service is not None:
            self._service.stop()
        self._service = Service(command, self.folder, self.environment)

    def _at_service(self, text: str) -> str:
        """The text with the running service's address."""
        return text if self._service is None else text.replace(STATED, self._service.address)

    def _bash(self, text: str) -> str | None:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return f"exit code {done.returncode}\n{done.stdout}{done.stderr}" if done.returncode else None

    def _python(self, block: Block) -> str | None:
        if self._session is None:
            self._session = connect(str(self._server), "session", [], str(self.folder), self.environment)
            self._stream = self._session.makefile("rw")
        request = {"page": str(block.page), "line": block.line, "text": self._at_service(block.text)}
        self._stream.write(json.dumps(request) + "\n")
        self._stream.flush()
        answer = self._stream.readline()
        assert answer, f"{block}: Python ended"
        problem: str | None = json.loads(answer)
        return problem


def fill_hub(hub: Hub) -> None:
    """Put the model of the pages on the Hub: org/name, tagged v1."""
    repo = hub.repo("org/name")
    files = {name: (NANO / name).read_bytes() for name in FILES if (NANO / name).is_file()}
    repo.tag("v1", repo.commit(files))


def write_template(folder: Path) -> Path:
    """A checkout, and in it photographs, a clip, a table, a data pack, and what earlier trainings left."""
    ignored = shutil.ignore_patterns("__pycache__", "vendor", "*.pyc")
    for name in CHECKOUT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored, symlinks=True)
        else:
            shutil.copy(ROOT / name, folder / name)
    for name in ("photo.jpg", "a.jpg"):
        shutil.copy(sample_image(), folder / name)
    Image.open(sample_image()).resize((256, 256)).save(folder / "b.png")
    frames = [np.asarray(portrait())] * 4
    write_video(folder / "clip.mp4", frames)
    (folder / "folder").mkdir()
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / "folder" / f"{index}.png")
    rows = write_photos(folder / "photos", 10)
    shutil.copy(sample_image(), folder / "photos/portrait.jpg")
    write_images(folder / "packs", [sample_image().read_bytes()] * 2)
    for table in ("labels.csv", "photos/labels.csv"):
        write_table(folder / table, rows)
    write_pack(folder / "data", 4)
    write_tiny_model(folder / "data")
    for model in ("runs/nano/model", "runs/nano-before/model"):
        shutil.copytree(NANO, folder / model)
    shutil.copy(NANO / "README.md", folder / "card.md")
    write_model(folder / "runs/tiny/model", **TINY)
    sources = [{"class_path": f"faceperc.data.pack.{name}"} for name in ("W300", "UTKFace")]
    (folder / "sources.yaml").write_text(json.dumps(sources))
    task = yaml.safe_load((folder / "configs/train/finetune-csv.yaml").read_text())
    heads = TINY["heads"] | {"glasses": task["model"]["network"]["heads"]["glasses"]}
    task["model"] |= {"start_from": "runs/tiny/model", "network": TINY | {"heads": heads}}
    (folder / "my-task.yaml").write_text(yaml.safe_dump(task))
    return folder


def write_images(folder: Path, images: list[bytes]) -> None:
    """A Parquet file of images, each with a key."""
    folder.mkdir()
    pq.write_table(pa.table({"id": range(len(images)), "image": images}), folder / "0.parquet")


def _copy(source: str, target: str) -> None:
    """Large files are linked: commands replace files, and never write into them."""
    if Path(source).stat().st_size > 300_000:
        os.link(source, target)
    else:
        shutil.copy(source, target)


def _write_programs(folder: Path, commands: dict[str, str]) -> Path:
    """A folder for PATH with programs that run these commands."""
    folder.mkdir()
    for name, command in commands.items():
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        program.chmod(0o755)
    return folder
