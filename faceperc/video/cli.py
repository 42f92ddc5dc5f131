"""What `faceperc video` does: read, predict, draw, write and show, until the end or Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

import numpy as np

from faceperc._console import progress_bar
from faceperc._files import Draft, check_json_target
from faceperc.draw import DrawOptions
from faceperc.errors import UsageError
from faceperc.video.frames import open_source
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
        drawing: how they are drawn.
    """

    video: Path | None
    json: str | None
    show: bool
    drawing: DrawOptions = field(default_factory=lambda: DrawOptions())

    def __post_init__(self) -> None:
        """Raises UsageError if there is none, or one that no video can have."""
        if self.video is None and self.json is None and not self.show:
            raise UsageError("give --out, --json or --show; see 'faceperc video --help'")
        if self.drawing and self.video is None and not self.show:
            raise UsageError("--draw-size, --captions and --pose go with --out or --show")
        if self.drawing.get("captions") == "margin":
            raise UsageError(
                "--captions margin: it is as wide as its text, and all frames of a video have one size; "
                "give on or off"
            )


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
        _check_targets(source, outputs)
        stopped = stack.enter_context(_on_interrupt())  # the files below are closed before it ends
        writer = (
            None if outputs.video is None else stack.enter_context(VideoWriter(outputs.video, frames.rate))
        )
        lines = None if outputs.json is None else stack.enter_context(_Lines(outputs.json))
        window = stack.enter_context(_Window(frames.name or "faceperc")) if outputs.show else None
        advance = stack.enter_context(progress_bar(frames.total, "frames"))
        for frame in frames:
            if stopped.is_set():
                break
            faces = stream(frame)
            drawn = faces.draw(**outputs.drawing) if writer or window else None
            if lines is not None:
                lines.write(faces.to_json())
            if writer is not None and drawn is not None:
                writer.write(drawn, frame.pts, frame.time_base)
            if window is not None and drawn is not None and not window.show(np.asarray(drawn)):
                break
            advance(stream.frames, f"{len(faces)} face{'' if len(faces) == 1 else 's'}")
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


def _check_targets(source: str, outputs: Outputs) -> None:
    """Refuse to write over what is read, and two things into one file."""
    paths = [os.path.realpath(each) for each in (outputs.video, outputs.json) if each is not None]
    if len(paths) > len({*paths}):
        raise UsageError(f"{outputs.json}: is named twice; write video and JSON to different files")
    for target in (outputs.video, outputs.json):
        try:
            is_source = target is not None and os.path.samefile(source, target)
        except (OSError, ValueError):  # one of them is no file
            continue
        if is_source:
            raise UsageError(f"{target}: is the source; write to another file")


class _Lines:
    """A text file that gets its name at the end, whatever ends it; but no line replaces no older file."""

    def __init__(self, target: str) -> None:
        """Begin a file, or standard output for "-"."""
        self._target = target
        self._draft: Draft | None = None
        self._file: IO[str] = sys.stdout
        self._is_empty = True
        if target == "-":
            return
        check_json_target(target)
        path = Path(target)
        if not path.exists() or path.is_file():  # else a pipe or a device: written to, not replaced
            self._draft = Draft(target)
            path = self._draft.path
        try:
            self._file = open(path, "w", encoding="ascii")  # noqa: SIM115  (closed by __exit__)
        except OSError as error:
            raise self._refusal(error) from error

    def write(self, line: str) -> None:
        """Write a line now: whoever reads a pipe need not wait for more.

        Raises:
            UsageError: if it cannot be written, as on a full disk.
            BrokenPipeError: if nobody reads the pipe any more, as after `head`: a quiet end of the command.
        """
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._refusal(error) from error
        self._is_empty = False

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if self._file is not sys.stdout:
                self._file.close()
            if self._draft is not None and (kind is None or not self._is_empty):
                self._draft.finish()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._refusal(error) from error
        finally:
            if self._draft is not None:
                self._draft.discard()

    def _refusal(self, error: OSError) -> UsageError:
        return UsageError(f"{self._target}: cannot be written: {error.strerror or error}")


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


class _Window:
    """A window of OpenCV, if one with windows is installed."""

    def __init__(self, title: str) -> None:
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise UsageError("--show needs a display, and there is none (DISPLAY is not set); use --out")
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
