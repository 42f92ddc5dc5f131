"""Any input that a user may hand over -> an RGB uint8 array, with limits and clear errors."""

from __future__ import annotations

import io
import os
import stat
import warnings
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from faceperc._names import no_such_file
from faceperc.errors import ImageError, ImageFormatError, ImageTooLargeError

ImageSource: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image | NDArray[Any]"

# Python's list of warnings that are not shown is one for all threads: two that change it at once mix it up.
_warnings_lock = Lock()

MAX_PIXELS = 100_000_000
MAX_BYTES = 256 * 1024 * 1024
MIN_SIDE = 8

# Only Pillow's readers of these are asked. It has many more, and some of them start other programs (EPS runs
# Ghostscript), decode all pixels to tell the size (ICO), or are for no photographs. JPEG's reads MPO too.
# HEIF is there for those who registered pi-heif with Pillow.
FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")


def read_image(
    source: ImageSource, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> NDArray[np.uint8]:
    """Read an image from wherever it is.

    The EXIF orientation is applied, transparency is laid over white, 16-bit grey is scaled to 8 bit (not
    clipped; grey of no stated depth has 16 bits if a value is above 255), and of an animation the first frame
    is taken. The header is checked against the limits before any pixel is decoded.

    Args:
        source: a path, the bytes of an image file, a Pillow image, or a uint8 array: RGB (H, W, 3)
            or grey (H, W).
        max_pixels: largest number of pixels that is accepted.
        max_bytes: largest size of a file or of bytes that is accepted.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous. It shares memory with ``source`` where that is such an array.

    Raises:
        ImageError: if the image cannot be read or is outside the limits; the message names the source, the
            reason and what to do.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    if isinstance(source, Image.Image):
        name = str(getattr(source, "filename", "") or "Pillow image")
        return _decode(source, name, max_pixels)
    if isinstance(source, bytes | bytearray | memoryview):
        return _from_bytes(bytes(source), f"{len(source)} bytes", max_pixels, max_bytes)
    if isinstance(source, str | os.PathLike):
        return _from_bytes(_read_file(source, max_bytes), str(source), max_pixels, max_bytes)
    raise ImageError(
        f"cannot read an image from {type(source).__name__}: "
        "pass a path, the bytes of an image file, a Pillow image, or an RGB uint8 array (H, W, 3)"
    )


def _read_file(source: str | os.PathLike[str], max_bytes: int) -> bytes:
    name = str(source)
    if name.startswith(("http://", "https://")):
        raise ImageError(
            f"{name}: is a URL, and nothing is downloaded: fetch it first, and pass the file or its bytes"
        )
    if not name:
        raise ImageError("an empty path names no image; give the path of an image file")
    path = Path(source)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(
                f"{name}: is a directory; pass the images in it, or 'faceperc predict {name} --out FILE'"
            )
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device may never end
            raise ImageError(f"{name}: is not a regular file; pass an image file or its bytes")
        _check_bytes(status.st_size, name, max_bytes)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"{name}: {no_such_file(path)}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{name}: cannot be read: {reason}; check the path and its rights") from error


def image_size(data: bytes, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height of an image file, from its header alone: as they are stored, not turned upright.

    Raises:
        ImageTooLargeError: if it has more pixels than ``max_pixels``.
        ImageFormatError: if it is of no format that is read.
        ImageError: if the header is damaged, or a side is too short.
    """
    name = f"{len(data)} bytes"
    with _open(data, name) as picture:
        _check_size(picture.width, picture.height, name, max_pixels)
        return picture.width, picture.height


def _from_bytes(data: bytes, name: str, max_pixels: int, max_bytes: int) -> NDArray[np.uint8]:
    _check_bytes(len(data), name, max_bytes)
    with _open(data, name) as picture:
        return _decode(picture, name, max_pixels)


def _open(data: bytes, name: str) -> Image.Image:
    """The image of a file, of which only the header is read."""
    try:
        # the limit here replaces Pillow's warning about large images
        with _warnings_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return _open_known(data)
    except Image.UnidentifiedImageError as error:
        raise ImageFormatError(f"{name}: is not an image of a known format; use JPEG, PNG or WebP") from error
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(
            f"{name}: is too large, even for Pillow: {error}; shrink it first"
        ) from error
    except Exception as error:  # a damaged header: each of Pillow's plugins raises its own kind
        raise _damaged(name, error) from error


def _open_known(data: bytes) -> Image.Image:
    Image.preinit()  # the commonest formats: the others take a while to import
    try:
        return Image.open(io.BytesIO(data), formats=[each for each in FORMATS if each in Image.OPEN])
    except Image.UnidentifiedImageError:
        Image.init()
        return Image.open(io.BytesIO(data), formats=[each for each in FORMATS if each in Image.OPEN])


def _decode(picture: Image.Image, name: str, max_pixels: int) -> NDArray[np.uint8]:
    _check_size(picture.width, picture.height, name, max_pixels)
    try:
        picture.load()
    except Exception as error:  # truncated or damaged data: OSError, SyntaxError, ValueError, zlib.error, ...
        raise _damaged(name, error) from error
    try:
        return np.ascontiguousarray(_to_rgb(_upright(picture), name, picture.format))
    except (ValueError, OSError) as error:
        raise ImageError(
            f"{name}: mode {picture.mode} cannot be converted to RGB: {error}; save it as RGB"
        ) from error


def _upright(picture: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # EXIF that nobody can read says nothing about the orientation; the pixels are fine
        return picture


def _to_rgb(picture: Image.Image, name: str, image_format: str | None) -> NDArray[np.uint8]:
    """Any mode -> (H, W, 3) uint8; the format is that of the file, if there was one."""
    if picture.mode == "F":
        raise ImageError(f"{name}: holds floats, which have no agreed range; save it with 8 bits per channel")
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        grey = np.asarray(picture).astype(np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise ImageError(f"{name}: holds more than 16 bits per pixel; save it with 8 bits per channel")
        # "I" says nothing of the depth, but where Pillow reads a file's 16 bits into it
        if picture.mode != "I" or image_format in ("PNG", "PPM") or grey.max() > 255:
            # Pillow's own conversion clips at 255, which turns a 16-bit photograph white
            grey = np.round(grey / 257)
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.asarray(picture.convert("RGB"))


def _from_array(array: NDArray[Any], max_pixels: int) -> NDArray[np.uint8]:
    wanted = "an image array is uint8 RGB (H, W, 3) or grey (H, W) with values 0 to 255"
    given = f"got {array.dtype} {array.shape}"
    if array.dtype != np.uint8:
        hint = ""
        if np.issubdtype(array.dtype, np.floating):
            hint = "; for floats in [0, 1] pass (255 * array).round().astype(np.uint8)"
        raise ImageError(f"{wanted}; {given}{hint}")
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3, 4):
        raise ImageError(f"{wanted}; {given}: the channels come last, pass array.transpose(1, 2, 0)")
    if array.ndim == 3 and array.shape[2] == 4:
        raise ImageError(f"{wanted}; {given}: for RGBA pass PIL.Image.fromarray(array) or array[..., :3]")
    if array.ndim != 2 and (array.ndim != 3 or array.shape[2] != 3):
        raise ImageError(f"{wanted}; {given}")
    _check_size(array.shape[1], array.shape[0], f"array {array.shape}", max_pixels)
    rgb = array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=2)
    return np.ascontiguousarray(rgb)


def _check_bytes(size: int, name: str, max_bytes: int) -> None:
    if size == 0:
        raise ImageError(f"{name}: is empty (0 bytes); pass a complete image file")
    if size > max_bytes:
        raise ImageTooLargeError(f"{name}: is too large: {size} bytes, more than {max_bytes}; shrink it")


def _check_size(width: int, height: int, name: str, max_pixels: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"{name}: is too small: {width} x {height} pixels, each side needs {MIN_SIDE}; pass a larger one"
        )
    if width * height > max_pixels:
        raise ImageTooLargeError(
            f"{name}: is too large: {width} x {height} pixels, more than {max_pixels}; shrink it, or give "
            "Predictor a larger max_pixels"
        )


def _damaged(name: str, error: Exception) -> ImageError:
    return ImageError(f"{name}: is truncated or damaged ({error}); save or fetch it again")
