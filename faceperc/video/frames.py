"""Sources of frames: whatever a user names -> upright RGB frames with their times, one at a time."""

from __future__ import annotations

import os
import re
import urllib.parse
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from faceperc.errors import ImageError, UsageError
from faceperc.image import MAX_PIXELS, read_image

VideoSource: TypeAlias = "str | os.PathLike[str] | int | Iterable[NDArray[np.uint8] | Image.Image]"

#: Frames per second of a source that does not tell: a folder, or frames from memory.
DEFAULT_FPS = 25.0
MIN_FPS, MAX_FPS = 1e-4, 1e6  # FFmpeg writes no MP4 of frames that stand for days; results tell microseconds

_IMAGES = {".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True)
class Frame:
    """One picture of a video.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright.
        pts: when it is shown, in units of ``time_base`` since the source's beginning; each frame's is larger
            than the one's before.
        time_base: seconds.
        source: path of the file or name of the source that it is from; None for frames from memory.
    """

    image: NDArray[np.uint8]
    pts: int
    time_base: Fraction
    source: str | None = None

    @property
    def time(self) -> float:
        """When it is shown, seconds since the source's beginning."""
        return float(self.pts * self.time_base)


class FrameSource(ABC):
    """The frames of a source, to be read once; a context manager, which lets go of the source.

    Attributes:
        name: for people and JSON; None for frames from memory.
        total: about how many frames there are, or None where nobody knows.
        rate: about how many frames there are per second.
        is_live: a camera or a broadcast: frames that come while one is worked on are left out.
    """

    name: str | None = None
    total: int | None = None
    rate: Fraction
    is_live = False

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """The frames in the order in which they are shown.

        Raises:
            ImageError: if not one can be read, or one is outside the limits.
        """

    @property
    def lost(self) -> str | None:
        """One line about what could not be read so far, or None."""
        return None

    def close(self) -> None:  # noqa: B027  (most hold nothing open)
        """Let go of the source."""

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the source."""
        self.close()


def open_source(source: VideoSource, fps: float | None = None, max_pixels: int = MAX_PIXELS) -> FrameSource:
    """Open a source of frames. Nothing is fetched from a network unless the source is a URL.

    Args:
        source: a video file; a camera's number, as an int or a text of digits; an ``rtsp://``, ``http://`` or
            similar URL; a folder of images, which are taken in the order of their names, where 2 comes before
            10; or an iterable of frames, (H, W, 3) uint8 RGB arrays or Pillow images.
        fps: frames per second of a folder or iterable, by default 25; the others know their times.
        max_pixels: frames with more pixels are refused.

    Raises:
        ImageError: if the source cannot be opened.
        UsageError: if it is of no such kind, ``fps`` is not positive, or PyAV is needed and not installed.
    """
    if fps is not None and not (isinstance(fps, int | float | np.number) and MIN_FPS <= fps <= MAX_FPS):
        raise UsageError(f"fps is a number from {MIN_FPS:g} to {MAX_FPS:g}; got {fps!r}")
    if isinstance(source, str | os.PathLike | int) and not isinstance(source, bool):
        return _open_named(source, fps, max_pixels)
    if isinstance(source, bytes | bytearray | Image.Image) or not isinstance(source, Iterable):
        raise UsageError(
            f"cannot read a video from {type(source).__name__}: pass the path of a video or of a folder of "
            "images, a camera's number, a URL, or an iterable of RGB uint8 arrays (H, W, 3)"
        )
    if isinstance(source, np.ndarray) and source.ndim != 4:
        raise UsageError(f"frames in one array have the shape (T, H, W, 3); got {source.shape}")
    return _Memory(source, fps, max_pixels)


def _open_named(source: str | os.PathLike[str] | int, fps: float | None, max_pixels: int) -> FrameSource:
    from faceperc.video.decode import open_camera, open_file, open_url

    text = str(source)
    if isinstance(source, int) or (isinstance(source, str) and text.isdecimal()):
        return open_camera(int(text), max_pixels)
    if "://" in text:
        return open_url(text, max_pixels)
    if Path(text).is_dir():
        return _Folder(Path(text), fps, max_pixels)
    return open_file(text, max_pixels)


def without_password(url: str) -> str:
    """A URL for people: user name and password left out."""
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


class _Regular(FrameSource):
    """Frames at a constant rate."""

    def __init__(self, fps: float | None) -> None:
        self.rate = _simple(Fraction(fps or DEFAULT_FPS))

    def _frame(self, image: NDArray[np.uint8], number: int, source: str | None = None) -> Frame:
        return Frame(image, number, 1 / self.rate, source)


def _simple(rate: Fraction) -> Fraction:
    """A rate in small numbers, as files have it: 29.97 is 2997 / 100, and a frame per hour stays one."""
    return rate.limit_denominator(1001) if rate >= 1 else 1 / (1 / rate).limit_denominator(1001)


class _Memory(_Regular):
    """Frames that the caller has or makes."""

    def __init__(self, frames: Iterable[Any], fps: float | None, max_pixels: int) -> None:
        super().__init__(fps)
        self._frames = frames
        self._max_pixels = max_pixels
        self.total = len(frames) if isinstance(frames, Sized) else None

    def __iter__(self) -> Iterator[Frame]:
        for number, image in enumerate(self._frames):
            if not isinstance(image, np.ndarray | Image.Image):
                raise UsageError(
                    f"frame {number} is a {type(image).__name__}; frames are RGB uint8 arrays (H, W, 3) or "
                    "Pillow images"
                )
            try:
                pixels = read_image(image, max_pixels=self._max_pixels)
            except ImageError as error:
                raise ImageError(f"frame {number}: {error}") from error
            yield self._frame(pixels, number)


def _is_image(path: Path) -> bool:
    # what is hidden is no picture of the user's: macOS leaves a "._a.jpg" beside an "a.jpg" on foreign disks
    return path.suffix.lower() in _IMAGES and not path.name.startswith(".")


def _in_order(path: Path) -> tuple[list[str | int], str]:
    """Where a file comes among others: numbers in the names count as numbers, so that 2 comes before 10."""
    parts = re.split("([0-9]+)", path.name)  # every other part is a number
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], path.name


class _Folder(_Regular):
    """The images of a folder in the order of their names; those that cannot be read are left out."""

    def __init__(self, folder: Path, fps: float | None, max_pixels: int) -> None:
        super().__init__(fps)
        self.name = str(folder)
        self._max_pixels = max_pixels
        self._unreadable: list[str] = []
        try:
            self._files = sorted((each for each in folder.iterdir() if _is_image(each)), key=_in_order)
        except OSError as error:
            raise ImageError(
                f"{folder}: cannot be read: {error.strerror or error}; check its rights"
            ) from error
        if not self._files:
            raise ImageError(f"{folder}: holds no images; name a folder of JPEG, PNG or WebP files")
        self.total = len(self._files)

    def __iter__(self) -> Iterator[Frame]:
        for number, path in enumerate(self._files):
            try:
                image = read_image(path, max_pixels=self._max_pixels)
            except ImageError as error:
                self._unreadable.append(str(error))
                continue
            yield self._frame(image, number, str(path))
        if len(self._unreadable) == len(self._files):
            raise ImageError(f"{self.name}: not one image can be read; the first: {self._unreadable[0]}")

    @property
    def lost(self) -> str | None:
        count = len(self._unreadable)
        more = f"; {count - 1} more images were left out" if count > 1 else ""
        return f"{self._unreadable[0]}{more}" if count else None
