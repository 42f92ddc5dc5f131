"""What `faceperc video` does: read, predict, draw, write and show, until the end or Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from faceperc._files import Draft, check_target
from faceperc.errors import UsageError
from faceperc.results import Faces
from faceperc.video.frames import FrameSource, open_source
from faceperc.video.stream import FaceStream
from faceperc.video.write import VideoWriter

STOPPED = 130  # the exit code of a program that Ctrl-C ended


@dataclass(frozen=True)
class Outputs:
    """Where the results go.

    Attributes:
        video: file for the drawn frames, or None.
        json: file for one JSON document per frame and line, ``-`` for standard output, or None.
        show: show the drawn frames in a window.
    """

    video: Path | None
    json: str | None
    show: bool

    def __post_init__(self) -> None:
        """Raises UsageError if there is none."""
        if self.video is None and self.json is None and not self.show:
            raise UsageError("give --out, --json or --show; see 'faceperc video --help'")


def run(source: str, outputs: Outputs, stream: FaceStream, fps: float | None) -> int:
    """Work through a video.

    Returns:
        0 if all is done, 1 if a part of the source was lost (it is named), 130 if Ctrl-C ended it. What was
        done by then is kept in all cases.

    Raises:
        ImageError: if the source cannot be opened, or nothing of it can be read.
        UsageError: if an output cannot be written or shown.
        ModelError: if a model fails.
    """
    with ExitStack() as stack:
        frames = stack.enter_context(open_source(source, fps))
        _keep_source(source, outputs)
        writer = (
            None if outputs.video is None else stack.enter_context(VideoWriter(outputs.video, frames.rate))
        )
        lines = None if outputs.json is None else stack.enter_context(_lines(outputs.json))
        window = stack.enter_context(_Window(frames.name or "faceperc")) if outputs.show else None
        stopped = stack.enter_context(_on_interrupt())
        advance = stack.enter_context(_progress(frames))
        for frame in frames:
            if stopped.is_set():
                break
            faces = stream(frame, frames.name)
            drawn = faces.draw() if writer or window else None
            if lines is not None:
                lines.write(faces.to_json() + "\n")
            if writer is not None and drawn is not None:
                writer.write(drawn, frame.pts, frame.time_base)
            if window is not None and drawn is not None and not window.show(np.asarray(drawn)):
                break
            advance(faces)
    print(_summary(stream), file=sys.stderr)
    if stopped.is_set():
        print("faceperc: stopped; what was done is kept", file=sys.stderr)
        return STOPPED
    if frames.lost:
        print(f"faceperc: {frames.lost}", file=sys.stderr)
    return 1 if frames.lost else 0


def _summary(stream: FaceStream) -> str:
    plural = "" if stream.frames == 1 else "s"
    return f"{stream.frames} frame{plural}, the detector looked at {stream.detections}"


def _keep_source(source: str, outputs: Outputs) -> None:
    """Refuse to write over what is read."""
    for target in (outputs.video, outputs.json):
        try:
            is_source = target is not None and os.path.samefile(source, target)
        except (OSError, ValueError):  # one of them is no file
            continue
        if is_source:
            raise UsageError(f"{target}: is the source; write to another file")


@contextlib.contextmanager
def _lines(target: str) -> Iterator[IO[str]]:
    """A text file that gets its name at the end, whatever ends it."""
    if target == "-":
        yield sys.stdout
        return
    check_target(target)
    if Path(target).exists() and not Path(target).is_file():  # a pipe or a device: written to, not replaced
        with open(target, "w", encoding="ascii") as file:
            yield file
        return
    draft = Draft(target)
    try:
        with open(draft.path, "w", encoding="ascii") as file:
            yield file
    finally:
        draft.finish()


@contextlib.contextmanager
def _on_interrupt() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets instead of ending the program at once: lines and frames stay whole.

    A second Ctrl-C ends it, should the source hang.
    """
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if threading.current_thread() is not threading.main_thread():  # only the main thread may ask for signals
        yield stopped
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _progress(frames: FrameSource) -> Iterator[Any]:
    """A function to call with the faces of each frame; on a terminal it moves a bar, elsewhere nothing."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]} frames/s, {task.fields[faces]} faces", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=frames.total, rate="?", faces=0)

        def advance(faces: Faces) -> None:
            speed = progress.tasks[task].speed
            rate = "?" if speed is None else f"{speed:.1f}"
            progress.update(task, advance=1, rate=rate, faces=len(faces))

        yield advance


class _Window:
    """A window of OpenCV, if one with windows is installed."""

    def __init__(self, title: str) -> None:
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise UsageError("--show needs a display, and there is none (DISPLAY is not set)")
        try:
            import cv2
        except ImportError as error:
            raise UsageError(f"--show needs OpenCV: pip install opencv-python [{error}]") from error
        self._cv2, self._title = cv2, title
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL)
        except cv2.error as error:  # the build without windows
            raise UsageError(
                "--show needs an OpenCV with windows: pip uninstall opencv-python-headless, then pip install "
                "opencv-python"
            ) from error

    def show(self, image: np.ndarray) -> bool:
        """Show an RGB image; False if q or Esc was pressed, or the window closed."""
        self._cv2.imshow(self._title, image[..., ::-1])
        key = self._cv2.waitKey(1) & 0xFF
        visible = self._cv2.getWindowProperty(self._title, self._cv2.WND_PROP_VISIBLE) >= 1
        return bool(visible) and key not in (ord("q"), 27)

    def __enter__(self) -> _Window:
        return self

    def __exit__(self, *_: object) -> None:
        self._cv2.destroyWindow(self._title)
