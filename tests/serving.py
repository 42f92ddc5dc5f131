"""A service in a thread of the test's process, and a detector that waits until it is told to go on."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import numpy as np
import uvicorn
from numpy.typing import NDArray

from faceperc.predict import Predictor
from faceperc.serve.app import create_app
from faceperc.serve.options import Options

PATIENCE = 60.0  # seconds until a test gives up; only a broken service takes that long


class GatedDetector:
    """Finds two faces in an image, when the gate is open and some time is over; counts the images."""

    boxes = np.array([[50.0, 20.0, 80.0, 60.0], [10.0, 12.0, 30.0, 40.0]])
    scores = np.array([0.9, 0.6])

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.gate = threading.Event()
        self.images = 0

    def detect(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        assert self.gate.wait(PATIENCE)
        self.images += 1
        time.sleep(self.seconds)
        return self.boxes, self.scores


@contextmanager
def serving(
    predictor: Predictor, options: Options | None = None, root_path: str = ""
) -> Iterator[httpx.Client]:
    """A client whose addresses are those of the service."""
    app = create_app(predictor, options)
    config = uvicorn.Config(app, log_level="warning", access_log=False, root_path=root_path)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with httpx.Client(base_url=address, timeout=PATIENCE) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the service did not end"


def metric(client: httpx.Client, name: str) -> float:
    """The value of one line of /metrics; 0 where it is not there yet."""
    headers = {"Authorization": client.headers.get("Authorization", "")}
    lines = client.get("/metrics", headers=headers).text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), 0.0)


def wait_until(is_so: Callable[[], bool]) -> None:
    """Ask again and again; it takes as long as it takes."""
    pause = threading.Event()
    for _ in range(round(PATIENCE / 0.01)):
        if is_so():
            return
        pause.wait(0.01)
    raise AssertionError("it never came to that")
