"""Video files, cameras and broadcasts, decoded by PyAV (FFmpeg's libraries)."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from faceperc._names import no_such_file
from faceperc.errors import ImageError, UsageError
from faceperc.image import MIN_SIDE
from faceperc.video.frames import Frame, FrameSource, without_password

if TYPE_CHECKING:
    import av

T = TypeVar("T")

TIMEOUT = 10.0  # seconds without data after which a camera or a broadcast counts as ended
_TRANSPORTS = ("http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "tcp", "udp")
# What a stream of a URL may be carried by. No "file": a playlist from the network must not read the disk.
_REMOTE = ",".join([*_TRANSPORTS, "tls", "crypto", "hls", "httpproxy", "rtcp", "srtp"])
# FFmpeg plays text files as pictures of letters; nobody who names one means that.
_TEXT = ("ansi", "bintext", "xbin", "idf")
_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}:none")}


def import_av() -> ModuleType:
    """PyAV.

    Raises:
        UsageError: if it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise UsageError(f'video needs PyAV: pip install "faceperc[video]" [{error}]') from error
    return av


def open_file(path: str | os.PathLike[str], max_pixels: int) -> FrameSource:
    """A video file. It may name no other files of the network: a playlist of URLs is refused.

    Raises:
        ImageError: if it is missing, no video, or its frames are outside the limits.
        UsageError: if PyAV is not installed.
    """
    name = str(path)
    try:
        if not Path(path).exists():
            raise ImageError(f"{name}: {no_such_file(name)}")
        if not Path(path).is_file():  # reading a pipe or a device may never end
            raise ImageError(f"{name}: is not a regular file; pass a video file")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = getattr(error, "strerror", None) or error
        raise ImageError(f"{name}: cannot be read: {why}; check the path and its rights") from error
    # with its protocol no name is taken for a URL
    return _Video(f"file:{name}", name, max_pixels, protocols="file,crypto,data")


def open_url(url: str, max_pixels: int) -> FrameSource:
    """A file or a broadcast of the network.

    Raises:
        ImageError: if it cannot be opened.
        UsageError: if the URL's scheme is unknown, or PyAV is not installed.
    """
    scheme = url.partition("://")[0].lower()
    if scheme not in _TRANSPORTS:
        raise UsageError(f"{without_password(url)}: unknown scheme; use one of {', '.join(_TRANSPORTS)}")
    return _Video(url, without_password(url), max_pixels, protocols=_REMOTE, timeout=TIMEOUT)


def open_camera(number: int, max_pixels: int) -> FrameSource:
    """A camera of this machine, from 0.

    Raises:
        ImageError: if there is no such camera, or another program uses it.
        UsageError: if the number is negative, this system's cameras cannot be read, or PyAV is not installed.
    """
    if number < 0:
        raise UsageError(f"a camera's number is 0 or more; got {number}")
    if sys.platform not in _CAMERAS:
        raise UsageError(
            f"cameras cannot be opened by number on {sys.platform}; read the frames yourself, e.g. with "
            "OpenCV, and pass an iterable of RGB arrays"
        )
    form, device = _CAMERAS[sys.platform]
    return _Video(device.format(number), f"camera {number}", max_pixels, form=form, timeout=TIMEOUT)


class _Video(FrameSource):
    """What FFmpeg opens."""

    def __init__(
        self,
        location: str,
        name: str,
        max_pixels: int,
        *,
        form: str | None = None,
        protocols: str | None = None,
        timeout: float | None = None,
    ) -> None:
        self._av = import_av()
        self.name = name
        self._max_pixels = max_pixels
        self._damaged = 0
        self._broken: str | None = None  # why reading ended, if not at the end
        self._reading: Generator[Frame, None, None] | None = None
        self._end = 0  # of the last packet, in units of the stream's time base
        options = {} if protocols is None else {"protocol_whitelist": protocols}
        try:
            self._container: av.container.InputContainer = self._av.open(
                location, format=form, options=options, timeout=timeout
            )
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            advice = "check what 'faceperc video --help' says of sources, and whether it plays elsewhere"
            raise ImageError(f"{name}: cannot be opened as a video: {reason(error)}; {advice}") from error
        try:
            self._read_header(form)
        except BaseException:
            self._container.close()
            raise

    def _read_header(self, form: str | None) -> None:
        cover = self._av.stream.Disposition.attached_pic  # of a sound file
        streams = [
            each
            for each in self._container.streams.video
            if each.codec_context is not None
            and each.codec_context.name not in _TEXT
            and not each.disposition & cover
        ]
        if not streams:
            raise ImageError(
                f"{self.name}: holds no video that this PyAV can decode; convert it, e.g. to H.264 in MP4"
            )
        self._stream = stream = streams[0]
        context = stream.codec_context
        self._check_size(context.width, context.height)
        # FFmpeg refuses larger frames too, should the size change on the way, before it makes room for them
        context.options = {"max_pixels": str(self._max_pixels)}
        self.rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
        duration = self._container.duration
        self.is_live = form is not None or (duration is None and "://" in str(self._container.name))
        self.total = stream.frames or (round(duration / 1e6 * self.rate) if duration else None)

    def __iter__(self) -> Iterator[Frame]:
        self._reading = newest(self._frames()) if self.is_live else self._frames()
        return self._reading

    def _frames(self) -> Generator[Frame, None, None]:
        start, last = self._stream.start_time, -1
        for frame in self._decoded():
            base = frame.time_base or self._stream.time_base or 1 / self.rate
            if start is None:
                start = frame.pts or 0
            step = max(1, round(1 / (self.rate * base)))
            pts = last + step if frame.pts is None else frame.pts - start
            if pts <= last:  # times that stand still or run backwards; a frame before the start is one, too
                pts = last + step if last >= 0 else 0
            last = pts
            self._check_size(frame.width, frame.height)
            yield Frame(self._upright(frame), pts, base, self.name)
        if last < 0:
            raise ImageError(f"{self.name}: not one frame can be read; fetch or copy it again")

    def _decoded(self) -> Iterator[av.VideoFrame]:
        """The frames that are whole; the others are counted."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except self._av.error.FFmpegError as error:
                self._broken = reason(error)
                return
            if packet is None:
                return
            if packet.pts is not None:
                self._end = max(self._end, packet.pts + (packet.duration or 0))
            try:
                frames = packet.decode()
            except self._av.error.FFmpegError:
                self._damaged += 1
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self._damaged += 1
                else:
                    yield frame

    def _upright(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """(H, W, 3) RGB with square pixels, turned as the file says that it is to be shown."""
        shape = self._stream.sample_aspect_ratio
        width = round(frame.width * shape) if shape else frame.width
        self._check_size(width, frame.height)
        pixels = frame.reformat(width=width, format="rgb24").to_ndarray()
        quarter_turns = round(frame.rotation / 90)  # counter-clockwise, as NumPy's
        return np.ascontiguousarray(np.rot90(pixels, quarter_turns))

    def _check_size(self, width: int, height: int) -> None:
        if min(width, height) < MIN_SIDE:
            raise ImageError(
                f"{self.name}: is too small: {width} x {height} pixels; each side needs {MIN_SIDE}"
            )
        if width * height > self._max_pixels:
            raise ImageError(
                f"{self.name}: is too large: {width} x {height} pixels, more than {self._max_pixels}; shrink "
                "it, or give Predictor a larger max_pixels"
            )

    @property
    def lost(self) -> str | None:
        problems = []
        if self._damaged:
            frames = "1 damaged frame was" if self._damaged == 1 else f"{self._damaged} damaged frames were"
            problems.append(f"{frames} skipped")
        if self._broken:
            problems.append(f"reading ended early: {self._broken}")
        elif missing := self._missing():
            problems.append(f"the last {missing:.1f} s are missing")
        return f"{self.name}: {'; '.join(problems)}" if problems else None

    def _missing(self) -> float:
        """Seconds by which the video is shorter than it says; 0 where it does not say or they are few."""
        stream, base = self._stream, self._stream.time_base
        if base is None or self.is_live:
            return 0.0
        declared = None if stream.duration is None else float(stream.duration * base)
        if declared is None and len(self._container.streams) == 1 and self._container.duration:
            declared = self._container.duration / 1e6
        if declared is None:
            return 0.0
        missing = declared - float((self._end - (stream.start_time or 0)) * base)
        return missing if missing > max(0.25, 2 / float(self.rate)) else 0.0

    def close(self) -> None:
        if self._reading is not None:
            self._reading.close()  # first: a reader's thread must not read what is closed
        self._container.close()


def newest(frames: Iterable[T]) -> Generator[T, None, None]:
    """The newest of what comes while one is worked on: a reader's thread throws away what is older.

    Without it a slow reader falls further and further behind a camera.

    Args:
        frames: a source that gives frames at its own pace. What it raises is raised here.
    """
    slot: deque[T] = deque(maxlen=1)
    ready, stopped = threading.Event(), threading.Event()
    ended: list[BaseException | None] = []

    def read() -> None:
        error: BaseException | None = None
        try:
            for frame in frames:
                slot.append(frame)
                ready.set()
                if stopped.is_set():
                    break
        except BaseException as raised:  # of whatever kind: the other thread raises it
            error = raised
        ended.append(error)
        ready.set()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        while True:
            ready.wait()
            ready.clear()
            over = bool(ended)  # before the slot is read: what comes last is not missed
            if slot:
                yield slot.pop()
            if over:
                if ended[0] is not None:
                    raise ended[0]
                return
    finally:
        stopped.set()
        thread.join()  # the source is read by nobody when it is closed


def reason(error: Exception) -> str:
    """What FFmpeg or the system complains of, without the name of a file, which may be a temporary one."""
    return str(getattr(error, "strerror", None) or error)
