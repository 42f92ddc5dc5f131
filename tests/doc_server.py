"""Runs `faceperc` commands and Python code for the documentation's tests, without starting Python each time.

A process that has imported everything once is forked for each command, which then runs as a new process does:
with the caller's folder, environment, arguments, and standard streams. Written for those tests alone.

    python doc_server.py SOCKET          serves until its standard input ends
    python doc_server.py SOCKET run ...  one command: what `faceperc` on the tests' PATH is
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

# On two cores, and cut short: what a page shows is that the command works, not how good its model gets.
SHORT = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=1", "--trainer.limit_val_batches=1"]
TRAIN = [*SHORT, "--trainer.accelerator=cpu", "--data.workers=0"]
APPENDED = {
    "train": [*TRAIN, "--data.batch_size=2", "--trainer.check_val_every_n_epoch=1"],
    "pretrain": [*TRAIN, "--data.batch_size=2"],
}

SMALL = Path("runs/tiny/model")  # in the folder of the page
PRELOADED = (
    "huggingface_hub",
    "lightning.pytorch.cli",
    "onnxruntime",
    "faceperc.export.cli",
    "faceperc.finetune",
    "faceperc.predict",
    "faceperc.train",
)


class Parsed(Exception):
    """Raised in place of running a command whose arguments are understood."""


def check(args: list[str]) -> None:
    """Let a command's own parser read its arguments, and do nothing more."""
    import argparse

    import jsonargparse
    from typer.main import get_command

    from faceperc.cli import TRAINING, app

    command = get_command(app).commands[args[0]]  # type: ignore[attr-defined]
    command.make_context(args[0], args[1:])
    if args[0] not in TRAINING:
        return
    for parser in (argparse.ArgumentParser, jsonargparse.ArgumentParser):
        original = parser.parse_args

        def parse(self: Any, *given: Any, original: Any = original, **named: Any) -> Any:
            original(self, *given, **named)
            raise Parsed

        parser.parse_args = parse  # type: ignore[method-assign]
    try:
        _, module, _ = TRAINING[args[0]]
        importlib.import_module(module).main(args[1:])
    except Parsed:
        return
    raise AssertionError(f"faceperc {args[0]} did not read its arguments")


def run_command(args: list[str]) -> int:
    """`faceperc ARGS`: its exit code."""
    from faceperc.cli import main

    sys.argv = ["faceperc", *args, *APPENDED.get(args[0] if args else "", [])]
    try:
        main()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0


def start_small() -> None:
    """Let trainings in Python that begin with the default model begin with the workshop's small one.

    tests/test_notebook.py takes the default model all the way.
    """
    from faceperc import finetune, train, zoo

    def find(model: Any) -> Path:
        return SMALL if model == zoo.DEFAULT_MODEL else zoo.find_weights(model)

    finetune.find_weights = train.find_weights = find


def session(connection: socket.socket) -> None:
    """Run the Python blocks of a page, one after the other, in one namespace."""
    start_small()
    names: dict[str, Any] = {"__name__": "__main__"}
    with connection.makefile("rw") as stream:
        for line in stream:
            block = json.loads(line)
            error = None
            try:
                source = "\n" * (block["line"] - 1) + block["text"]
                exec(compile(source, block["page"], "exec"), names)
            except BaseException as problem:
                error = "".join(traceback.format_exception(problem, chain=False))
            sys.stdout.flush()
            stream.write(json.dumps(error) + "\n")
            stream.flush()


def serve_one(connection: socket.socket) -> int:
    """In the forked process: become the caller, and do what it asks."""
    header, files, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    request = json.loads(header)
    for number, file in enumerate(files):
        os.dup2(file, number)
    # the server's own streams remember what was on these numbers before, and a thread of it holds one's lock
    sys.stdin = os.fdopen(0)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    places = request["environment"].get("PYTHONPATH", "").split(":")
    sys.path[:0] = ["", *places] if request["kind"] == "session" else places
    try:
        match request["kind"]:
            case "session":
                session(connection)
                return 0
            case "check":
                check(request["args"])
                return 0
            case _:
                return run_command(request["args"])
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1


def preload() -> None:
    """Import what most commands need, and run none of it: the process is forked."""
    for module in PRELOADED:
        importlib.import_module(module)


def reap(*_: object) -> None:
    """Wait for the forked processes that have ended, so that their time counts as the server's."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def serve(path: str) -> None:
    """Answer on a socket until standard input ends."""
    preload()
    signal.signal(signal.SIGCHLD, reap)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    print("ready", flush=True)
    # ends with the process that started it
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            code = serve_one(connection)
            sys.stdout.flush()
            sys.stderr.flush()
            with contextlib.suppress(BrokenPipeError):  # a session ends when nobody listens any more
                connection.sendall(f"{code}\n".encode())
            os._exit(code)
        connection.close()


def connect(path: str, kind: str, args: list[str], folder: str, environment: dict[str, str]) -> socket.socket:
    """Ask the server for a command or a session, with this process's standard streams."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    request = {"kind": kind, "args": args, "folder": folder, "environment": environment}
    socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
    return connection


def main() -> int:
    """See the module's docstring."""
    path, *words = sys.argv[1:]
    if not words:
        serve(path)
    connection = connect(path, words[0], words[1:], str(Path.cwd()), dict(os.environ))
    return int(connection.makefile().readline() or 1)


if __name__ == "__main__":
    sys.exit(main())
