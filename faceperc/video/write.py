"""Video files: frames with the times that they came with, as H.264."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from faceperc._files import Draft, check_target
from faceperc.errors import UsageError
from faceperc.video.decode import import_av, reason

#: Frames per second at most: Matroska counts milliseconds.
_MOST = {".mkv": 1000}
#: ITU-R BT.709 and its limited range, by their numbers in ITU-T H.273.
_BT709, _LIMITED = 1, 1
_SUFFIXES = {".mp4": "mp4", ".mkv": "matroska", ".mov": "mov"}


class VideoWriter:
    """Writes a video file, H.264 in yuv420p without sound, which every player plays.

    The file has a temporary name until it is closed, and is whole then, also where fewer frames came than
    were meant to. Without a frame there is no file. Frames keep the times of their source. Odd sizes get a
    repeated last row or column, as yuv420p has a colour for each 2 x 2 pixels.
    """

    def __init__(self, path: str | Path, rate: Fraction) -> None:
        """Check that the file can be written. It is made at the first frame, whose size all others get.

        Args:
            path: ``.mp4``, ``.mkv`` or ``.mov``.
            rate: about how many frames there are per second, for the header; the frames' own times count. In
                ``.mkv`` at most 1000.

        Raises:
            UsageError: if the suffix or the rate is another, the file cannot be written, or PyAV is not
                installed.
        """
        self._av = import_av()
        self._path = Path(path)
        if self._path.suffix.lower() not in _SUFFIXES:
            raise UsageError(f"{path}: cannot write {self._path.suffix!r}; use {', '.join(_SUFFIXES)}")
        most = _MOST.get(self._path.suffix.lower())
        if most is not None and rate > most:
            raise UsageError(f"{path}: {float(rate):g} frames a second; at most {most} fit in; use .mp4")
        check_target(self._path)
        self._rate = rate
        self._draft: Draft | None = None

    def write(self, image: NDArray[np.uint8] | Image.Image, pts: int, time_base: Fraction) -> None:
        """Add a frame.

        Args:
            image: (H, W, 3) uint8 RGB, or a Pillow image.
            pts: when it is shown, in units of ``time_base``; larger than the last frame's.
            time_base: seconds; the first frame's counts.

        Raises:
            UsageError: if it cannot be written, or this PyAV has no H.264 encoder.
        """
        picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
        try:
            if self._draft is None:
                self._open(picture.size, time_base)
            if picture.size != self._size:
                picture = picture.resize(self._size, Image.Resampling.BILINEAR)
            frame = self._av.VideoFrame.from_ndarray(_even(np.asarray(picture.convert("RGB"))), "rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED)
            frame.pts, frame.time_base = pts, time_base
            self._container.mux(self._stream.encode(frame))
        except UsageError:
            raise
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            raise UsageError(f"{self._path}: cannot be written: {reason(error)}") from error

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            UsageError: if it cannot be written.
        """
        draft, self._draft = self._draft, None
        if draft is None:
            return
        try:
            with self._container:
                self._container.mux(self._stream.encode(None))
        except BaseException as error:
            draft.discard()
            if isinstance(error, self._av.error.FFmpegError | OSError | ValueError):
                raise UsageError(f"{self._path}: cannot be written: {reason(error)}") from error
            raise
        draft.finish()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Finish the file, whatever happened: what was written is kept."""
        self.close()

    def _open(self, size: tuple[int, int], time_base: Fraction) -> None:
        self._size = size
        draft = Draft(self._path)
        try:
            form = _SUFFIXES[self._path.suffix.lower()]
            self._container = self._av.open(str(draft.path), "w", format=form)
            try:
                self._stream = self._container.add_stream("libx264", rate=self._rate)
            except (self._av.error.FFmpegError, ValueError) as error:
                raise UsageError(f'this PyAV cannot write H.264 ({error}): pip install "av>=14"') from error
            self._stream.width, self._stream.height = (side + side % 2 for side in size)
            self._stream.pix_fmt = "yuv420p"
            context = self._stream.codec_context
            # said in the file: players guess otherwise, by the size
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = _LIMITED
            context.max_b_frames = 0  # with them the header's duration is wrong where times are uneven
            self._stream.time_base = context.time_base = time_base
        except BaseException:
            draft.discard()
            raise
        self._draft = draft


def _even(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) with even H and W."""
    height, width = image.shape[:2]
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
